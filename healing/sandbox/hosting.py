"""Many worlds in one process, each with an API of its own on a port of its own, started and stopped when asked.

``python -m healing.sandbox.hosting PLAN``: PLAN is a JSON file ``{"worlds": {NAME: {"scenario": FILE, "kubeconfig":
FILE}}}``. It prints one line of JSON, ``{"control": URL, "worlds": {NAME: {"api", "prometheus", "loki"}}}``, and serves
until SIGTERM. A world's port is its own from the beginning; nobody listens there while the world is down.

Control, JSON over HTTP: ``GET /worlds`` (how each one does, and how the event loop does), ``GET /worlds/NAME`` (with
its health's history), ``POST /worlds/NAME/start``, ``.../go`` (play the timeline), ``.../stop``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from healing.sandbox.hosted import HostedWorld
from healing.sandbox.loop_lag import LoopLag
from healing.sandbox.memory import collect_seldom
from healing.sandbox.scenarios import ScenarioError, load_scenario

_HOST = "127.0.0.1"


class Host:
    """The worlds of a plan and their control. Raises `ScenarioError` when one cannot be read."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self.worlds = {
            name: HostedWorld(name, load_scenario(entry["scenario"]), Path(entry["kubeconfig"]))
            for name, entry in plan["worlds"].items()
        }
        self.lag = LoopLag()

    def routes(self) -> list[Route]:
        return [
            Route("/worlds", self._list, methods=["GET"]),
            Route("/worlds/{name}", self._one, methods=["GET"]),
            Route("/worlds/{name}/{verb}", self._act, methods=["POST"]),
        ]

    async def run(self, listener: socket.socket) -> None:
        """Serve control until cancelled; then stop all worlds."""
        server = Server(Starlette(routes=self.routes()))
        watching = asyncio.create_task(self.lag.run(), name="loop-lag")
        serving = asyncio.create_task(server.run(listener), name="control")
        try:
            await serving
        finally:
            watching.cancel()
            await asyncio.gather(*(world.stop() for world in self.worlds.values()), return_exceptions=True)
            serving.cancel()
            await asyncio.gather(watching, serving, return_exceptions=True)

    async def _list(self, _request: Request) -> Response:
        worlds = {name: world.status() for name, world in self.worlds.items()}
        return JSONResponse({"worlds": worlds, "loop": self.lag.report(), "cpuSeconds": round(time.process_time(), 2)})

    async def _one(self, request: Request) -> Response:
        world = self.worlds.get(request.path_params["name"])
        if world is None:
            return _refuse(404, f"there is no world {request.path_params['name']!r}")
        return JSONResponse({**world.status(), **world.history()})

    async def _act(self, request: Request) -> Response:
        name, verb = request.path_params["name"], request.path_params["verb"]
        world = self.worlds.get(name)
        if world is None:
            return _refuse(404, f"there is no world {name!r}")
        if verb == "start":
            world.start()
        elif verb == "go":
            world.go()
        elif verb == "stop":
            await world.stop()
        else:
            return _refuse(404, f"a world can start, go and stop, not {verb!r}")
        return JSONResponse(world.status())


class Server(uvicorn.Server):
    """uvicorn as one of several in a process: signals are somebody else's."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                interface="asgi3",
                loop="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=1,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def run(self, listener: socket.socket) -> None:  # type: ignore[override]
        """Until cancelled; the listener is closed then."""
        serving = asyncio.create_task(self.serve(sockets=[listener]))
        try:
            await asyncio.shield(serving)
        finally:
            self.should_exit = True
            await serving


def _refuse(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status)


async def serve(plan: Mapping[str, Any]) -> None:
    """Until SIGTERM or SIGINT."""
    host = Host(plan)
    listener = socket.create_server((_HOST, 0))
    control = f"http://{_HOST}:{listener.getsockname()[1]}"
    running = asyncio.create_task(host.run(listener), name="host")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    worlds = {name: world.urls() for name, world in host.worlds.items()}
    sys.stdout.write(json.dumps({"control": control, "worlds": worlds}) + "\n")
    sys.stdout.flush()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def main(argv: list[str]) -> int:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        plan = json.loads(Path(argv[0]).read_text(encoding="utf-8"))
        collect_seldom()
        uvloop.run(serve(plan))
    except (ScenarioError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
