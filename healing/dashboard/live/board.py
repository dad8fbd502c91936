"""What all pages with one filter and one scope show: read once, the differences worked out once, and fanned out.

Pages that show exactly the same hold the very same dictionary of it, so that what they lack is worked out once for all
of them. A page whose browser is slow is passed over until it has taken what it was sent, and then gets the sum.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from django.conf import settings
from django.utils import translation

from healing.access import Grants
from healing.dashboard import feed, frame
from healing.event_filters import EventFilter


@dataclass(frozen=True, slots=True)
class Key:
    """What is shown to whom. ``filters`` None: only the frame. ``cap``: rows of the live section. ``language``: one of
    `LANGUAGES`."""

    grants: Grants
    filters: EventFilter | None = None
    cap: int = feed.ROWS_SHOWN
    language: str = settings.LANGUAGE_CODE


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


@dataclass(frozen=True, slots=True)
class Alike:
    """Pages of a board that show the same, and what brings them up to date; ``html`` is empty where nothing does."""

    shown: Shown
    members: Sequence[Member]
    html: str = ""
    then: Shown = field(default_factory=Shown)
    more: bool = False


class Board:
    """``is_due``: something may be new, or somebody lacks what there is."""

    def __init__(self, key: Key, rendered: feed.RowStore) -> None:
        self.key = key
        self.members: set[Member] = set()
        self.is_due = True
        self._content = feed.Content(key.filters, key.grants, key.cap, rendered) if key.filters is not None else None
        self._latest = Shown()

    def add(self, member: Member) -> None:
        """Serve a page, starting with what it lacks."""
        self.members.add(member)
        self.is_due = True

    def discard(self, member: Member) -> None:
        """Serve it no longer."""
        self.members.discard(member)

    def alike(self) -> list[Alike]:
        """Who can take something, by what they show. Whoever cannot yet is looked after in the next round."""
        found: dict[int, tuple[Shown, list[Member]]] = {}
        for member in self.members:
            if member.is_ready():
                found.setdefault(id(member.shown), (member.shown, []))[1].append(member)
            else:
                self.is_due = True
        return [Alike(shown, members) for shown, members in found.values()]

    def look(self, groups: Sequence[Alike], regions: Sequence[frame.FrameRegion]) -> list[Alike]:
        """What each group lacks. Queries; all that is sent is read here."""
        with translation.override(self.key.language):
            if self._content is not None:
                self._content.read()
            return [self._difference(group, regions) for group in groups]

    def deal(self, groups: Sequence[Alike], standing: Mapping[str, tuple[int, Grants]], asked: Collection[str]) -> None:
        """Give everybody what they lack who may still see it. ``asked``: the sessions that ``standing`` was asked for;
        who has come since is looked after in the next round."""
        for member in list(self.members):
            if member.session_key not in asked:
                continue
            if (person := standing.get(member.session_key)) is None:
                self.discard(member)
                member.leave()
            elif person[1] != self.key.grants:
                self.discard(member)
                member.move(person[1])
        for group in groups:
            self.is_due = self.is_due or group.more
            for member in group.members:
                if member in self.members:
                    member.shown = group.then
                    if group.html:
                        member.give(group.html)

    def _difference(self, group: Alike, regions: Sequence[frame.FrameRegion]) -> Alike:
        shown = group.shown
        html = [region.html for region in regions if shown.regions.get(region.element_id) != region.etag]
        rows, more = shown.rows, False
        if self._content is not None:
            update = self._content.difference(shown.rows)
            rows, more = update.shown, update.more
            html.insert(0, update.html)  # type: ignore[arg-type]  # safe parts, joined below
        then = Shown(rows, {region.element_id: region.etag for region in regions})
        if then == shown:
            return Alike(shown, group.members, "", self._same(shown), more)
        return Alike(shown, group.members, "\n".join(filter(None, html)), self._same(then), more)

    def _same(self, shown: Shown) -> Shown:
        """The one object for all that show the same."""
        if self._latest != shown:
            self._latest = shown
        return self._latest
