"""Claim a run, let the phase's handler work outside any transaction, commit what it came to."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Mapping
from datetime import timedelta

import structlog
from django.db import transaction

from healing import shared_clock, telemetry
from healing.actions.runner import TryLater
from healing.deadline import Deadline
from healing.engine import leasing, record, state
from healing.lifecycle import LEASE_GRACE_SECONDS, LONGEST_WAIT_SECONDS, RUN_DEADLINE_SECONDS, Phase, Status
from healing.models import HealingEvent
from healing.phase import LostRun, Note, PhaseContext, PhaseHandler, PhaseResult
from healing.ports import Ports
from healing.ports.errors import RateLimited, Unavailable

log = structlog.get_logger(__name__)

#: A message may arrive this much before its time.
CLOCK_SLACK = timedelta(milliseconds=300)
_LONGEST_WAIT = timedelta(seconds=LONGEST_WAIT_SECONDS) + CLOCK_SLACK


def run(event_id: int, run_id: uuid.UUID, *, ports: Ports, handlers: Mapping[Phase, PhaseHandler]) -> bool:
    """Claim and run what the message asks for. False: there was nothing to do (redelivered, or taken over)."""
    event = claim(event_id, run_id)
    if event is None:
        return False
    # Every line of the log says which event it is about, and so does every span below this one.
    about = {"event_name": event.name, "cluster": event.cluster, "run_id": str(run_id), "phase": str(event.phase)}
    with structlog.contextvars.bound_contextvars(**about), telemetry.span(f"phase {event.phase}"):
        return _run_claimed(event, run_id, ports, handlers)


def _run_claimed(event: HealingEvent, run_id: uuid.UUID, ports: Ports, handlers: Mapping[Phase, PhaseHandler]) -> bool:
    event_id, phase = event.pk, Phase(event.phase)
    context = PhaseContext(
        event=event,
        policy=event.policy_spec,
        ports=ports,
        deadline=Deadline.after(RUN_DEADLINE_SECONDS[phase]),
        is_retry=event.tries > 1,
        _report=functools.partial(_report, event_id, run_id),
    )
    try:
        with leasing.kept(event_id, run_id, RUN_DEADLINE_SECONDS[phase]):
            result = handlers[phase](context)
        commit(event_id, run_id, result)
    except LostRun:
        log.warning("run lost")
        return False
    except Exception as error:  # any fault of a handler becomes a retry, then a person's problem
        log.exception("phase failed")
        _fail_run(event_id, run_id, error)
    return True


def claim(event_id: int, run_id: uuid.UUID) -> HealingEvent | None:
    """Take the run: only the first message with the current ``run_id`` gets the event."""
    now = shared_clock.now()
    with transaction.atomic():
        event = record.lock(pk=event_id)
        if event is None or event.run_id != run_id or event.status != Status.QUEUED:
            return None
        if event.next_attempt_at is not None and CLOCK_SLACK < event.next_attempt_at - now <= _LONGEST_WAIT:
            return None
        is_first = event.phase == Phase.PENDING
        if is_first:
            event.phase = Phase.CONTAINING
        event.status = Status.RUNNING
        event.tries += 1
        event.next_attempt_at = None
        event.lease_expires_at = now + _lease(event)
        record.start_phase_run(event, now)
        record.save(event, is_news=is_first or event.tries > 1)
    return event


def commit(event_id: int, run_id: uuid.UUID, result: PhaseResult) -> HealingEvent:
    """Make a run's result durable. Raises `LostRun` if another worker owns the phase by now."""
    with transaction.atomic():
        event = record.lock_mine(event_id, run_id)
        state.apply(event, result, shared_clock.now())
    return event


def move(event_id: int, expect: Phase, result: PhaseResult) -> HealingEvent:
    """Move an event that waits for a person. Raises `WrongPhase` if it does not wait in ``expect``."""
    with transaction.atomic():
        event = HealingEvent.objects.select_for_update(of=("self",)).get(pk=event_id)
        if event.phase != expect or event.status == Status.RUNNING:
            raise state.WrongPhase(event)
        state.apply(event, result, shared_clock.now())
    return event


def interrupt(event_id: int, result: PhaseResult) -> HealingEvent:
    """Move an event wherever it is, even if a worker runs it: that worker has lost its run, and touches nothing more.

    Raises `IllegalTransition`."""
    with transaction.atomic():
        event = HealingEvent.objects.select_for_update(of=("self",)).get(pk=event_id)
        state.apply(event, result, shared_clock.now())
    return event


def add_note(event_id: int, note: Note) -> None:
    """Put a note on an event's timeline from outside a run: upkeep, after the event's end too."""
    with transaction.atomic():
        event = record.lock(pk=event_id)
        if event is not None:
            record.append(event, [note], shared_clock.now())
            record.save(event)


def _report(event_id: int, run_id: uuid.UUID, note: Note | None) -> None:
    """Whoever reports is alive: its lease is renewed, so that a slow run is not begun a second time beside it."""
    with transaction.atomic():
        event = record.lock_mine(event_id, run_id)
        now = shared_clock.now()
        event.lease_expires_at = max(event.lease_expires_at or now, now + _lease(event))
        if note is None:
            event.save(update_fields=["lease_expires_at"])
        else:
            record.append(event, [note], now)
            record.save(event)


def _lease(event: HealingEvent) -> timedelta:
    return timedelta(seconds=RUN_DEADLINE_SECONDS[Phase(event.phase)] + LEASE_GRACE_SECONDS)


def _fail_run(event_id: int, run_id: uuid.UUID, error: Exception) -> None:
    """A handler raised: try again with back-off, or give the phase up."""
    text = f"{type(error).__name__}: {error}"
    try:
        with transaction.atomic():
            event = record.lock_mine(event_id, run_id)
            is_outage = isinstance(error, Unavailable | RateLimited | TryLater)
            state.retry_or_give_up(event, shared_clock.now(), "failed", text, is_outage=is_outage)
            record.save(event)
    except LostRun:
        log.warning("run lost while failing", event_id=event_id)
