"""Cron schedules as CronJobs have them: five fields, names of months and days, ``@hourly`` and the like."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

_MACROS = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_MONTHS = {name: n for n, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_DAYS = {name: n for n, name in enumerate("sun mon tue wed thu fri sat".split())}
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
#: a schedule that names no real day (31 February) is given up after so long
_HORIZON = timedelta(days=366 * 5)


@dataclass(frozen=True, slots=True)
class Schedule:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    #: a field that starts with * does not restrict; two that do are alternatives
    any_day: bool
    any_weekday: bool

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Raises ValueError."""
        fields = _MACROS.get(text.strip(), text).split()
        if len(fields) != 5:
            raise ValueError(f"expected exactly 5 fields, found {len(fields)}: {text!r}")
        minutes, hours, days, months, weekdays = (
            _field(field, *bounds, names)
            for field, bounds, names in zip(fields, _BOUNDS, ({}, {}, {}, _MONTHS, _DAYS), strict=True)
        )
        on = frozenset(day % 7 for day in weekdays)
        return cls(minutes, hours, days, months, on, fields[2].startswith("*"), fields[4].startswith("*"))

    def next_after(self, moment: float, zone: str = "UTC") -> float | None:
        """The next time after ``moment`` (both seconds since the epoch); None if there is none."""
        start = datetime.fromtimestamp(moment, ZoneInfo(zone))
        at = start.replace(second=0, microsecond=0) + timedelta(minutes=1)
        while at - start < _HORIZON:
            if at.month not in self.months or not self._is_day(at):
                at = (at + timedelta(days=1)).replace(hour=0, minute=0)
            elif at.hour not in self.hours:
                at = (at + timedelta(hours=1)).replace(minute=0)
            elif at.minute not in self.minutes:
                at += timedelta(minutes=1)
            else:
                return at.timestamp()
        return None

    def _is_day(self, at: datetime) -> bool:
        day, weekday = at.day in self.days, (at.weekday() + 1) % 7 in self.weekdays
        return (day and weekday) if self.any_day or self.any_weekday else (day or weekday)


def _field(text: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.lower().split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        if first in ("*", "?"):
            begin, end = low, high
        else:
            begin = names[first] if first in names else int(first)
            end = (names[last] if last in names else int(last)) if dash else (high if step else begin)
        if not low <= begin <= end <= high or (step and int(step) < 1):
            raise ValueError(f"{part!r} is not within {low}-{high}")
        found |= set(range(begin, end + 1, int(step or 1)))
    return frozenset(found)
