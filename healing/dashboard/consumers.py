"""The sockets that keep pages fresh.

A message on the channel is a doorbell; the database is the data. A consumer joins the group first, then reads, then
sends what the client does not have; so what happens in between is seen twice at worst, and sending only differences
makes twice harmless. Bursts are gathered into at most `RENDERS_A_SECOND`; doorbells may be lost (the channel layer
keeps no queue), so every `RESYNC_SECONDS` the consumer looks without being rung.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from importlib import import_module
from typing import Any

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.http import QueryDict
from django.utils.crypto import constant_time_compare

from healing.dashboard import feed, regions
from healing.dispatch import DASHBOARD_GROUP
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
# One of the codes after which htmx reconnects: something broke here.
BROKEN = 1011


class LiveConsumer(AsyncWebsocketConsumer):
    """One open page. Subclasses say what a hello means and render what is newer."""

    async def connect(self) -> None:
        """Accept, and close with a reason the page can show where it may not stay."""
        self._wake = asyncio.Event()
        self._greeted = False
        self._pump: asyncio.Task[None] | None = None
        await self.accept()
        if await self.current_user() is None:
            await self.close(SIGNED_OUT)
            return
        self.groups = [DASHBOARD_GROUP]  # left again by the base class
        await self.channel_layer.group_add(DASHBOARD_GROUP, self.channel_name)
        if (code := await self.open()) is not None:
            await self.close(code)
            return
        self._pump = asyncio.create_task(self._run())

    async def disconnect(self, code: int) -> None:
        """Stop rendering."""
        if self._pump is not None:
            self._pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """The one message a client sends: what its page shows."""
        hello = _parse(text_data)
        if hello is None or self._greeted or self._pump is None:
            await self.close(BAD_REQUEST)
            return
        self.hello(hello)
        self._greeted = True
        self._wake.set()

    async def event_changed(self, message: dict[str, Any]) -> None:
        """A doorbell."""
        if self.concerns(str(message.get("event", ""))):
            self._wake.set()

    async def _run(self) -> None:
        try:
            await asyncio.wait_for(self._wait_for_hello(), HELLO_SECONDS)
            while True:
                self._wake.clear()
                user = await self.current_user()
                if user is None:
                    await self.close(SIGNED_OUT)
                    return
                html, more = await database_sync_to_async(self.render)(user)
                if html:
                    await self.send(text_data=html)
                await asyncio.sleep(1 / RENDERS_A_SECOND)
                if not more:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), RESYNC_SECONDS)
        except TimeoutError:
            await self.close(BAD_REQUEST)
        except Exception:  # the page reconnects and starts from what it shows; nothing is lost
            log.exception("live page failed", consumer=type(self).__name__)
            await self.close(BROKEN)

    async def _wait_for_hello(self) -> None:
        while not self._greeted:
            await self._wake.wait()
            if not self._greeted:
                self._wake.clear()

    async def current_user(self) -> User | None:
        """The person, read anew from the session: who was signed out or disabled gets no further message."""
        return await database_sync_to_async(self._read_user)()

    def _read_user(self) -> User | None:
        key = self.scope["session"].session_key
        stored = import_module(settings.SESSION_ENGINE).SessionStore(key).load() if key else {}
        user = User.objects.filter(pk=stored.get(SESSION_KEY, 0), is_active=True).first()
        if user is None:
            return None
        same = constant_time_compare(str(stored.get(HASH_SESSION_KEY, "")), user.get_session_auth_hash())
        return user if same else None

    async def open(self) -> int | None:
        """Read the address; a close code where there is nothing to show."""
        raise NotImplementedError

    def hello(self, message: dict[str, Any]) -> None:
        """Take over what the client shows."""
        raise NotImplementedError

    def concerns(self, event_name: str) -> bool:
        """Whether a doorbell for that event can change this page."""
        raise NotImplementedError

    def render(self, user: User) -> tuple[str, bool]:
        """What the page does not have yet, and whether there is still more. Runs in a thread, may query."""
        raise NotImplementedError


class NowConsumer(LiveConsumer):
    """The list of events. Hello: ``{"rows": {name: "section version"}}``."""

    async def open(self) -> int | None:
        try:
            self.filters = EventFilter.parse(QueryDict(self.scope["query_string"].decode("latin-1")).dict())
        except BadFilter:
            return BAD_REQUEST
        self.shown: dict[str, str] = {}
        return None

    def hello(self, message: dict[str, Any]) -> None:
        self.shown = _texts(message.get("rows"))

    def concerns(self, event_name: str) -> bool:
        return True

    def render(self, user: User) -> tuple[str, bool]:
        update = feed.update(self.filters, self.shown)
        self.shown = update.shown
        return update.html, update.more


class EventConsumer(LiveConsumer):
    """One event's page. Hello: ``{"seq": last timeline entry shown, "regions": {id: etag}}``."""

    async def open(self) -> int | None:
        self.name = self.scope["url_route"]["kwargs"]["name"]
        self.seq = 0
        self.etags: dict[str, str] = {}
        exists = await HealingEvent.objects.filter(name=self.name).aexists()
        return None if exists else NOT_FOUND

    def hello(self, message: dict[str, Any]) -> None:
        seq = message.get("seq")
        self.seq = max(0, seq) if isinstance(seq, int) else 0
        self.etags = _texts(message.get("regions"))

    def concerns(self, event_name: str) -> bool:
        return event_name == str(self.name)

    def render(self, user: User) -> tuple[str, bool]:
        update = regions.update(self.name, user, self.seq, self.etags)
        self.seq, self.etags = update.seq, update.etags
        return update.html, False


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
