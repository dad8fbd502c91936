"""The sockets that keep pages fresh.

A message on the channel is a doorbell; the database is the data. The process joins the group before any page is read
for, then reads, then sends what a client does not have; so what happens in between is seen twice at worst, and sending
only differences makes twice harmless. Lists are read for all alike pages together (`healing.dashboard.live`); an
event's page is read for its reader, at most `RENDERS_A_SECOND`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace
from typing import Any

import structlog
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import QueryDict
from django.utils import translation

from healing.access import Capability, Grants
from healing.dashboard import feed, regions
from healing.dashboard.live import board, hub as hubs
from healing.dashboard.live.language import language_of
from healing.event_filters import BadFilter, EventFilter
from healing.models import HealingEvent

log = structlog.get_logger(__name__)

RENDERS_A_SECOND = 4
RESYNC_SECONDS = 15.0
HELLO_SECONDS = 20.0
MAX_HELLO_BYTES = 300_000

# Close codes of our own; the client explains them and does not come back by itself.
SIGNED_OUT = 4401
NOT_FOUND = 4404
BAD_REQUEST = 4400
# One of the codes after which the client reconnects: something broke here.
BROKEN = 1011


class PageConsumer(AsyncWebsocketConsumer):
    """One open page. It has no channel of its own: the hub hears the doorbell for all of them."""

    channel_layer_alias = "none: the hub listens"

    async def connect(self) -> None:
        """Accept, and close with a reason the page can show where it may not stay."""
        self._greeted = False
        self._late: asyncio.Task[None] | None = None
        self.hub = hubs.hub()
        self.hub.enter(self)
        session = self.scope.get("session")
        self.language = language_of(self.scope)
        self.session_key: str = (session.session_key if session is not None else None) or ""
        await self.accept()
        person = await self.hub.in_thread(self._person)
        if person is None:
            await self.close(SIGNED_OUT)
        elif (code := await self.open(person[1])) is not None:
            await self.close(code)
        else:
            self._late = asyncio.create_task(self._wait_for_hello())

    async def disconnect(self, code: int) -> None:
        """Stop."""
        if self._late is not None:
            self._late.cancel()
        await self.end()
        await self.hub.depart(self)

    async def end(self) -> None:
        """Let go of what `hello` has begun."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """The one message a client sends: what its page shows."""
        hello = _parse(text_data)
        if hello is None or self._greeted or self._late is None:
            await self.close(BAD_REQUEST)
            return
        self._greeted = True
        self._late.cancel()
        await self.hello(hello)

    async def _wait_for_hello(self) -> None:
        await asyncio.sleep(HELLO_SECONDS)
        await self.close(BAD_REQUEST)

    def _person(self) -> tuple[int, Grants] | None:
        return self.hub.standing.of({self.session_key}).get(self.session_key) if self.session_key else None

    async def open(self, grants: Grants) -> int | None:
        """Read the address; a close code where there is nothing to show."""
        raise NotImplementedError

    async def hello(self, message: dict[str, Any]) -> None:
        """Take over what the client shows."""
        raise NotImplementedError


class SharedConsumer(PageConsumer):
    """A page that shows what others show too: a `board` serves it.

    Hello: ``{"rows": {name: "section version"}, "frame": {id: etag}}``."""

    async def open(self, grants: Grants) -> int | None:
        try:
            key = self.board_key(grants, QueryDict(self.scope["query_string"].decode("latin-1")))
        except BadFilter:
            return BAD_REQUEST
        self.key = replace(key, language=self.language)
        self.shown = board.Shown()
        self._outbox: asyncio.Queue[str | None] = asyncio.Queue()
        self._sending = False
        self._sender = asyncio.create_task(self._send_all())
        return None

    def board_key(self, grants: Grants, query: QueryDict) -> board.Key:
        """What this page shows. Raises `BadFilter`."""
        return board.Key(grants)

    async def hello(self, message: dict[str, Any]) -> None:
        self.shown = board.Shown(_texts(message.get("rows")), _texts(message.get("frame")))
        await self.hub.join(self.key, self)

    async def end(self) -> None:
        self.hub.leave(self)
        if (sender := getattr(self, "_sender", None)) is not None:
            sender.cancel()

    def is_ready(self) -> bool:
        return self._outbox.empty() and not self._sending

    def give(self, html: str) -> None:
        self._outbox.put_nowait(html)

    def leave(self) -> None:
        self._outbox.put_nowait(None)

    def move(self, grants: Grants) -> None:
        self.key = replace(self.key, grants=grants)
        self.hub.serve(self.key, self)

    async def _send_all(self) -> None:
        while True:
            html = await self._outbox.get()
            self._sending = True
            if html is None:
                await self.close(SIGNED_OUT)
                return
            with contextlib.suppress(OSError, RuntimeError):  # it hung up while we were sending
                await self.send(text_data=html)
            self._sending = False


class FrameConsumer(SharedConsumer):
    """A page of which only the frame is live: banners, counts, health."""


class NowConsumer(SharedConsumer):
    """The list of events."""

    def board_key(self, grants: Grants, query: QueryDict) -> board.Key:
        cap = feed.ALL_ROWS_SHOWN if query.get("show") == "all" else feed.ROWS_SHOWN
        return board.Key(grants, EventFilter.parse({key: query.get(key) or "" for key in query}), cap)


class EventConsumer(PageConsumer):
    """One event's page. Hello: ``{"seq": last timeline entry shown, "regions": {id: etag}, "frame": {id: etag}}``."""

    async def open(self, grants: Grants) -> int | None:
        self.name = self.scope["url_route"]["kwargs"]["name"]
        self._wake = asyncio.Event()
        self.seq = 0
        self.etags: dict[str, str] = {}
        self.frame_etags: dict[str, str] = {}
        return None if await self.hub.in_thread(self._seen(grants).exists) else NOT_FOUND

    def _seen(self, grants: Grants) -> QuerySet[HealingEvent]:
        return HealingEvent.objects.filter(grants.places(Capability.VIEW), name=self.name)

    async def hello(self, message: dict[str, Any]) -> None:
        seq = message.get("seq")
        self.seq = max(0, seq) if isinstance(seq, int) else 0
        self.etags, self.frame_etags = _texts(message.get("regions")), _texts(message.get("frame"))
        await self.hub.listen(self._rung)
        self._pump = asyncio.create_task(self._run())

    async def end(self) -> None:
        self.hub.unlisten(self._rung)
        if (pump := getattr(self, "_pump", None)) is not None:
            pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pump

    def _rung(self, event_name: str) -> None:
        if event_name in ("", self.name):
            self._wake.set()

    async def _run(self) -> None:
        try:
            while True:
                self._wake.clear()
                html = await self.hub.in_thread(self._render)
                if html is None:
                    await self.close(SIGNED_OUT)
                    return
                if html:
                    await self.send(text_data=html)
                await asyncio.sleep(1 / RENDERS_A_SECOND)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), RESYNC_SECONDS)
        except Exception:  # the page reconnects and starts from what it shows; nothing is lost
            log.exception("live page failed", consumer=type(self).__name__)
            await self.close(BROKEN)

    def _render(self) -> str | None:
        """What the page does not have yet; None: this person may not see it any more. Queries."""
        # Rights are read after the content, so that what was written after they were taken away is not sent.
        person = self._person()
        user = User.objects.filter(pk=person[0]).first() if person else None
        if user is None:
            return None
        with translation.override(self.language):
            update = regions.update(self.name, user, self.seq, self.etags)
        person = self._person()
        if person is None or not self._seen(person[1]).exists():
            return None
        self.seq, self.etags = update.seq, update.etags
        around = self.hub.frame_regions(person[1], self.language)
        html = [region.html for region in around if self.frame_etags.get(region.element_id) != region.etag]
        self.frame_etags = {region.element_id: region.etag for region in around}
        return "\n".join(filter(None, [update.html, *html]))


def _parse(text: str | None) -> dict[str, Any] | None:
    if text is None or len(text) > MAX_HELLO_BYTES:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {key: text for key, text in value.items() if isinstance(key, str) and isinstance(text, str)}
