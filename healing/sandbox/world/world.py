"""The world as a whole: all controllers, the scheduler and the kubelets, run together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from healing.sandbox.ports import Cluster, Controller, GitOpsOwner, LogSource, Runtime
from healing.sandbox.world.context import Context, Settings
from healing.sandbox.world.controllers import CONTROLLERS
from healing.sandbox.world.gitops import GitOpsController
from healing.sandbox.world.kubelet import Fleet
from healing.sandbox.world.nodes import NodeHandle, NodeSpec, node_specs
from healing.sandbox.world.scheduler import Scheduler


class World:
    """`run` lives until it is cancelled. ``nodes`` is a number of equal nodes (node1, node2, ...) or their specs.

    ``clock`` gives seconds since the epoch; delays are slept on the event loop, so a test that speeds time up gives
    a loop with its own ``time()`` and a clock that follows it.
    """

    def __init__(
        self,
        cluster: Cluster,
        runtime: Runtime,
        *,
        nodes: Sequence[NodeSpec] | int = 3,
        clock: Callable[[], float] = time.time,
        settings: Settings | None = None,
    ) -> None:
        self._context = Context(cluster, runtime, clock, settings or Settings())
        self._fleet = Fleet(self._context, node_specs(nodes))
        self._context.log_source = self._fleet
        self.log_source: LogSource = self._fleet
        self._parts: list[Controller] = [controller(self._context) for controller in CONTROLLERS]
        self._gitops = GitOpsController(self._context)
        self._parts += [Scheduler(self._context), self._fleet, self._gitops]

    @property
    def node_names(self) -> list[str]:
        return list(self._fleet.agents)

    def node(self, name: str) -> NodeHandle:
        """The node as its data centre sees it: to be broken and repaired. Raises KeyError for an unknown name."""
        return self._fleet.node(name)

    def own(self, owners: Sequence[GitOpsOwner]) -> None:
        """Give these objects to Argo CD or Flux, as they are now. KeyError for one that does not exist."""
        self._gitops.own(owners)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for part in self._parts:
                group.create_task(part.run(), name=type(part).__name__)
