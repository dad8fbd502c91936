"""Which stretch of time and which place is counted: from the address bar or the API's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from urllib.parse import urlencode

from django.utils.translation import gettext as _

#: The choices beside a range of one's own. "Today" is the day in UTC.
DAYS = (1, 7, 30, 90)
DEFAULT_DAYS = 30
MOST_DAYS = 366
#: An assumption, and people may change it: what it takes a person to notice, find out, fix and look again.
MINUTES_PER_FIX = 30
MOST_MINUTES = 1440
MAX_NAME_LENGTH = 253

Step = Literal["hour", "day", "week"]


class BadScope(ValueError):
    """What was asked for cannot be counted; the message says what can."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Events detected from ``start`` until before ``end`` (days in UTC). ``days`` is 0 for a range of one's own."""

    start: datetime
    end: datetime
    days: int = DEFAULT_DAYS
    cluster: str = ""
    namespace: str = ""
    minutes_per_fix: int = MINUTES_PER_FIX

    @classmethod
    def parse(cls, values: Mapping[str, str], now: datetime) -> Scope:
        """From query parameters ``days`` or ``from`` and ``to`` (both days count), ``cluster``, ``namespace``,
        ``minutes``. Raises `BadScope`."""
        cluster, namespace = values.get("cluster", "").strip(), values.get("namespace", "").strip()
        if "\0" in cluster + namespace or max(len(cluster), len(namespace)) > MAX_NAME_LENGTH:
            raise BadScope(_("A name has %(most)s characters at most, and no NUL.") % {"most": MAX_NAME_LENGTH})
        minutes = _number(values.get("minutes", ""), "minutes", MINUTES_PER_FIX, MOST_MINUTES)
        today = now.astimezone(UTC).date()
        first, last = values.get("from", "").strip(), values.get("to", "").strip()
        if first or last:
            begin = _day(first, "from") if first else _day(last, "to")
            until = _day(last, "to") if last else today
            if until < begin:
                raise BadScope(_("The first day lies after the last one."))
            if (until - begin).days >= MOST_DAYS:
                raise BadScope(_("At most %(most)s days can be counted at once.") % {"most": MOST_DAYS})
            days = 0
        else:
            days = _number(values.get("days", ""), "days", DEFAULT_DAYS, MOST_DAYS)
            begin, until = today - timedelta(days=days - 1), today
        return cls(_midnight(begin), _midnight(until) + timedelta(days=1), days, cluster, namespace, minutes)

    @property
    def length_days(self) -> int:
        return (self.end - self.start).days

    @property
    def last_day(self) -> date:
        return (self.end - timedelta(days=1)).date()

    @property
    def step(self) -> Step:
        """What one bar of a drawing stands for."""
        return "hour" if self.length_days == 1 else "day" if self.length_days <= 92 else "week"

    def steps(self) -> list[datetime]:
        """The beginning of each bar, also of those in which nothing happened. Weeks begin on Mondays."""
        width = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}[self.step]
        at = self.start - timedelta(days=self.start.weekday()) if self.step == "week" else self.start
        found = []
        while at < self.end:
            found.append(at)
            at += width
        return found

    def query(self, **changed: object) -> str:
        """The parameters for links; ``changed`` replaces some."""
        values: dict[str, object] = {"days": self.days} if self.days else {}
        if not self.days:
            values = {"from": self.start.date().isoformat(), "to": self.last_day.isoformat()}
        values |= {"cluster": self.cluster, "namespace": self.namespace}
        if self.minutes_per_fix != MINUTES_PER_FIX:
            values["minutes"] = self.minutes_per_fix
        if "days" in changed:
            values = {key: value for key, value in values.items() if key not in ("from", "to")}
        return urlencode({key: value for key, value in {**values, **changed}.items() if value})


def _number(text: str, name: str, default: int, most: int) -> int:
    if not text.strip():
        return default
    if not (text.strip().isascii() and text.strip().isdigit()) or not 1 <= int(text[:9]) <= most:
        raise BadScope(_("'%(name)s' is a whole number from 1 to %(most)s.") % {"name": name, "most": most})
    return int(text)


def _day(text: str, name: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise BadScope(_("'%(name)s' is a day like 2031-05-04.") % {"name": name}) from None
    if not 2000 <= found.year <= 9000:
        raise BadScope(_("'%(name)s' is a day from the year 2000 on.") % {"name": name})
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
