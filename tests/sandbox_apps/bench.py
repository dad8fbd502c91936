"""A whole sandbox in virtual time: API, world, programs, signals."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from healing.sandbox.compose import Sandbox, build
from healing.sandbox.ports import Object, User
from healing.sandbox.scenarios import BUNDLED, load_scenario
from healing.sandbox.signals.health import health
from healing.sandbox.virtual_time import run_virtual

EPOCH = 1_790_000_000.0
SHOP = BUNDLED / "shop.yaml"
PERSON = User("someone@example.com", ("system:masters",), "kubectl")


class Bench:
    """``sandbox`` runs; `wait` lets its time pass."""

    def __init__(self, sandbox: Sandbox, clock: Callable[[], float]) -> None:
        self.sandbox = sandbox
        self.clock = clock

    async def until(self, what: str, condition: Callable[[], bool], seconds: float = 60.0) -> float:
        """How long it took; fails after ``seconds``."""
        start = self.clock()
        while not condition():
            assert self.clock() - start < seconds, f"not within {seconds:.0f} s: {what}"
            await asyncio.sleep(0.25)
        return self.clock() - start

    def health(self, service: str) -> dict[str, Any]:
        entries = health(self.sandbox.cluster, self.sandbox.runtime)["services"]
        return next(entry for entry in entries if entry["service"] == service)

    def all_well(self) -> bool:
        return bool(health(self.sandbox.cluster, self.sandbox.runtime)["well"])

    def workload_well(self, name: str) -> bool:
        entries = health(self.sandbox.cluster, self.sandbox.runtime)["workloads"]
        return bool(next(entry for entry in entries if entry["name"] == name)["well"])

    def pods(self, app: str, namespace: str = "shop") -> list[Object]:
        return list(self.sandbox.cluster.list("pods", namespace, {"app": app}))

    def waiting(self, app: str) -> set[str]:
        """Reasons the workload's containers wait for."""
        return {
            status["state"]["waiting"]["reason"]
            for pod in self.pods(app)
            for status in pod["status"].get("containerStatuses", ())
            if "waiting" in status["state"]
        }

    def last_exits(self, app: str) -> set[tuple[str, int]]:
        return {
            (ended["reason"], ended["exitCode"])
            for pod in self.pods(app)
            for status in pod["status"].get("containerStatuses", ())
            for state in (status["state"], status.get("lastState") or {})
            if (ended := state.get("terminated"))
        }

    def ask(self, query: str) -> dict[tuple[str, ...], float]:
        """An instant vector, by the values of its labels."""
        value = self.sandbox.signals.prometheus.engine.instant(query, round(self.clock() * 1000))
        assert isinstance(value, list)
        return {tuple(text for _, text in sample[0]): sample[1] for sample in value if isinstance(sample, tuple)}

    def number(self, query: str) -> float:
        found = self.ask(query)
        return next(iter(found.values())) if found else 0.0

    def lines(self, app: str, containing: str = "") -> list[str]:
        """What the log store holds of a workload's pods."""
        now = round(self.clock() * 1e9) + 1
        store = self.sandbox.signals.logs
        return [
            entry[1]
            for stream in store.streams([], 0, now)
            if dict(stream.labels).get("app") == app
            for entry in store.between(stream, 0, now)
            if containing in entry[1]
        ]

    def create(self, resource: str, body: Object, namespace: str = "shop") -> Object:
        return self.sandbox.cluster.create(resource, namespace, body, user=PERSON)

    def change(self, resource: str, name: str, change: Callable[[Object], None], namespace: str = "shop") -> Object:
        return self.sandbox.cluster.mutate(resource, namespace, name, change, user=PERSON)

    def delete_pods(self, app: str) -> None:
        for pod in self.pods(app):
            self.sandbox.cluster.delete("pods", "shop", pod["metadata"]["name"], user=PERSON)

    def roll_back(self, name: str) -> None:
        """``kubectl rollout undo``: the template of the revision before the newest."""
        owned = [
            rs for rs in self.sandbox.cluster.list("replicasets.apps", "shop")
            if rs["metadata"]["ownerReferences"][0]["name"] == name
        ]  # fmt: skip
        owned.sort(key=lambda rs: int(rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"]))
        template = {**owned[-2]["spec"]["template"]}
        labels = dict(template["metadata"]["labels"])
        labels.pop("pod-template-hash")
        template["metadata"] = {**template["metadata"], "labels": labels}

        def change(body: Object) -> None:
            body["spec"]["template"] = template

        self.change("deployments.apps", name, change)

    def inject(self, fault: str, **params: Any) -> str:
        return self.sandbox.injector.inject(fault, {"namespace": "shop", **params}).id


def play(story: Callable[[Bench], Awaitable[None]], scenario: Path = SHOP) -> None:
    """A story in a world that is up, from its beginning to its end, in virtual time."""

    async def main() -> None:
        async with running(scenario) as bench:
            await story(bench)

    run_virtual(main())


def shop() -> contextlib.AbstractAsyncContextManager[Bench]:
    """The shop, up and serving its users for a quarter of a minute."""
    return running(SHOP)


@contextlib.asynccontextmanager
async def running(scenario: Path) -> AsyncIterator[Bench]:
    """A scenario's world, up and serving its users for a quarter of a minute."""
    loop = asyncio.get_running_loop()

    def clock() -> float:
        return EPOCH + loop.time()

    sandbox = build(load_scenario(scenario), clock=clock)
    task = asyncio.create_task(sandbox.run())
    bench = Bench(sandbox, clock)
    runner = sandbox.runner
    assert runner is not None
    try:
        await bench.until("the world is up", lambda: runner.started_at is not None or task.done(), 90)
        await asyncio.sleep(15)
        assert not task.done(), task.exception()
        yield bench
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
