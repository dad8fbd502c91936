"""A TCP proxy that can be broken: what stands between the product and one of its servers when the network fails."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, Literal, Self, TypeVar

from recist_web.supervisor.ports import free_port

Mode = Literal["open", "refuse", "hang", "slow"]
_PIECE_BYTES = 65536
_T = TypeVar("_T")


class Proxy:
    """Listens on `port` and speaks to `target` (host, port). Use as a context manager.

    `open` passes everything on; `refuse` ends every connection and takes no new one, as a server that is gone;
    `hang` takes connections and says nothing; `slow` holds each piece of an answer back for `delay_seconds`.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.port = free_port()
        self.mode: Mode = "open"
        self.delay_seconds = 0.0
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy of {target[1]}", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60.0)
        self._loop.close()

    def set(self, mode: Mode, delay_seconds: float = 0.0) -> None:
        """From now on; a change to `refuse` or `hang` cuts what is connected."""
        self.mode, self.delay_seconds = mode, delay_seconds
        self._do(self._close() if mode == "refuse" else self._listen())
        if mode == "hang":
            self.cut()

    def cut(self) -> int:
        """End every connection at once; new ones are welcome. Returns how many there were."""
        return self._do(self._cut())

    def _do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._server is not None:
            for listening in self._server.sockets:
                self._loop.remove_reader(listening.fileno())
            # What was accepted in the last moment has to begin before it can be cut, and before its server is closed.
            await _a_few_turns()
            self._server.close()
            self._server = None
        await self._cut()
        await _a_few_turns()  # what is cut takes a turn to end

    async def _cut(self) -> int:
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return len(tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "hang":
            await asyncio.sleep(3600)
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        try:
            both = [
                asyncio.ensure_future(self._pass_on(reader, far_writer, is_answer=False)),
                asyncio.ensure_future(self._pass_on(far_reader, writer, is_answer=True)),
            ]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for half in both:
                    half.cancel()
                await asyncio.gather(*both, return_exceptions=True)
        finally:
            with contextlib.suppress(OSError):
                far_writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        while piece := await reader.read(_PIECE_BYTES):
            if is_answer and self.mode == "slow":
                await asyncio.sleep(self.delay_seconds)
            writer.write(piece)
            await writer.drain()
        with contextlib.suppress(OSError):
            await writer.drain()


async def _a_few_turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
