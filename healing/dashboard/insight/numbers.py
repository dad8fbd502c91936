"""The numbers themselves. Every one says of how many cases it is; what a person may not see is not counted.

``healed`` was verified; ``recovered`` went away by itself; what was ``declined`` or went away is no failure to heal, so
the healed share is of those that were healed, escalated or failed."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import TruncDay, TruncHour, TruncWeek

from healing.access import Capability, Grants
from healing.dashboard.insight.people import People, people
from healing.dashboard.insight.percentiles import Spread, spreads
from healing.dashboard.insight.scope import Scope
from healing.dashboard.insight.warned import Warned, warned
from healing.lifecycle import BUDGET_SECONDS, Outcome, Wound
from healing.models import EventFigures, HealingEvent, Involvement

_TRUNCATE = {"hour": TruncHour, "day": TruncDay, "week": TruncWeek}
_HEALED = Q(outcome=Outcome.HEALED)
_FELL_TO_US = Q(outcome__in=(Outcome.HEALED, Outcome.ESCALATED, Outcome.FAILED))
#: What one row of the tables by cause, namespace, … adds up.
_COUNTS = {
    "events": Count("id"),
    "healed": Count("id", filter=_HEALED),
    "alone": Count("id", filter=_HEALED & Q(involvement=Involvement.NONE)),
    "recovered": Count("id", filter=Q(outcome=Outcome.RECOVERED)),
    "declined": Count("id", filter=Q(outcome=Outcome.DECLINED)),
    "escalated": Count("id", filter=Q(outcome=Outcome.ESCALATED)),
    "failed": Count("id", filter=Q(outcome=Outcome.FAILED)),
}
#: So many rows of each table; the rest is in the export.
MOST_ROWS = 200
#: Numbers kept, for so many combinations of a scope and rights; retention takes rows away between others.
MOST_KEPT, KEPT_SECONDS = 64, 60.0


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of events; ``alone`` are those healed without any person. ``key``: what they have in common."""

    key: str = ""
    events: int = 0
    healed: int = 0
    alone: int = 0
    recovered: int = 0
    declined: int = 0
    escalated: int = 0
    failed: int = 0
    total: Spread = field(default_factory=Spread)

    @property
    def fell_to_us(self) -> int:
        """How many were to be healed."""
        return self.healed + self.escalated + self.failed

    @property
    def with_people(self) -> int:
        return self.healed - self.alone

    @property
    def healed_share(self) -> float | None:
        return self.healed / self.fell_to_us if self.fell_to_us else None

    @property
    def alone_share(self) -> float | None:
        return self.alone / self.fell_to_us if self.fell_to_us else None


@dataclass(frozen=True, slots=True)
class Clock:
    """One phase against its budget; ``within`` of ``spread.n`` kept to it."""

    wound: Wound
    budget_seconds: float
    spread: Spread
    within: int


@dataclass(frozen=True, slots=True)
class Numbers:
    """Everything the page shows, for one scope and one person's rights."""

    scope: Scope
    all: Tally
    #: since healed in [start of each bar]
    trend: Sequence[tuple[datetime, Tally]]
    clocks: Sequence[Clock]
    by: dict[str, list[Tally]]
    told_by_people: int
    #: healed by a person's own hands, though we had seen it
    by_hand: int
    #: went away by itself before anything was done about it
    false_alarms: int
    undone: int
    undo_failed: int
    open_now: int
    people: People
    warned: Warned

    @property
    def saved_hours(self) -> float:
        """What people did not have to do, by the scope's assumption."""
        return self.all.alone * self.scope.minutes_per_fix / 60

    @property
    def found_by_us_share(self) -> float | None:
        return 1 - self.told_by_people / self.all.events if self.all.events else None


def read(scope: Scope, grants: Grants) -> Numbers:
    """Count. A fixed number of queries, whatever there is to count; what has ended is counted again only after more
    has ended, or `KEPT_SECONDS`."""
    events = HealingEvent.objects.filter(grants.places(Capability.VIEW), **_place(scope, "target_namespace"))
    return Numbers(
        scope=scope,
        open_now=events.filter(finished_at=None).count(),
        people=people(scope, grants),
        warned=warned(scope, grants),
        **_kept.get(scope, grants),
    )


class _Kept:
    """Rows of events that have ended never change: the same rows give the same numbers, until there are more."""

    def __init__(self) -> None:
        self._found: OrderedDict[Any, tuple[float, dict[str, Any]]] = OrderedDict()

    def get(self, scope: Scope, grants: Grants) -> dict[str, Any]:
        ids = EventFigures.objects.aggregate(first=Min("id"), last=Max("id"))
        database = connection.settings_dict["NAME"]
        key = (replace(scope, minutes_per_fix=0), grants, ids["first"], ids["last"], str(database))
        at, numbers = self._found.get(key, (0.0, {}))
        now = time.monotonic()
        if not numbers or now - at > KEPT_SECONDS:
            numbers = _of_ended(scope, grants)
            self._found[key] = (now, numbers)
            self._found.move_to_end(key)
            while len(self._found) > MOST_KEPT:
                self._found.popitem(last=False)
        return numbers


_kept = _Kept()


def _of_ended(scope: Scope, grants: Grants) -> dict[str, Any]:
    """The fields of `Numbers` that are about what has ended."""
    rows = _rows(scope, grants)
    budgets = {f"{wound.value.lower()}_seconds": (wound, seconds) for wound, seconds in BUDGET_SECONDS.items()}
    within = {f"{column}_within": Count("id", filter=Q(**{f"{column}__lte": s})) for column, (_, s) in budgets.items()}
    counted = rows.order_by().aggregate(
        **_COUNTS,
        **within,
        told_by_people=Count("id", filter=Q(source="person")),
        by_hand=Count("id", filter=_HEALED & Q(involvement=Involvement.HAND)),
        false_alarms=Count("id", filter=Q(outcome=Outcome.RECOVERED, acted=False)),
        undone=Sum("undone", default=0),
        undo_failed=Sum("undo_failed", default=0),
    )
    times = spreads(rows, (), {**dict.fromkeys(budgets, Q()), "total_seconds": _HEALED})[()]
    return dict(
        all=Tally("", **{name: counted[name] for name in _COUNTS}, total=times["total_seconds"]),
        trend=_trend(rows, scope),
        clocks=[Clock(wound, s, times[c], counted[f"{c}_within"]) for c, (wound, s) in budgets.items()],
        by={
            "cause": _by(rows, "cause"),
            "namespace": _by(rows, "namespace"),
            "policy": _by(rows, "policy_name"),
            "cluster": _by(rows, "cluster"),
        },
        **{name: counted[name] for name in ("told_by_people", "by_hand", "false_alarms", "undone", "undo_failed")},
    )


def _rows(scope: Scope, grants: Grants) -> QuerySet[EventFigures]:
    places = grants.places(Capability.VIEW, namespace="namespace")
    period = Q(detected_at__gte=scope.start, detected_at__lt=scope.end)
    return EventFigures.objects.filter(places, period, **_place(scope, "namespace"))


def _place(scope: Scope, namespace: str) -> dict[str, str]:
    wanted = {"cluster": scope.cluster, namespace: scope.namespace}
    return {name: value for name, value in wanted.items() if value}


def _by(rows: QuerySet[EventFigures], column: str) -> list[Tally]:
    """One tally a value, those with most events first."""
    counted = rows.order_by().values(column).annotate(**_COUNTS).order_by("-events", column)[:MOST_ROWS]
    times = spreads(rows.filter(_HEALED), (column,), {"total_seconds": Q()})
    return [
        Tally(
            row[column],
            **{name: row[name] for name in _COUNTS},
            total=times.get((row[column],), {}).get("total_seconds", Spread()),
        )
        for row in counted
    ]


def _trend(rows: QuerySet[EventFigures], scope: Scope) -> list[tuple[datetime, Tally]]:
    stepped = rows.annotate(at=_TRUNCATE[scope.step](F("detected_at"), tzinfo=UTC))
    counted: dict[datetime, Any] = {row["at"]: row for row in stepped.order_by().values("at").annotate(**_COUNTS)}
    times = spreads(stepped.filter(_HEALED), ("at",), {"total_seconds": Q()})
    found = []
    for at in scope.steps():
        counts = {name: counted[at][name] for name in _COUNTS} if at in counted else {}
        found.append((at, Tally(**counts, total=times.get((at,), {}).get("total_seconds", Spread()))))
    return found
