"""What people do in scenarios: drains that wait for budgets, changes of load, worlds that do not come up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from healing.sandbox.compose import Sandbox, build
from healing.sandbox.scenarios import Scenario, ScenarioRunner, load_scenario
from healing.sandbox.virtual_time import run_virtual
from tests.sandbox_apps.bench import EPOCH

WORLD = """
apiVersion: sandbox.recist.io/v1
kind: Scenario
metadata: {name: x}
nodes: 2
manifests:
  - apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web, namespace: site}
    spec:
      replicas: 2
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
            - {name: web, image: "nginx:1.27", ports: [{containerPort: 80}], readinessProbe: {tcpSocket: {port: 80}}}
  - apiVersion: apps/v1
    kind: DaemonSet
    metadata: {name: agent, namespace: site}
    spec:
      selector: {matchLabels: {app: agent}}
      template:
        metadata: {labels: {app: agent}}
        spec: {containers: [{name: agent, image: "busybox:1.36", command: [sleep, infinity]}]}
  - apiVersion: v1
    kind: Service
    metadata: {name: web, namespace: site}
    spec: {selector: {app: web}, ports: [{port: 80}]}
"""
BUDGET = """
  - apiVersion: policy/v1
    kind: PodDisruptionBudget
    metadata: {name: web, namespace: site}
    spec: {minAvailable: 2, selector: {matchLabels: {app: web}}}
"""


def load(path: Path, text: str) -> Scenario:
    path.write_text(text)
    return load_scenario(path)


@contextlib.asynccontextmanager
async def playing(path: Path, text: str, *, hold: bool = False) -> AsyncIterator[tuple[Sandbox, ScenarioRunner]]:
    loop = asyncio.get_running_loop()
    sandbox = build(load(path, text), clock=lambda: EPOCH + loop.time(), hold=hold)
    task = asyncio.create_task(sandbox.run())
    runner = sandbox.runner
    assert runner is not None
    try:
        while not runner.is_set_up:
            await asyncio.sleep(0.5)
            assert not task.done(), task.exception()
        yield sandbox, runner
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def on(sandbox: Sandbox, node: str, app: str) -> int:
    pods = sandbox.cluster.list("pods", "site", {"app": app})
    return sum(1 for pod in pods if pod["spec"].get("nodeName") == node)


def test_a_drain_empties_the_node_of_all_but_daemons(tmp_path: Path) -> None:
    async def main() -> None:
        text = WORLD + "timeline:\n  - {at: 1s, drain: node1}\n  - {at: 40s, uncordon: node1}\n"
        async with playing(tmp_path / "x.yaml", text) as (sandbox, runner):
            assert runner.problems == []
            await asyncio.sleep(25)
            assert sandbox.cluster.get("nodes", None, "node1")["spec"]["unschedulable"] is True  # type: ignore[index]
            assert (on(sandbox, "node1", "web"), on(sandbox, "node2", "web")) == (0, 2)
            assert on(sandbox, "node1", "agent") == 1
            await asyncio.sleep(20)
            assert "unschedulable" not in sandbox.cluster.get("nodes", None, "node1")["spec"]  # type: ignore[index]
            assert [problem for _, _, problem in runner.played] == ["", ""]

    run_virtual(main())


def test_a_drain_waits_for_the_budget_and_later_steps_do_not_wait_for_it(tmp_path: Path) -> None:
    async def main() -> None:
        text = WORLD + BUDGET + "timeline:\n  - {at: 1s, drain: node1}\n"
        text += "  - {at: 30s, delete: {kind: PodDisruptionBudget, namespace: site, name: web}}\n"
        async with playing(tmp_path / "x.yaml", text) as (sandbox, runner):
            there = on(sandbox, "node1", "web")
            assert there >= 1
            await asyncio.sleep(25)
            assert on(sandbox, "node1", "web") == there, "the budget allows none to go"
            await asyncio.sleep(25)
            assert on(sandbox, "node1", "web") == 0
            assert [problem for _, _, problem in runner.played] == ["", ""]

    run_virtual(main())


def test_an_uncordon_ends_a_drain_that_still_waits(tmp_path: Path) -> None:
    async def main() -> None:
        text = WORLD + BUDGET + "timeline:\n  - {at: 1s, drain: node1}\n  - {at: 12s, uncordon: node1}\n"
        text += "  - {at: 20s, delete: {kind: PodDisruptionBudget, namespace: site, name: web}}\n"
        async with playing(tmp_path / "x.yaml", text) as (sandbox, _runner):
            there = on(sandbox, "node1", "web")
            await asyncio.sleep(50)
            assert on(sandbox, "node1", "web") == there

    run_virtual(main())


def test_load_changes_and_comes_from_new_sources(tmp_path: Path) -> None:
    async def main() -> None:
        text = WORLD + "traffic:\n  - {namespace: site, service: web, port: 80, requestsPerSecond: 5, wave: 0.5}\n"
        text += "timeline:\n  - at: 2s\n    traffic: {namespace: site, service: web, port: 80, requestsPerSecond: 50}\n"
        async with playing(tmp_path / "x.yaml", text) as (sandbox, _runner):
            traffic = sandbox.runtime.traffic
            assert traffic is not None
            assert [(s.requests_per_second, s.wave) for s in traffic.sources] == [(5.0, 0.5)]
            await asyncio.sleep(5)
            assert [(s.requests_per_second, s.wave) for s in traffic.sources] == [(50.0, 0.5)], "the rest stays"

    run_virtual(main())


def test_what_does_not_come_up_is_reported(tmp_path: Path) -> None:
    async def main() -> None:
        text = WORLD.replace("nginx:1.27", "nginx:9.99") + "  - {apiVersion: v1, kind: Pod, metadata: {name: p}}\n"
        async with playing(tmp_path / "x.yaml", text) as (_sandbox, runner):
            refused, not_up, nowhere = runner.problems
            assert refused.startswith("Pod /p was refused: ")
            assert "Deployment site/web did not come up: 0 of 2 pods are available" in (not_up, nowhere)

    run_virtual(main())


def test_the_timeline_waits_for_go_where_it_is_held(tmp_path: Path) -> None:
    async def main() -> None:
        text = WORLD + "timeline:\n  - {at: 1s, drain: node1}\n"
        async with playing(tmp_path / "x.yaml", text, hold=True) as (sandbox, runner):
            await asyncio.sleep(20)
            assert runner.started_at is None
            runner.go()
            await asyncio.sleep(20)
            assert on(sandbox, "node1", "web") == 0

    run_virtual(main())
