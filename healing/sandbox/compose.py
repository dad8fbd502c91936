"""Joins the sandbox's four parts: API, world, programs, signals; and plays a scenario in them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from healing.sandbox.api.cluster import ApiServer
from healing.sandbox.api.gateway_api import GROUP as GATEWAY_GROUP, install_gateway_api
from healing.sandbox.api.versions import KubernetesVersion
from healing.sandbox.apps import AppRuntime, cluster_dns
from healing.sandbox.faults import FaultInjector
from healing.sandbox.ports import Object
from healing.sandbox.scenarios import Scenario, ScenarioRunner
from healing.sandbox.signals import Signals
from healing.sandbox.webhook_calls import WebhookCalls
from healing.sandbox.world import Settings, World


@dataclass(slots=True)
class Sandbox:
    """One world. `run` lives until it is cancelled; ``signals.routes()`` is what an HTTP server mounts."""

    cluster: ApiServer
    runtime: AppRuntime
    world: World
    injector: FaultInjector
    signals: Signals
    #: sets the scenario up and plays its timeline; None without a scenario
    runner: ScenarioRunner | None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.world.run(), name="world")
            group.create_task(self.runtime.run(), name="programs")
            if self.runner is not None:
                group.create_task(self.runner.run(), name="scenario")


def build(
    scenario: Scenario | None = None,
    *,
    cluster: ApiServer | None = None,
    clock: Callable[[], float] = time.time,
    settings: Settings | None = None,
    kubernetes: KubernetesVersion | None = None,
    hold: bool = False,
) -> Sandbox:
    """``clock`` gives seconds since the epoch to all parts (to ``cluster`` too, unless one is given).

    ``kubernetes``: the version that the cluster is of, unless ``cluster`` is given.
    ``hold``: the scenario's timeline waits for ``runner.go()``.
    """
    api = cluster or ApiServer(clock=clock, kubernetes=kubernetes)
    runtime = AppRuntime(clock=clock)
    nodes = scenario.nodes if scenario else 3
    world = World(api, runtime, nodes=nodes, clock=clock, settings=settings, control_plane=True)
    api.log_source = world.log_source
    runtime.attach(api)
    api.webhook_call = WebhookCalls(runtime)
    if scenario is not None:
        cluster_dns.install(api)
        if any(str(m.get("apiVersion", "")).startswith(GATEWAY_GROUP) for m in _all_manifests(scenario)):
            install_gateway_api(api)

    runtime.reachable = world.reachable
    world.on_proxy.append(runtime.proxy_changed)
    injector = FaultInjector(api, runtime, world)
    signals = Signals(world, runtime, api, injector=injector)
    if scenario is not None:
        signals.scrape_seconds = scenario.scrape_seconds
    runner = (
        ScenarioRunner(scenario, api, runtime, injector, clock=clock, own=world.own, hold=hold) if scenario else None
    )
    return Sandbox(api, runtime, world, injector, signals, runner)


def _all_manifests(scenario: Scenario) -> Iterator[Object]:
    """Of the start and of all later steps."""
    yield from scenario.manifests
    for step in scenario.timeline:
        if step.action == "apply":
            yield from step.body
