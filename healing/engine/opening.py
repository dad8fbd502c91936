"""A fault becomes an event, or joins the one that is open."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from healing import observing, shared_clock
from healing.engine import record
from healing.faults import Fault
from healing.models import ActorKind, HealingEvent, Policy
from healing.phase import Note

_SIGNALS_KEPT = 50


def open_event(fault: Fault, policy: Policy | None) -> tuple[HealingEvent, bool]:
    """Open an event for the fault, or add it to the one that is open. Returns (event, whether it is new)."""
    while True:
        with transaction.atomic():
            event = record.lock(cluster=fault.cluster, fingerprint=fault.fingerprint, finished_at__isnull=True)
            if event is not None:
                _add_signal(event, fault)
                return event, False
        try:
            with transaction.atomic():
                return _create(fault, policy), True
        except IntegrityError:
            continue  # another process opened it in between: add to that one


def _create(fault: Fault, policy: Policy | None) -> HealingEvent:
    event = HealingEvent.objects.create(
        cluster=fault.cluster,
        fingerprint=fault.fingerprint,
        target_kind=fault.target.kind,
        target_namespace=fault.target.namespace,
        target_name=fault.target.name,
        target_uid=fault.target.uid,
        subject=fault.subject.as_json() if fault.subject else {},
        symptom=fault.symptom,
        message=fault.message,
        severity=fault.severity,
        source=fault.source,
        signals=[_signal(fault)],
        last_seen_at=fault.observed_at,
        detected_at=fault.observed_at,
        policy=policy,
        policy_name=str(policy) if policy else "",
        policy_snapshot=policy.spec if policy else {},
    )
    note = Note("detected", fault.message, data=_signal(fault), actor_kind=ActorKind.RULE, source=fault.source)
    record.append(event, [note], shared_clock.now())
    record.queue(event)
    record.save(event)
    observing.opened(event)
    return event


def _signal(fault: Fault) -> dict[str, Any]:
    return {
        "symptom": fault.symptom,
        "message": fault.message,
        "subject": fault.subject.as_json() if fault.subject else {},
        "source": str(fault.source),
        "severity": str(fault.severity),
        "at": fault.observed_at.isoformat(),
        "data": fault.data,
    }


def _add_signal(event: HealingEvent, fault: Fault) -> None:
    event.occurrences += 1
    event.last_seen_at = max(event.last_seen_at, fault.observed_at)
    new = _signal(fault)
    if any(s["symptom"] == new["symptom"] and s["subject"] == new["subject"] for s in event.signals):
        event.save(update_fields=["occurrences", "last_seen_at"])
        return
    first_of_its_kind = all(s["symptom"] != new["symptom"] for s in event.signals)
    event.signals = [*event.signals, new][-_SIGNALS_KEPT:]
    if first_of_its_kind:
        note = Note("signal", fault.message, data=new, actor_kind=ActorKind.RULE, source=fault.source)
        record.append(event, [note], shared_clock.now())
    record.save(event)
