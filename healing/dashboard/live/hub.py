"""The process's one ear at the doorbell, its boards, and the thread that reads the database for them."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import structlog
from channels.layers import get_channel_layer
from django.db import DatabaseError, InterfaceError, connections
from django.utils import translation

from healing.access import Grants
from healing.dashboard import feed, frame, probes
from healing.dashboard.live import board
from healing.dashboard.live.rounds import Rounds
from healing.dashboard.live.standing import Standing
from healing.dispatch import DASHBOARD_GROUP

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

#: Health is read anew after so long; banners and counts at once when the doorbell rings.
FRAME_SECONDS = 2.0
RETRY_SECONDS = 1.0
READY_SECONDS = 3.0

Listener = Callable[[str], None]

_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """The hub of this process (of this event loop, which is the same outside tests)."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]


def open_sockets() -> int:
    """Dashboards connected to this process."""
    return sum(hub.guests for hub in list(_hubs.values()))


class Hub:
    """Runs while anybody is connected: joins the group first, so that nothing rings unheard after a page was read."""

    def __init__(self) -> None:
        self.standing = Standing()
        self._boards: dict[board.Key, board.Board] = {}
        self._rounds = Rounds(self)
        self._rows: dict[str, feed.RowStore] = defaultdict(feed.RowStore)  # by language
        self._listeners: set[Listener] = set()
        self._guests: set[object] = set()
        self._frames: dict[tuple[Grants, str], tuple[float, list[frame.FrameRegion]]] = {}
        self._rung_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._joined = asyncio.Event()
        self._thread: ThreadPoolExecutor | None = None

    @property
    def guests(self) -> int:
        """Who is connected."""
        return len(self._guests)

    def enter(self, guest: object) -> None:
        """Somebody has connected: the hub runs until the last one has gone."""
        self._guests.add(guest)

    async def depart(self, guest: object) -> None:
        """Somebody has gone."""
        self._guests.discard(guest)
        if not self._guests:
            await self._stop()

    def boards(self) -> Collection[board.Board]:
        """What pages show at present."""
        return list(self._boards.values())

    async def join(self, key: board.Key, member: board.Member) -> None:
        """Serve a page from now on."""
        await self._start()
        self.serve(key, member)

    def serve(self, key: board.Key, member: board.Member) -> None:
        """Serve a page that has joined by another board."""
        if key not in self._boards:
            self._boards[key] = board.Board(key, self._rows[key.language])
        self._boards[key].add(member)
        self._rounds.wake()

    def leave(self, member: board.Member) -> None:
        """Serve it no longer."""
        for key, served in list(self._boards.items()):
            served.discard(member)
            if not served.members:
                del self._boards[key]

    async def listen(self, listener: Listener) -> None:
        """Call with each event's name that rings; an empty name is no event but the surroundings."""
        await self._start()
        self._listeners.add(listener)

    def unlisten(self, listener: Listener) -> None:
        """Call it no longer."""
        self._listeners.discard(listener)

    async def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what queries in the hub's own thread, whose connection stays open."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="dashboards")

        def run() -> T:
            try:
                return function(*args, **kwargs)
            except (DatabaseError, InterfaceError):
                connections.close_all()  # perhaps it is the connection; the next look makes a new one
                raise

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    def frame_regions(self, grants: Grants, language: str) -> list[frame.FrameRegion]:
        """What surrounds the pages of who has these grants and reads this language. Queries, at most every
        `FRAME_SECONDS` unless it rang."""
        read_at, regions = self._frames.get((grants, language), (0.0, []))
        now = time.monotonic()
        if not regions or now - read_at > FRAME_SECONDS or read_at < self._rung_at:
            with translation.override(language):
                regions = frame.surroundings(grants).render(oob=True)
            if len(self._frames) > 200:
                self._frames.clear()
            self._frames[grants, language] = (now, regions)
        return regions

    def ring(self, event_name: str) -> None:
        """A doorbell: every board looks, and the pages of that event."""
        if not event_name:
            self._rung_at = time.monotonic()
        self._rounds.all_due()
        for listener in list(self._listeners):
            listener(event_name)

    async def _start(self) -> None:
        if not self._tasks:
            self._joined.clear()
            self._tasks = [asyncio.create_task(task()) for task in (self._hear, self._probe, self._rounds.run)]
        try:
            await asyncio.wait_for(self._joined.wait(), READY_SECONDS)
        except TimeoutError:
            log.warning("no doorbell", hint="pages are read every few seconds; is Valkey there?")

    async def _stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.submit(connections.close_all)
            thread.shutdown(wait=False)  # what is queued is still done, closing the connections last

    async def _hear(self) -> None:
        layer: Any = get_channel_layer()
        while layer is not None:
            try:
                channel = await layer.new_channel()
                await layer.group_add(DASHBOARD_GROUP, channel)
                self._joined.set()
                self.ring("")  # whatever rang before was not heard
                try:
                    while True:
                        message = await layer.receive(channel)
                        self.ring(str(message.get("event", "")))
                finally:
                    await layer.group_discard(DASHBOARD_GROUP, channel)
            except Exception as error:  # noqa: BLE001 - whatever the layer's client raises
                log.warning("doorbell not heard", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _probe(self) -> None:
        while True:
            await asyncio.to_thread(probes.ask_all)
            await asyncio.sleep(probes.EVERY_SECONDS)
