"""One world among several in a process: up, played, looked at, down."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from healing.sandbox.api.http.app import ApiApp
from healing.sandbox.compose import Sandbox, build
from healing.sandbox.scenarios import Scenario
from healing.sandbox.server import write_kubeconfig
from healing.sandbox.signals.health import health

if TYPE_CHECKING:
    from healing.sandbox.hosting import Server

State = Literal["idle", "rising", "up", "playing", "played", "failed", "stopped"]
_HOST = "127.0.0.1"
_LOOK_SECONDS = 0.5
#: a world that has come up may need so long until its programs have warmed up
_WELL_WITHIN_SECONDS = 45.0
_WELL_FOR_SECONDS = 3.0


class HostedWorld:
    """A scenario's world. Times are seconds since the epoch."""

    def __init__(self, name: str, scenario: Scenario, kubeconfig: Path) -> None:
        self.name = name
        self.scenario = scenario
        self._kubeconfig = kubeconfig
        self._port = 0
        self._listener = self._reserve()
        self._sandbox: Sandbox | None = None
        self._task: asyncio.Task[None] | None = None
        self._state: State = "idle"
        self._error = ""
        self._up_at: float | None = None
        #: (kind, name) -> whether it is well, and every change of it
        self._well: dict[tuple[str, str], bool] = {}
        self._changes: list[dict[str, Any]] = []

    def urls(self) -> dict[str, str]:
        api = f"http://{_HOST}:{self._port}"
        return {"api": api, "prometheus": f"{api}/prometheus", "loki": api}

    def _reserve(self) -> socket.socket:
        """Hold the port without listening: who calls is refused, and nobody else can take it."""
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((_HOST, self._port))
        self._port = held.getsockname()[1]
        return held

    # life

    def start(self) -> None:
        """Bring it up; `status` says when it is. Once in a life."""
        if self._state == "idle":
            self._state = "rising"
            self._task = asyncio.create_task(self._live(), name=f"world {self.name}")

    def go(self) -> None:
        """Play the timeline."""
        if self._sandbox is not None and self._sandbox.runner is not None and self._state == "up":
            self._state = "playing"
            self._sandbox.runner.go()

    async def stop(self) -> None:
        """Take it down; its history stays."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._state not in ("idle", "failed"):
            self._state = "stopped"

    async def _live(self) -> None:
        from healing.sandbox.hosting import Server  # noqa: PLC0415 - the two know each other

        sandbox = self._sandbox = build(self.scenario, hold=True)
        app = ApiApp(sandbox.cluster, extra=sandbox.signals.routes())
        server: Server = Server(app)
        self._listener.listen(1024)
        try:
            write_kubeconfig(self._kubeconfig, self.urls()["api"], app.authenticator.admin_token)
            async with asyncio.TaskGroup() as group:
                group.create_task(sandbox.run(), name=f"{self.name} sandbox")
                group.create_task(sandbox.cluster.run(), name=f"{self.name} api")
                group.create_task(server.run(self._listener), name=f"{self.name} http")
                group.create_task(self._look(sandbox), name=f"{self.name} health")
        except Exception as error:  # noqa: BLE001 - a world that breaks must not take the others with it
            self._state, self._error = "failed", f"{type(error).__name__}: {error}"
            if isinstance(error, ExceptionGroup):
                self._error = "; ".join(f"{type(e).__name__}: {e}" for e in error.exceptions)
        finally:
            app.watches.close_all()
            self._listener = self._reserve()

    # health

    async def _look(self, sandbox: Sandbox) -> None:
        assert sandbox.runner is not None
        runner, well_since = sandbox.runner, 0.0
        while True:
            now = time.time()
            all_well = self._note(sandbox, now)
            well_since = (well_since or now) if all_well else 0.0
            if runner.is_set_up and self._state == "rising":
                self._up_at = self._up_at or now
                settled = well_since and now - well_since >= _WELL_FOR_SECONDS
                if settled or now - self._up_at >= _WELL_WITHIN_SECONDS:
                    self._state = "up"
            if runner.ended_at is not None and self._state == "playing":
                self._state = "played"
            await asyncio.sleep(_LOOK_SECONDS)

    def _note(self, sandbox: Sandbox, now: float) -> bool:
        """Write down what has changed; whether all is well."""
        found = health(sandbox.cluster, sandbox.runtime)
        seen: set[tuple[str, str]] = set()
        for entry in (*found["services"], *found["workloads"]):
            kind = "Service" if "service" in entry else str(entry["kind"])
            name = f"{entry['namespace']}/{entry.get('service') or entry['name']}"
            self._change((kind, name), now, _detail(entry), well=bool(entry["well"]))
            seen.add((kind, name))
        for gone in [key for key in self._well if key not in seen]:
            self._change(gone, now, "gone", well=False)
        return all(entry["well"] for entry in (*found["services"], *found["workloads"]))

    def _change(self, key: tuple[str, str], now: float, detail: str, *, well: bool) -> None:
        if self._well.get(key) != well:
            self._well[key] = well
            self._changes.append({"at": now, "kind": key[0], "name": key[1], "well": well, "detail": detail})

    # what others see

    def status(self) -> dict[str, Any]:
        runner = self._sandbox.runner if self._sandbox is not None else None
        return {
            "name": self.name,
            "state": self._state,
            "error": self._error,
            "problems": runner.problems if runner is not None else [],
            "unwell": sorted(f"{kind} {name}" for (kind, name), well in self._well.items() if not well),
            "startedAt": runner.started_at if runner is not None else None,
            "timelineEndedAt": runner.ended_at if runner is not None else None,
        }

    def history(self) -> dict[str, Any]:
        runner = self._sandbox.runner if self._sandbox is not None else None
        played = runner.played if runner is not None else []
        return {
            "played": [{"id": s.id, "action": s.action, "at": at, "problem": problem} for s, at, problem in played],
            "changes": self._changes,
        }


def _detail(entry: dict[str, Any]) -> str:
    if "service" in entry:
        return f"{entry['successRate']:.0%} succeed, p99 {entry['p99Seconds']:.2f} s"
    return f"{entry['ready']} ready, {entry['updated']} updated of {entry['replicas']}"
