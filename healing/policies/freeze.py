"""Freeze windows: times in which nothing is changed unasked. Written as people say them:

``Sat,Sun 00:00-24:00 Europe/Berlin``, ``Mon-Fri 22:00-06:00`` (UTC; it ends the next morning), or once:
``2026-12-23T00:00Z/2027-01-02T00:00Z``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WEEKLY = re.compile(r"^(?P<days>[A-Za-z,\-]+) (?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)(?: (?P<zone>\S+))?$")
_HELP = "write 'Mon-Fri 22:00-06:00 Europe/Berlin' or '2026-12-23T00:00Z/2027-01-02T00:00Z'"


@dataclass(frozen=True, slots=True)
class FreezeWindow:
    """Once: ``begins`` and ``ends``. Weekly: ``days`` (0 is Monday) with minutes of the day, in ``zone``."""

    text: str
    begins: datetime | None = None
    ends: datetime | None = None
    days: frozenset[int] = frozenset()
    start_minute: int = 0
    end_minute: int = 0
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))

    def until(self, now: datetime) -> datetime | None:
        """When it ends, if ``now`` is in it."""
        if self.begins is not None and self.ends is not None:
            return self.ends if self.begins <= now < self.ends else None
        local = now.astimezone(self.zone)
        for days_ago in (0, 1):  # one that began yesterday may reach into today
            day = local.date() - timedelta(days=days_ago)
            if day.weekday() not in self.days:
                continue
            midnight = datetime.combine(day, time(), self.zone)
            length = self.end_minute - self.start_minute
            begins = midnight + timedelta(minutes=self.start_minute)
            ends = begins + timedelta(minutes=length if length > 0 else length + 24 * 60)
            if begins <= local < ends:
                return ends
        return None


def parse(text: str) -> FreezeWindow:
    """Raises `ValueError` that says how to write it."""
    if "/" in text and _WEEKLY.match(text) is None:
        return _once(text)
    match = _WEEKLY.match(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no freeze window: {_HELP}")
    try:
        zone = ZoneInfo(match["zone"] or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"{match['zone']!r} is no time zone: write one such as Europe/Berlin, or none for UTC"
        ) from error
    return FreezeWindow(
        text,
        days=_days(match["days"]),
        start_minute=_minute(match["start"]),
        end_minute=_minute(match["end"]),
        zone=zone,
    )


def _once(text: str) -> FreezeWindow:
    try:
        begins, ends = (datetime.fromisoformat(part.strip()) for part in text.split("/", 1))
    except ValueError as error:
        raise ValueError(f"{text!r} is no freeze window: {_HELP}") from error
    if begins.tzinfo is None or ends.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone: write 2026-12-23T00:00Z or 2026-12-23T00:00+01:00")
    if begins >= ends:
        raise ValueError(f"{text!r} ends before it begins")
    return FreezeWindow(text, begins=begins, ends=ends)


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        begin, end = _day(first), _day(last or first)
        found |= {(begin + n) % 7 for n in range((end - begin) % 7 + 1)}
    return frozenset(found)


def _day(text: str) -> int:
    name = text.strip()[:3].title()
    if name not in _DAYS:
        raise ValueError(f"{text!r} is no day: write {', '.join(_DAYS)}")
    return _DAYS.index(name)


def _minute(text: str) -> int:
    hours, minutes = (int(part) for part in text.split(":"))
    if hours > 24 or minutes > 59 or (hours == 24 and minutes):
        raise ValueError(f"{text!r} is no time of the day: write 00:00 to 24:00")
    return 60 * hours + minutes
