"""Warnings as people read them: what runs out, when, how that is known, and a drawing of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import QuerySet
from django.utils.translation import gettext as _, ngettext

from healing.access import Capability, Grants
from healing.dashboard.charts import quantity
from healing.models import ProactiveWarning, WarningKind, WarningState

WIDTH, HEIGHT = 480, 120
_PAD = 6
#: Closed ones that are shown below the open ones.
_CLOSED_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Outlook:
    """The drawing: what was, the limit, and the cone of what is foretold, in coordinates of `WIDTH` x `HEIGHT`."""

    line: str
    cone: str
    ahead: str
    limit_y: float
    now_x: float
    start: datetime
    end: datetime
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True, slots=True)
class Shown:
    """A warning with its words."""

    row: ProactiveWarning
    level: str
    limit: str
    rate: str
    basis: str
    outlook: Outlook | None
    may_prepare: bool


@dataclass(frozen=True, slots=True)
class Record:
    """How warnings of the last 30 days ended."""

    came_true: int
    prevented: int
    went_away: int
    dismissed: int

    @property
    def closed(self) -> int:
        return self.came_true + self.prevented + self.went_away + self.dismissed


def open_warnings(grants: Grants, cluster: str = "") -> list[Shown]:
    """Open ones, the most urgent first."""
    rows = visible(grants).filter(state=WarningState.OPEN, closed_at=None).select_related("event")
    if cluster:
        rows = rows.filter(cluster=cluster)
    return [show(row) for row in rows.order_by("breach_at", "pk")[:200]]


def open_warning_count(grants: Grants) -> int:
    """What the navigation's badge says."""
    return visible(grants).filter(state=WarningState.OPEN, closed_at=None).count()


def closed_warnings(grants: Grants) -> list[ProactiveWarning]:
    """The newest that are over."""
    rows = visible(grants).exclude(closed_at=None).exclude(state=WarningState.CLEARED, looks=1)
    return list(rows.select_related("event").order_by("-closed_at")[:_CLOSED_SHOWN])


def record(grants: Grants, now: datetime) -> Record:
    """Counts of the last 30 days; what was seen once only was never shown and does not count."""
    states = list(
        visible(grants)
        .filter(closed_at__gte=now - timedelta(days=30), looks__gt=1)
        .values_list("state", flat=True)
        .order_by()
    )
    return Record(*(states.count(s) for s in ("cameTrue", "prevented", "cleared", "dismissed")))


def visible(grants: Grants) -> QuerySet[ProactiveWarning]:
    """Warnings of places that the person may see."""
    return ProactiveWarning.objects.filter(grants.places(Capability.VIEW, namespace="namespace"))


def show(row: ProactiveWarning) -> Shown:
    """Words and drawing of one warning."""
    unit_of_values = "" if row.unit == "of quota" else row.unit
    return Shown(
        row=row,
        level=quantity(row.level, unit_of_values),
        limit=quantity(row.limit, unit_of_values),
        rate=_rate(row, unit_of_values),
        basis=_basis(row),
        outlook=_outlook(row),
        may_prepare=bool(row.proposal) and row.event_id is None,
    )


def _rate(row: ProactiveWarning, unit: str) -> str:
    if not row.slope_per_second:
        return ""
    if row.kind == WarningKind.MEMORY:
        return _("%(quantity)s a minute") % {"quantity": quantity(row.slope_per_second * 60, unit)}
    return _("%(quantity)s an hour") % {"quantity": quantity(row.slope_per_second * 3600, unit)}


def _basis(row: ProactiveWarning) -> str:
    evidence = row.evidence
    samples, span = evidence.get("samples"), evidence.get("spanSeconds")
    parts = []
    if row.kind == WarningKind.RESTARTS:
        seen = int(samples or 0)
        parts.append(ngettext("%(count)s restart so far", "%(count)s restarts so far", seen) % {"count": seen})
    elif samples and span:
        text = ngettext(
            "%(count)s sample over %(minutes)s minutes", "%(count)s samples over %(minutes)s minutes", int(samples)
        )
        parts.append(text % {"count": samples, "minutes": f"{float(span) / 60:.0f}"})
    if row.kind != WarningKind.RESTARTS and (season := evidence.get("seasonSeconds")):
        parts.append(_("a season of %(minutes)s minutes taken out") % {"minutes": f"{float(season) / 60:.0f}"})
    parts.append(_("%(percent)s%% sure") % {"percent": f"{row.confidence * 100:.0f}"})
    return ", ".join(parts)


def _outlook(row: ProactiveWarning) -> Outlook | None:
    points = [(float(t), float(v)) for t, v in row.evidence.get("points") or ()]
    if len(points) < 2 or row.kind == WarningKind.RESTARTS or row.limit <= 0:
        return None
    start, now = points[0][0], points[-1][0]
    history = now - start or 1.0
    due = row.breach_at.timestamp()
    latest = row.breach_latest_at.timestamp() if row.breach_latest_at else due + 2 * (due - now)
    # What is ahead gets at most twice the room of what is known.
    end = min(max(latest, now + 0.2 * history), now + 2 * history)
    highest, lowest = max(row.limit, *(v for _, v in points)), min(v for _, v in points)
    low = max(0.0, lowest - 0.5 * (highest - lowest))
    high = highest + 0.08 * (highest - low)

    def x(at: float) -> float:
        return round(_PAD + (at - start) / (end - start) * (WIDTH - 2 * _PAD), 1)

    def y(value: float) -> float:
        return round(HEIGHT - _PAD - (value - low) / (high - low) * (HEIGHT - 2 * _PAD), 1)

    def toward(at: float) -> Sequence[float]:
        """The point of the straight line from now to the limit at ``at``, where the drawing ends or the limit is."""
        if at <= end:
            return x(max(at, now)), y(row.limit)
        share = (end - now) / (at - now)
        return x(end), y(row.level + share * (row.limit - row.level))

    here = (x(now), y(row.level))
    early, late = toward(row.breach_earliest_at.timestamp()), toward(latest)
    return Outlook(
        line=_text([(x(t), y(v)) for t, v in points]),
        cone=_text([here, early, late]),
        ahead=_text([here, toward(due)]),
        limit_y=y(row.limit),
        now_x=x(now),
        start=datetime.fromtimestamp(start, UTC),
        end=datetime.fromtimestamp(end, UTC),
    )


def _text(points: Sequence[Sequence[float]]) -> str:
    return " ".join(f"{px},{py}" for px, py in points)
