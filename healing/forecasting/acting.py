"""From a warning to an event: the fix is diagnosed, argued, approved and verified like any other, and never unasked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from django.db import transaction

from healing import audit, engine
from healing.audit import Actor
from healing.faults import Fault, Severity, SignalSource
from healing.findings import FORESEEN
from healing.models import HealingEvent, Policy, ProactiveWarning, WarningKind, WarningState
from healing.ports.cluster import ObjectRef

#: The cause behind a warning, by which fixes are found.
_CAUSES: Mapping[str, str] = MappingProxyType(
    {WarningKind.MEMORY: "MemoryLeak", WarningKind.VOLUME: "DiskFull", WarningKind.QUOTA: "QuotaExceeded"}
)


class CannotPrepare(Exception):
    """Why no fix can be prepared, for people."""


def prepare(warning_id: int, *, actor: Actor, now: datetime) -> HealingEvent:
    """Open an event for the warning (or give the one that it has). Raises `CannotPrepare`."""
    with transaction.atomic():
        row = ProactiveWarning.objects.select_for_update(of=("self",)).get(pk=warning_id)
        if row.event_id is not None and row.event is not None:
            return row.event
        if row.closed_at is not None:
            raise CannotPrepare(f"This warning is over: {row.get_state_display()}. {row.state_reason}".strip())
        if row.kind not in _CAUSES:
            raise CannotPrepare("There is no action for this yet: a person has to look at it.")
        policy = next((p for p in Policy.objects.filter(cluster=row.cluster) if str(p) == row.policy_name), None)
        if policy is None or not policy.enabled:
            raise CannotPrepare("No policy covers this workload any more.")
        event, is_new = engine.open_event(_fault(row, actor.name, now), policy)
        if not is_new:
            raise CannotPrepare(f"{event.name} is about the same object already: decide about that one first.")
        row.event, row.state = event, WarningState.OPEN
        row.save(update_fields=["event", "state"])
        _audit("warning.prepared", row, actor, {"event": event.name})
        return event


def dismiss(warning_id: int, *, actor: Actor, reason: str, now: datetime) -> None:
    """A person says that nothing is to be done. Raises `CannotPrepare`: it is over already."""
    with transaction.atomic():
        row = ProactiveWarning.objects.select_for_update(of=("self",)).get(pk=warning_id)
        if row.closed_at is not None:
            raise CannotPrepare(f"This warning is over already: {row.get_state_display()}.")
        row.state, row.state_reason, row.closed_at, row.closed_by = WarningState.DISMISSED, reason, now, actor.name
        row.save(update_fields=["state", "state_reason", "closed_at", "closed_by"])
        _audit("warning.dismissed", row, actor, {"reason": reason})


def _audit(action: str, row: ProactiveWarning, actor: Actor, data: dict[str, Any]) -> None:
    data = {"warning": row.pk, **data}
    audit.record(action, actor=actor, target=str(row), cluster=row.cluster, namespace=row.namespace, data=data)


def _fault(row: ProactiveWarning, by: str, now: datetime) -> Fault:
    workload = ObjectRef(row.workload_kind, row.namespace, row.workload_name)
    one = ObjectRef(row.object_kind, row.namespace, row.object_name)
    return Fault(
        cluster=row.cluster,
        target=workload if row.workload_name else one,
        symptom=row.kind,
        message=row.message,
        severity=Severity.LOW,
        source=SignalSource.FORECAST,
        observed_at=now,
        subject=one,
        data={FORESEEN: _foreseen(row, one), "warning": row.pk, "askedBy": by},
    )


def _foreseen(row: ProactiveWarning, one: ObjectRef) -> dict[str, Any]:
    """What diagnosis takes as its finding where it sees nothing wrong yet, and what verification compares with."""
    facts: dict[str, Any] = {}
    match row.kind:
        case WarningKind.MEMORY:
            facts = {"container": row.part}
        case WarningKind.VOLUME:
            facts = {"claim": row.object_name}
        case WarningKind.QUOTA:
            facts = {"quota": row.object_name, "resources": [row.part]}
    return {
        "kind": str(row.kind),
        "cause": _CAUSES[row.kind],
        "object": one.as_json(),
        "part": row.part,
        "confidence": row.confidence,
        "explanation": row.message,
        "facts": facts,
        "fraction": row.level / row.limit if row.limit else 1.0,
        "points": row.evidence.get("points", []),
        "limit": row.limit,
        "unit": row.unit,
    }


def propose_due(cluster: str, now: datetime) -> int:
    """Open events for warnings whose policy has its fixes prepared. Returns how many."""
    wanted = {
        str(policy)
        for policy, spec in Policy.usable(cluster)
        if spec.forecasts.act == "propose" and spec.autonomy != "observe"
    }
    rows = ProactiveWarning.objects.filter(
        cluster=cluster, state=WarningState.OPEN, closed_at=None, event=None, policy_name__in=wanted, kind__in=_CAUSES
    )
    count = 0
    for pk in rows.values_list("pk", flat=True):
        try:
            prepare(pk, actor=Actor("rule", "forecasts.act"), now=now)
        except CannotPrepare:
            continue
        count += 1
    return count
