"""The only writer of an event's state.

A short transaction claims a run (compare-and-swap on ``run_id``), the phase's handler runs outside any
transaction, a second short transaction commits its result, its timeline entries and the next state, and
enqueues the next run when it is durable. A worker may be killed at any line: its lease expires, `sweep` queues
the run anew, and whoever comes back late finds that ``run_id`` is no longer its own.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from healing import dispatch
from healing.deadline import Deadline
from healing.faults import Fault
from healing.lifecycle import (
    LEASE_GRACE_SECONDS,
    MAX_TRIES,
    ON_EXHAUSTED,
    RUN_DEADLINE_SECONDS,
    TERMINAL_PHASE_OF_OUTCOME,
    Outcome,
    Phase,
    Status,
    check_transition,
    is_terminal,
    retry_delay_seconds,
    status_on_entry,
)
from healing.models import ActorKind, HealingEvent, PhaseRun, PhaseRunState, Policy, TimelineEntry
from healing.phase import LostRun, Note, PhaseContext, PhaseHandler, PhaseResult
from healing.ports import Ports

log = structlog.get_logger(__name__)

#: A queued run whose message nobody took in this time is sent again.
REDISPATCH_AFTER = timedelta(seconds=15)
#: A message may arrive this much before its time.
CLOCK_SLACK = timedelta(milliseconds=300)
#: Columns a phase may set through `PhaseResult.fields`.
PHASE_FIELDS = frozenset(
    {
        "attempt",
        "cause",
        "cause_object",
        "confidence",
        "contained_at",
        "diagnosed_at",
        "diagnosis",
        "healed_at",
        "knowledge_ref",
    }
)
_SIGNALS_KEPT = 50


class WrongPhase(Exception):
    """The event is not (any more) where the caller thought."""

    def __init__(self, event: HealingEvent) -> None:
        super().__init__(f"{event.name} is in phase {event.phase}.")
        self.event = event


# --- opening -----------------------------------------------------------------------------------------------


def open_event(fault: Fault, policy: Policy | None) -> tuple[HealingEvent, bool]:
    """Open an event for the fault, or add it to the one that is open. Returns (event, whether it is new)."""
    while True:
        with transaction.atomic():
            event = _lock(cluster=fault.cluster, fingerprint=fault.fingerprint, finished_at__isnull=True)
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
    _append(event, [note], timezone.now())
    _queue(event)
    _save(event)
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
        _append(event, [note], timezone.now())
    _save(event)


# --- running -----------------------------------------------------------------------------------------------


def run(event_id: int, run_id: uuid.UUID, *, ports: Ports, handlers: Mapping[Phase, PhaseHandler]) -> bool:
    """Claim and run what the message asks for. False: there was nothing to do (redelivered, or taken over)."""
    event = claim(event_id, run_id)
    if event is None:
        return False
    phase = Phase(event.phase)
    context = PhaseContext(
        event=event,
        policy=event.policy_spec,
        ports=ports,
        deadline=Deadline.after(RUN_DEADLINE_SECONDS[phase]),
        is_retry=event.tries > 1,
        _report=functools.partial(_report, event_id, run_id),
    )
    try:
        commit(event_id, run_id, handlers[phase](context))
    except LostRun:
        log.warning("run lost", event_name=event.name, phase=phase)
        return False
    except Exception as error:  # any fault of a handler becomes a retry, then a person's problem
        log.exception("phase failed", event_name=event.name, phase=phase)
        _fail_run(event_id, run_id, error)
    return True


def claim(event_id: int, run_id: uuid.UUID) -> HealingEvent | None:
    """Take the run: only the first message with the current ``run_id`` gets the event."""
    now = timezone.now()
    with transaction.atomic():
        event = _lock(pk=event_id)
        if event is None or event.run_id != run_id or event.status != Status.QUEUED:
            return None
        if event.next_attempt_at is not None and event.next_attempt_at > now + CLOCK_SLACK:
            return None
        if event.phase == Phase.PENDING:
            event.phase = Phase.CONTAINING
        event.status = Status.RUNNING
        event.tries += 1
        event.next_attempt_at = None
        lease_seconds = RUN_DEADLINE_SECONDS[Phase(event.phase)] + LEASE_GRACE_SECONDS
        event.lease_expires_at = now + timedelta(seconds=lease_seconds)
        _start_phase_run(event, now)
        _save(event)
    return event


def commit(event_id: int, run_id: uuid.UUID, result: PhaseResult) -> HealingEvent:
    """Make a run's result durable. Raises `LostRun` if another worker owns the phase by now."""
    with transaction.atomic():
        event = _lock_mine(event_id, run_id)
        _apply(event, result, timezone.now())
    return event


def move(event_id: int, expect: Phase, result: PhaseResult) -> HealingEvent:
    """Move an event that waits for a person. Raises `WrongPhase` if it does not wait in ``expect``."""
    with transaction.atomic():
        event = HealingEvent.objects.select_for_update(of=("self",)).get(pk=event_id)
        if event.phase != expect or event.status == Status.RUNNING:
            raise WrongPhase(event)
        _apply(event, result, timezone.now())
    return event


def _report(event_id: int, run_id: uuid.UUID, note: Note | None) -> None:
    with transaction.atomic():
        event = _lock_mine(event_id, run_id)
        if note is not None:
            _append(event, [note], timezone.now())
            _save(event)


def _apply(event: HealingEvent, result: PhaseResult, now: datetime) -> None:
    unknown = result.fields.keys() - PHASE_FIELDS
    if unknown:
        raise ValueError(f"A phase may not set {', '.join(sorted(unknown))}.")
    for name, value in result.fields.items():
        setattr(event, name, value)
    if result.outcome is not None:
        event.outcome = result.outcome
        event.outcome_reason = result.outcome_reason
    _append(event, result.notes, now)
    event.tries = 0
    if result.next is None:
        _queue(event, result.wait_seconds)
        if result.result:
            _current_phase_run(event).update(result=result.result)
    else:
        _enter(event, result.next, now, result.result)
    if result.writes is not None:
        result.writes(event)
    _save(event)


def _enter(event: HealingEvent, phase: Phase, now: datetime, result: dict[str, Any]) -> None:
    source = Phase(event.phase)
    check_transition(source, phase)
    if is_terminal(phase):
        if not event.outcome or TERMINAL_PHASE_OF_OUTCOME[Outcome(event.outcome)] != phase:
            raise ValueError(f"Outcome {event.outcome!r} does not end in {phase}.")
        event.finished_at = now
    _finish_phase_run(event, now, result)
    event.phase = phase
    event.lease_expires_at = None
    if status_on_entry(phase) == Status.QUEUED:
        _queue(event)
        return
    event.status = status_on_entry(phase)
    event.run_id = uuid.uuid4()
    event.next_attempt_at = None
    if event.status == Status.WAITING:
        _start_phase_run(event, now)


def _fail_run(event_id: int, run_id: uuid.UUID, error: Exception) -> None:
    """A handler raised: try again with back-off, or give the phase up."""
    text = f"{type(error).__name__}: {error}"
    try:
        with transaction.atomic():
            event = _lock_mine(event_id, run_id)
            _retry_or_give_up(event, timezone.now(), "failed", text)
            _save(event)
    except LostRun:
        log.warning("run lost while failing", event_id=event_id)


def _retry_or_give_up(event: HealingEvent, now: datetime, kind: str, text: str) -> None:
    phase = Phase(event.phase)
    if event.tries < MAX_TRIES:
        delay = retry_delay_seconds(event.tries)
        message = f"{phase}: {text}. Trying again in {delay:.0f} s ({event.tries} of {MAX_TRIES})."
        _append(event, [Note(kind, message, data={"error": text, "tries": event.tries})], now)
        _queue(event, delay)
        return
    event.tries = 0
    message = f"{phase} was given up after {MAX_TRIES} tries: {text}"
    _append(event, [Note("given-up", message, data={"error": text})], now)
    if phase is Phase.LEARNING:  # what cannot be remembered has happened all the same
        if not event.outcome:
            event.outcome, event.outcome_reason = Outcome.FAILED, message
        target = TERMINAL_PHASE_OF_OUTCOME[Outcome(event.outcome)]
    else:
        target, outcome = ON_EXHAUSTED[phase]
        if outcome is not None:
            event.outcome, event.outcome_reason = outcome, message
    _enter(event, target, now, {"error": text})


# --- sweeping ----------------------------------------------------------------------------------------------


def sweep(now: datetime | None = None, batch: int = 200) -> int:
    """Queue again what fell between two processes: lost messages and dead workers. Returns how many."""
    now = now or timezone.now()
    lost = Q(status=Status.RUNNING, lease_expires_at__lt=now)
    due = Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=now)
    unsent = Q(status=Status.QUEUED) & due & (Q(dispatched_at__isnull=True) | Q(dispatched_at__lt=now - REDISPATCH_AFTER))
    ids = HealingEvent.objects.filter(lost | unsent).order_by("id").values_list("pk", flat=True)[:batch]
    return sum(_sweep_one(pk, lost | unsent, now) for pk in ids)


def _sweep_one(pk: int, condition: Q, now: datetime) -> bool:
    with transaction.atomic():
        event = HealingEvent.objects.select_for_update(of=("self",), skip_locked=True).filter(condition, pk=pk).first()
        if event is None:
            return False
        if event.status == Status.RUNNING:
            _retry_or_give_up(event, now, "worker-lost", "the worker did not come back")
        else:
            _send(event)
        _save(event)
    return True


# --- small parts -------------------------------------------------------------------------------------------


def _lock(**query: Any) -> HealingEvent | None:
    return HealingEvent.objects.select_for_update(of=("self",)).filter(**query).first()


def _lock_mine(event_id: int, run_id: uuid.UUID) -> HealingEvent:
    event = _lock(pk=event_id)
    if event is None or event.run_id != run_id or event.status != Status.RUNNING:
        raise LostRun
    return event


def _queue(event: HealingEvent, delay_seconds: float = 0.0) -> None:
    event.status = Status.QUEUED
    event.run_id = uuid.uuid4()
    event.lease_expires_at = None
    event.next_attempt_at = timezone.now() + timedelta(seconds=delay_seconds) if delay_seconds else None
    _send(event, delay_seconds)


def _send(event: HealingEvent, delay_seconds: float = 0.0) -> None:
    event.dispatched_at = timezone.now() + timedelta(seconds=delay_seconds)
    pk, run_id, phase = event.pk, event.run_id, Phase(event.phase)
    dispatch.after_commit("run", lambda: dispatch.send_run(pk, run_id, phase, countdown_seconds=delay_seconds))


def _append(event: HealingEvent, notes: Sequence[Note], now: datetime) -> None:
    """Timeline entries under the event's row lock: ``seq`` has no gaps. The caller saves the event."""
    entries = []
    for note in notes:
        event.seq += 1
        entries.append(
            TimelineEntry(
                event=event,
                seq=event.seq,
                at=now,
                phase=event.phase,
                kind=note.kind,
                actor_kind=note.actor_kind,
                actor=note.actor,
                source=note.source,
                message=note.message,
                data=note.data,
            )
        )
    TimelineEntry.objects.bulk_create(entries)


def _current_phase_run(event: HealingEvent) -> QuerySet[PhaseRun]:
    return PhaseRun.objects.filter(event=event, phase=event.phase, finished_at__isnull=True)


def _start_phase_run(event: HealingEvent, now: datetime) -> None:
    if not _current_phase_run(event).update(claims=F("claims") + 1):
        number = PhaseRun.objects.filter(event=event, phase=event.phase).count() + 1
        PhaseRun.objects.create(event=event, phase=event.phase, number=number, started_at=now)


def _finish_phase_run(event: HealingEvent, now: datetime, result: dict[str, Any]) -> None:
    current = _current_phase_run(event).first()
    if current is None:
        return
    current.finished_at = now
    current.result = result
    took = (now - current.started_at).total_seconds()
    if "error" in result:
        current.state, current.error = PhaseRunState.FAILED, str(result["error"])
    elif event.phase not in (Phase.VERIFYING, Phase.AWAITING_APPROVAL) and took > RUN_DEADLINE_SECONDS[Phase(event.phase)]:
        current.state = PhaseRunState.LATE
    else:
        current.state = PhaseRunState.DONE
    current.save()
    if event.phase == Phase.AWAITING_APPROVAL:
        event.waited_seconds += took


def _save(event: HealingEvent) -> None:
    event.save()
    name, seq, pk = event.name, event.seq, event.pk
    dispatch.after_commit("doorbell", lambda: dispatch.ring_doorbell(name, seq))
    dispatch.after_commit("mirror", lambda: dispatch.send_mirror(pk))
