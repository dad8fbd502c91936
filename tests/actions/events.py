"""Events, policies and contexts for tests that call handlers and the runner directly."""

from __future__ import annotations

import itertools
from typing import Any

from django.utils import timezone

from healing import engine
from healing.deadline import Deadline
from healing.faults import Fault, Severity, SignalSource
from healing.lifecycle import Phase
from healing.models import HealingEvent, Policy
from healing.phase import Note, PhaseContext, PhaseResult
from healing.policies.spec import PolicySpec
from healing.ports import ObjectRef, Ports

_numbers = itertools.count(1)


def policy(namespace: str, **spec: Any) -> Policy:
    """camelCase fields of the spec; checked as a resource's would be."""
    full = PolicySpec.model_validate({"targetNamespaces": [namespace], **spec})
    return Policy.objects.create(namespace=namespace, name=f"heal-{next(_numbers)}", spec=full.as_json())


def event(
    target: ObjectRef,
    symptom: str = "CrashLoopBackOff",
    *,
    subject: ObjectRef | None = None,
    under: Policy | None = None,
    severity: Severity = Severity.HIGH,
    source: SignalSource = SignalSource.WATCH,
    **spec: Any,
) -> HealingEvent:
    """A new event about the target."""
    fault = Fault(
        cluster="default",
        target=target,
        symptom=symptom,
        message=f"{target.name}: {symptom}",
        severity=severity,
        source=source,
        observed_at=timezone.now(),
        subject=subject,
    )
    opened, _ = engine.open_event(fault, under or policy(target.namespace or "none", **spec))
    return opened


def context(of: HealingEvent, ports: Ports, notes: list[Note] | None = None, seconds: float = 60.0) -> PhaseContext:
    """What the engine would give to a handler."""
    kept: list[Note] = notes if notes is not None else []

    def report(note: Note | None) -> None:
        if note is not None:
            kept.append(note)

    return PhaseContext(
        event=of, policy=of.policy_spec, ports=ports, deadline=Deadline.after(seconds), is_retry=False, _report=report
    )


def put(of: HealingEvent, phase: Phase, **fields: Any) -> HealingEvent:
    """Set the event where a test needs it."""
    HealingEvent.objects.filter(pk=of.pk).update(phase=phase, **fields)
    of.refresh_from_db()
    return of


def commit(of: HealingEvent, result: PhaseResult) -> HealingEvent:
    """What the engine does with a handler's result, without its queue."""
    for name, value in result.fields.items():
        setattr(of, name, value)
    if result.next is not None:
        of.phase = result.next
    if result.outcome is not None:
        of.outcome, of.outcome_reason = result.outcome, result.outcome_reason
    of.save()
    if result.writes is not None:
        result.writes(of)
    return of
