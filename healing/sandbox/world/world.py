"""The world as a whole: all controllers, the scheduler and the kubelets, run together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from healing.sandbox.ports import Cluster, Controller, GitOpsOwner, LogSource, Runtime
from healing.sandbox.world.components import COMPONENTS, ComponentHandle, Supervised, SystemPods
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
        control_plane: bool = False,
    ) -> None:
        """``control_plane``: show its pods and Leases in kube-system."""
        self._context = Context(cluster, runtime, clock, settings or Settings())
        self._fleet = Fleet(self._context, node_specs(nodes))
        self._context.log_source = self._fleet
        self.log_source: LogSource = self._fleet
        self._scheduler = Supervised(lambda: [Scheduler(self._context)])
        self._controllers = Supervised(lambda: [controller(self._context) for controller in CONTROLLERS])
        #: kube-proxy has no part here: who routes traffic listens at `on_proxy`
        self._proxies = {name: Supervised(lambda: ()) for name in self._fleet.agents}
        #: told of each kube-proxy that stops (False) or starts again: who routes traffic keeps the node's rules
        self.on_proxy: list[Callable[[str, bool], None]] = []
        self._gitops = GitOpsController(self._context)
        self._parts: list[Controller] = [self._controllers, self._scheduler, self._fleet, self._gitops]
        addresses = [(agent.name, agent.ip) for agent in self._fleet.agents.values()]
        self._system_pods = SystemPods(self._context, addresses, self._runs, self._fleet.reports)
        if control_plane:
            self._parts.append(self._system_pods)

    @property
    def node_names(self) -> list[str]:
        return list(self._fleet.agents)

    def node(self, name: str) -> NodeHandle:
        """The node as its data centre sees it: to be broken and repaired. Raises KeyError for an unknown name."""
        return self._fleet.node(name)

    def component(self, name: str, node: str = "") -> ComponentHandle:
        """``scheduler``, ``controller-manager``, or the ``kube-proxy`` of a node: to be stopped and started.

        ValueError for another name, KeyError for a node that is not there.
        """
        if name not in COMPONENTS:
            raise ValueError(f"unknown component {name!r}; use one of {', '.join(COMPONENTS)}")
        if name == "kube-proxy":
            switch = self._proxies[node]
        else:
            switch = self._scheduler if name == "scheduler" else self._controllers

        def changed(runs: bool) -> None:  # noqa: FBT001 -- a callback
            self._system_pods.changed()
            for listener in self.on_proxy if name == "kube-proxy" else ():
                listener(node, runs)

        return ComponentHandle(name, switch, changed)

    def stop_component(self, name: str, node: str = "") -> None:
        self.component(name, node).stop()

    def start_component(self, name: str, node: str = "") -> None:
        self.component(name, node).start()

    def has_proxy(self, node: str) -> bool:
        """Whether kube-proxy runs on the node; without it the node's rules for Services stay as they are."""
        return node not in self._proxies or self._proxies[node].running

    def reachable(self, node: str) -> bool:
        """Whether the node's pods can be talked to at all."""
        agent = self._fleet.agents.get(node)
        return agent is None or not agent.failures & {"down", "network-unavailable"}

    def _runs(self, component: str, node: str) -> bool:
        if component == "kube-proxy":
            return self.has_proxy(node)
        return component not in COMPONENTS or self.component(component).running

    def own(self, owners: Sequence[GitOpsOwner]) -> None:
        """Give these objects to Argo CD or Flux, as they are now. KeyError for one that does not exist."""
        self._gitops.own(owners)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for part in self._parts:
                group.create_task(part.run(), name=type(part).__name__)
