"""One reader for all pages that show the same: the database is read once, the differences are fanned out.

Pages that show exactly the same hold the very same dictionary of it, so that what they lack is worked out once for all
of them. A page whose browser is slow is passed over until it has taken what it was sent, and then gets the sum.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import structlog

from healing.access import Grants
from healing.dashboard import feed, frame
from healing.event_filters import EventFilter

if TYPE_CHECKING:
    from healing.dashboard.live.hub import Hub

log = structlog.get_logger(__name__)

RENDERS_A_SECOND = 4
#: Without a doorbell (one may be lost; health and freeze windows have none) it is looked all the same.
RESYNC_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Key:
    """What is shown to whom. ``filters`` None: only the frame. ``cap``: rows of the live section."""

    grants: Grants
    filters: EventFilter | None = None
    cap: int = feed.ROWS_SHOWN


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page shows: rows as ``{name: "section version"}``, regions of the frame as ``{id: etag}``. Never changed
    in place: pages that show the same share it."""

    rows: Mapping[str, str] = field(default_factory=dict)
    regions: Mapping[str, str] = field(default_factory=dict)


class Member(Protocol):
    """An open page."""

    session_key: str
    shown: Shown

    def is_ready(self) -> bool:
        """Whether it has taken all that it was sent."""

    def give(self, html: str) -> None:
        """Send without waiting."""

    def leave(self) -> None:
        """Close: the person may see nothing any more."""

    def move(self, grants: Grants) -> None:
        """The person's rights have changed: another board serves the page from now on."""


class Board:
    """Runs while it has members."""

    def __init__(self, hub: Hub, key: Key) -> None:
        self.key = key
        self._hub = hub
        self._members: set[Member] = set()
        self._wake = asyncio.Event()
        self._content = feed.Content(key.filters, key.grants, key.cap) if key.filters is not None else None
        self._task = asyncio.create_task(self._run())

    def add(self, member: Member) -> None:
        """Serve a page, starting with what it lacks."""
        self._members.add(member)
        self._wake.set()

    def discard(self, member: Member) -> bool:
        """Serve it no longer; whether nobody is left."""
        self._members.discard(member)
        return not self._members

    def wake(self) -> None:
        """Something may be new."""
        self._wake.set()

    async def stop(self) -> None:
        """End, without another look."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            started = loop.time()
            try:
                again = await self._pass()
            except Exception:  # the database may be away for a moment; the pages stay as they are
                log.exception("dashboards not updated")
                again = False
            # What took long is done less often: the process has other things to do.
            took = loop.time() - started
            await asyncio.sleep(max(1 / RENDERS_A_SECOND - took, took, 0.05))
            if not again:
                try:
                    await asyncio.wait_for(self._wake.wait(), RESYNC_SECONDS)
                except TimeoutError:
                    continue

    async def _pass(self) -> bool:
        """Look once and give everybody what they lack; whether there is more to give."""
        members = list(self._members)
        if not members:
            return False
        regions = await self._hub.in_thread(self._read)
        # After the content: whoever lost access before something was written does not get it.
        standing = await self._hub.in_thread(self._hub.standing.of, {member.session_key for member in members})
        alike: dict[int, list[Member]] = {}
        for member in members:
            if member not in self._members:
                continue
            if (person := standing.get(member.session_key)) is None:
                self._members.discard(member)
                member.leave()
            elif person[1] != self.key.grants:
                self._members.discard(member)
                member.move(person[1])
            elif member.is_ready():
                alike.setdefault(id(member.shown), []).append(member)
        more = False
        for group in alike.values():
            # In the thread: what a page lacks may have to be read and rendered first.
            html, shown, rest = await self._hub.in_thread(self._difference, group[0].shown, regions)
            more = more or rest
            for member in group:
                member.shown = shown
                if html:
                    member.give(html)
        return more

    def _read(self) -> list[frame.FrameRegion]:
        if self._content is not None:
            self._content.read()
        return self._hub.frame_regions(self.key.grants)

    def _difference(self, shown: Shown, regions: list[frame.FrameRegion]) -> tuple[str, Shown, bool]:
        html = [region.html for region in regions if shown.regions.get(region.element_id) != region.etag]
        rows, more = shown.rows, False
        if self._content is not None:
            update = self._content.difference(shown.rows)
            rows, more = update.shown, update.more
            html.insert(0, update.html)  # type: ignore[arg-type]  # safe parts, joined below
        etags = {region.element_id: region.etag for region in regions}
        if rows == shown.rows and etags == shown.regions:
            return "", self._same(shown), more
        return "\n".join(filter(None, html)), self._same(Shown(rows, etags)), more

    def _same(self, shown: Shown) -> Shown:
        """The one object for all that show the same."""
        latest = getattr(self, "_latest", None)
        if latest is None or latest != shown:
            self._latest: Shown = shown
        return self._latest
