"""An API server of one's own, over real HTTP, in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx
import uvicorn

from healing.sandbox.api.cluster import ApiServer
from healing.sandbox.api.http.app import ApiApp
from healing.sandbox.ports import User
from healing.sandbox.server import listen, write_kubeconfig

ADMIN = User("recorder", ("system:masters",), field_manager="recorder")
_START_SECONDS = 60.0
_Result = TypeVar("_Result")


class RunningApi:
    """``call`` runs code on the server's loop, where objects may be touched directly."""

    def __init__(self, *, anonymous_is_admin: bool = True, server: ApiServer | None = None) -> None:
        self.server = server or ApiServer()
        self.app = ApiApp(self.server, anonymous_is_admin=anonymous_is_admin)
        self._listener = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        config = uvicorn.Config(
            self.app,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            log_level="warning",
            timeout_graceful_shutdown=1,
        )
        self._uvicorn = uvicorn.Server(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        headers = {"User-Agent": "recorder/1.0", "Accept": "application/json"}
        self.http = httpx.Client(base_url=self.url, headers=headers, timeout=60.0)

    def _run(self) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            await self._uvicorn.serve(sockets=[self._listener])

        asyncio.run(main())

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = _START_SECONDS / 0.01
        while not self._uvicorn.started and deadline > 0:
            threading.Event().wait(0.01)
            deadline -= 1
        assert self._uvicorn.started, "the API server did not start"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.http.close()
        self.call(self.app.watches.close_all)
        self._uvicorn.should_exit = True
        self._thread.join(_START_SECONDS)
        self._listener.close()

    def call(self, function: Callable[[], _Result]) -> _Result:
        """Run ``function`` on the server's loop and return its result."""
        assert self._loop is not None

        async def run() -> _Result:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(_START_SECONDS)

    def namespace(self, name: str) -> None:
        self.call(lambda: self.server.create("namespaces", None, {"metadata": {"name": name}}, user=ADMIN))

    def kubeconfig(self, directory: Path) -> Path:
        path = directory / "kubeconfig"
        write_kubeconfig(path, self.url, self.app.authenticator.admin_token)
        return path
