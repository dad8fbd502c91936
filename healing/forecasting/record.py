"""Warnings as rows: one that is live at a place is brought up to date, one that is seen no more is closed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from healing.forecasting.model import Foreseen
from healing.forecasting.words import PROPOSALS, sentence
from healing.lifecycle import Outcome
from healing.models import HealingEvent, ProactiveWarning, WarningState
from healing.models.warning import LIVE
from healing.ports.cluster import ObjectRef

#: A warning is shown when it was seen so often: one look may be mistaken.
LOOKS_TO_OPEN = 2
#: Not seen for so many rounds of its scale: gone.
_ROUNDS_TO_CLEAR = 3
_POINTS_KEPT = 120
#: So full counts as reached.
_REACHED = 0.98


@dataclass(frozen=True, slots=True)
class Placed:
    """Something foreseen, with the object that people know it by and the workload that a fix would touch."""

    foreseen: Foreseen
    object: ObjectRef
    workload: ObjectRef | None
    policy_name: str

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """A place: there is one live warning at each."""
        one = self.object
        return self.foreseen.kind, one.namespace, one.kind, one.name, self.foreseen.part


def write(cluster: str, found: Iterable[Placed], now: datetime) -> None:
    """Bring the rows up to date. Of several at one place the most urgent counts."""
    urgent: dict[tuple[str, ...], Placed] = {}
    for placed in found:
        known = urgent.get(placed.key)
        if known is None or placed.foreseen.breach.seconds < known.foreseen.breach.seconds:
            urgent[placed.key] = placed
    for placed in urgent.values():
        with transaction.atomic():
            _write_one(cluster, placed, now)


def _write_one(cluster: str, placed: Placed, now: datetime) -> None:
    found, one, workload = placed.foreseen, placed.object, placed.workload
    kind, namespace, object_kind, object_name, part = placed.key
    live = ProactiveWarning.objects.select_for_update().filter(closed_at=None)
    row = live.filter(
        cluster=cluster, kind=kind, namespace=namespace, object_kind=object_kind, object_name=object_name, part=part
    ).first()
    if row is None:
        row = ProactiveWarning(
            cluster=cluster, kind=kind, namespace=namespace, object_kind=object_kind, object_name=object_name, part=part
        )
        row.opened_at = now
    else:
        row.looks += 1
        if row.state == WarningState.SUSPECTED and row.looks >= LOOKS_TO_OPEN:
            row.state = WarningState.OPEN
    action, why = PROPOSALS.get(found.kind, ("", ""))
    latest = found.breach.latest_seconds
    row.workload_kind, row.workload_name = (workload.kind, workload.name) if workload else ("", "")
    row.message = sentence(found, one.kind, one.name)
    row.unit, row.level, row.limit = found.unit, found.level, found.limit
    row.slope_per_second, row.confidence = found.slope_per_second, found.confidence
    row.breach_at = now + timedelta(seconds=found.breach.seconds)
    row.breach_earliest_at = now + timedelta(seconds=found.breach.earliest_seconds)
    row.breach_latest_at = None if latest is None else now + timedelta(seconds=latest)
    row.evidence = {
        "points": [[round(t), v] for t, v in thin(found.points)],
        "query": found.query,
        "subject": found.subject.as_json(),
        **found.details,
    }
    row.proposal = {"action": action, "why": why} if action else {}
    row.policy_name, row.seen_at = placed.policy_name, now
    row.save()


def thin(points: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """At most `_POINTS_KEPT`, the newest among them."""
    step = max(1, -(-len(points) // _POINTS_KEPT))
    return list(points[::-1][::step][::-1])


def close_unseen(cluster: str, scale: str, every_seconds: float, now: datetime) -> int:
    """Warnings of a scale that its last rounds have not seen. Returns how many were closed."""
    before = now - timedelta(seconds=_ROUNDS_TO_CLEAR * every_seconds)
    rows = ProactiveWarning.objects.filter(
        cluster=cluster, state__in=LIVE, closed_at=None, seen_at__lt=before, evidence__scale=scale
    )
    return sum(_close(row, now) for row in rows.select_related("event"))


def _close(row: ProactiveWarning, now: datetime) -> bool:
    if row.event is not None and row.event.finished_at is None:
        return False  # its event says how it ends
    if row.state == WarningState.SUSPECTED:
        state, reason = WarningState.CLEARED, "It was seen once only."
    elif row.event is not None and row.event.outcome == Outcome.HEALED:
        state, reason = WarningState.PREVENTED, f"{row.event.name} was carried out and verified."
    elif fault := _fault_of(row):
        state, reason = WarningState.CAME_TRUE, f"{fault.name}: {fault.symptom}"
    elif row.limit and row.level >= _REACHED * row.limit:
        state, reason = WarningState.CAME_TRUE, "The limit was reached."
    else:
        state, reason = WarningState.CLEARED, "The trend ended before the limit."
    return bool(
        ProactiveWarning.objects.filter(pk=row.pk, closed_at=None).update(
            state=state, state_reason=reason, closed_at=now
        )
    )


def _fault_of(row: ProactiveWarning) -> HealingEvent | None:
    """A fault of the same workload or object since the warning, near the time that was foretold."""
    names = {(row.object_kind, row.object_name), (row.workload_kind, row.workload_name)} - {("", "")}
    events = HealingEvent.objects.filter(
        cluster=row.cluster, target_namespace=row.namespace, detected_at__gte=row.opened_at
    ).exclude(source="forecast")
    return next((e for e in events.order_by("pk")[:50] if (e.target_kind, e.target_name) in names), None)
