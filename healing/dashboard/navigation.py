"""The one list of the places there are: the rail, the command palette and the keyboard sheet are made of it.

An entry appears when its address exists and the person may see it. To add a page: one `Entry`, one `path`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from healing.access import Capability, Grants


@dataclass(frozen=True, slots=True)
class Entry:
    """``chord``: the key after ``g``. ``capability``: needed anywhere at all. ``badge``: which of the frame's counts
    stands beside it. ``for_staff``: Django's own flag decides (the admin site asks for it)."""

    key: str
    label: str | Promise
    icon: str
    url_name: str
    chord: str = ""
    capability: Capability = Capability.VIEW
    badge: str = ""
    for_staff: bool = False
    #: a gap before it in the rail
    starts_group: bool = False


NAVIGATION: Sequence[Entry] = (
    Entry("now", _("Now"), "pulse", "dashboard:now", "n", badge="waiting"),
    Entry("history", _("History"), "clock", "dashboard:history", "h"),
    Entry("map", _("Map"), "map", "dashboard:map", "m"),
    Entry("insight", _("Insight"), "metric", "dashboard:insight", "i"),
    Entry("warnings", _("Warnings"), "alert", "dashboard:warnings", "w", badge="warnings"),
    Entry("knowledge", _("Knowledge"), "book", "dashboard:knowledge", "k"),
    Entry("policies", _("Policies"), "shield", "dashboard:policies", "p", starts_group=True),
    Entry("audit", _("Audit"), "log", "dashboard:audit", "u", capability=Capability.ADMIN),
    Entry("notifications", _("Notifications"), "bell", "dashboard:notifications", "o"),
    Entry("tokens", _("Tokens"), "key", "dashboard:tokens", "t"),
    Entry("settings", _("Settings"), "gear", "dashboard:settings", "s"),
    Entry("admin", _("Admin"), "person", "admin:index", "a", for_staff=True),
)


@dataclass(frozen=True, slots=True)
class Place:
    """An entry as one person sees it on one page."""

    entry: Entry
    url: str
    current: bool
    count: int = 0


def places(user: User, grants: Grants, path: str, counts: Mapping[str, int]) -> list[Place]:
    """What this person may go to. ``path``: the page they are on; ``counts``: by `Entry.badge`."""
    found = []
    for entry in NAVIGATION:
        url = _url(entry.url_name)
        allowed = user.is_staff if entry.for_staff else grants.may_somewhere(entry.capability)
        if url and allowed:
            current = path == url or (url != "/" and path.startswith(url))
            found.append(Place(entry, url, current, counts.get(entry.badge, 0)))
    return found


def _url(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""
