"""A scenario's world in virtual time, and what can be seen of its health."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from healing.sandbox.compose import Sandbox, build
from healing.sandbox.ports import Object
from healing.sandbox.scenarios import ScenarioRunner
from healing.sandbox.scenarios.model import Expectation, Scenario, Step
from healing.sandbox.signals.health import WELL_SUCCESS, health
from healing.sandbox.world.context import parse_time

_EPOCH = 1_790_000_000.0
_UP_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Stage:
    """``second()`` counts from the beginning of the timeline."""

    sandbox: Sandbox
    clock: Callable[[], float]
    runner: ScenarioRunner

    def second(self) -> float:
        assert self.runner.started_at is not None
        return self.clock() - self.runner.started_at

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def until_second(self, second: float) -> None:
        await asyncio.sleep(max(0.0, second - self.second()))

    # what happens

    def step(self, id_: str) -> Step:
        return next(step for step in self.runner.scenario.timeline if step.id == id_)

    def problems(self) -> list[str]:
        return [f"{step.id}: {problem}" for step, _, problem in self.runner.played if problem]

    async def take(self, steps: Iterable[Step]) -> None:
        for step in steps:
            await self.runner.take(step)

    # the world's own measure

    def _entries(self) -> list[dict[str, Any]]:
        state = health(self.sandbox.cluster, self.sandbox.runtime)
        return [*state["services"], *state["workloads"]]

    def unwell(self) -> list[dict[str, Any]]:
        return [entry for entry in self._entries() if not entry["well"]]

    def unwell_services(self) -> list[dict[str, Any]]:
        return [entry for entry in self.unwell() if "service" in entry]

    def unwell_workloads(self) -> list[dict[str, Any]]:
        return [entry for entry in self.unwell() if "service" not in entry]

    def unhappy_users(self) -> list[dict[str, Any]]:
        users = health(self.sandbox.cluster, self.sandbox.runtime)["users"]
        return [user for user in users if user["requestsPerSecond"] > 0 and user["successRate"] < WELL_SUCCESS]

    def unwell_targets(self, expectations: Iterable[Expectation]) -> list[dict[str, Any]]:
        services = {name for e in expectations for name in e.well_services}
        workloads = {name for e in expectations for name in e.well_workloads}
        entries = self._entries()
        known_services = {f"{e['namespace']}/{e['service']}" for e in entries if "service" in e}
        known_workloads = {f"{e['namespace']}/{e['name']}" for e in entries if "name" in e}
        assert services <= known_services, f"no such service: {services - known_services}"
        assert workloads <= known_workloads, f"no such workload: {workloads - known_workloads}"
        return [
            entry
            for entry in entries
            if not entry["well"]
            and (
                f"{entry['namespace']}/{entry['service']}" in services
                if "service" in entry
                else f"{entry['namespace']}/{entry['name']}" in workloads
            )
        ]

    def trouble(self, expectation: Expectation, since_second: float) -> list[Any]:
        """What is wrong with the expectation's targets, or what the cluster complains of about them."""
        assert self.runner.started_at is not None
        since = self.runner.started_at + since_second
        return [
            *self.unwell_targets([expectation]),
            *self._warnings(expectation, since),
            *self._failed_jobs(expectation),
            *self._status(expectation),
        ]

    def _status(self, expectation: Expectation) -> list[str]:
        """What the object says of itself: a node's conditions, a budget with nothing left while a node is drained, and
        what becomes of users at an Ingress or a route.
        """
        kind, name = expectation.object["kind"], expectation.object.get("name", "")
        nodes = self.sandbox.cluster.list("nodes")
        if kind == "Node":
            return [
                f"{condition['type']}={condition['status']}"
                for node in nodes
                if name in ("", node["metadata"]["name"])
                for condition in node.get("status", {}).get("conditions") or ()
                if (condition["type"] == "Ready") != (condition["status"] == "True")
            ]
        if kind == "PodDisruptionBudget" and any(node["spec"].get("unschedulable") for node in nodes):
            budget = self.sandbox.cluster.get("poddisruptionbudgets.policy", expectation.object.get("namespace"), name)
            status = (budget or {}).get("status") or {}
            return ["no disruption allowed"] if status.get("disruptionsAllowed") == 0 else []
        if kind in ("Ingress", "HTTPRoute"):
            hosts = health(self.sandbox.cluster, self.sandbox.runtime)["hosts"]
            return [f"{entry['host']}{entry['path']} is not served" for entry in hosts if not entry["well"]]
        return []

    def _failed_jobs(self, expectation: Expectation) -> list[str]:
        job = expectation.object if expectation.object.get("kind") == "Job" else {}
        found = self.sandbox.cluster.get("jobs.batch", job.get("namespace"), job.get("name", "")) if job else None
        conditions = (found or {}).get("status", {}).get("conditions") or ()
        return [c["reason"] for c in conditions if c["type"] == "Failed" and c["status"] == "True"]

    def _warnings(self, expectation: Expectation, since: float) -> list[str]:
        """Warnings about the object, or about what belongs to it by its name."""
        name, namespace = expectation.object.get("name", ""), expectation.object.get("namespace", "")
        return [
            f"{event['reason']}: {event.get('message', '')}"
            for event in self.sandbox.cluster.list("events", namespace or None)
            if event.get("type") == "Warning" and _last_seen(event) >= since and name
            and (str(event["involvedObject"].get("name", "")) + "-").startswith(name + "-")
        ]  # fmt: skip


def _last_seen(event: Object) -> float:
    return parse_time(event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp"))


@contextlib.asynccontextmanager
async def on_stage(scenario: Scenario) -> AsyncIterator[Stage]:
    """The scenario's world, up, its timeline about to play."""
    loop = asyncio.get_running_loop()

    def clock() -> float:
        return _EPOCH + loop.time()

    sandbox = build(scenario, clock=clock)
    runner = sandbox.runner
    assert runner is not None
    task = asyncio.create_task(sandbox.run())
    try:
        while runner.started_at is None and not task.done():
            assert loop.time() < _UP_SECONDS, "the world does not come up"
            await asyncio.sleep(0.25)
        assert not runner.problems, runner.problems
        yield Stage(sandbox, clock, runner)
        # controllers and programs must not have died meanwhile: the timeline is the only task that ends
        assert not task.done() or task.exception() is None, "a part of the world died"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
