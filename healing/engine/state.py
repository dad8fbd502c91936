"""How a result, a failure or a lost worker changes an event. Every function needs the event's row lock."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from healing import observing
from healing.engine import record
from healing.lifecycle import (
    MAX_TRIES,
    ON_EXHAUSTED,
    OUTAGE_PATIENCE_SECONDS,
    TERMINAL_PHASE_OF_OUTCOME,
    Outcome,
    Phase,
    Status,
    check_transition,
    is_terminal,
    retry_delay_seconds,
    status_on_entry,
)
from healing.models import HealingEvent
from healing.phase import Note, PhaseResult

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


class WrongPhase(Exception):
    """The event is not (any more) where the caller thought."""

    def __init__(self, event: HealingEvent) -> None:
        super().__init__(f"{event.name} is in phase {event.phase}.")
        self.event = event


def apply(event: HealingEvent, result: PhaseResult, now: datetime) -> None:
    unknown = result.fields.keys() - PHASE_FIELDS
    if unknown:
        raise ValueError(f"A phase may not set {', '.join(sorted(unknown))}.")
    for name, value in result.fields.items():
        setattr(event, name, value)
    if result.outcome is not None:
        event.outcome = result.outcome
        event.outcome_reason = result.outcome_reason
    record.append(event, result.notes, now)
    event.tries = 0
    if result.next is None:
        record.queue(event, result.wait_seconds)
        if result.result:
            record.current_phase_run(event).update(result=result.result)
    else:
        enter(event, result.next, now, result.result)
    if result.writes is not None:
        result.writes(event)
    record.save(event)


def enter(event: HealingEvent, phase: Phase, now: datetime, result: dict[str, Any]) -> None:
    source = Phase(event.phase)
    check_transition(source, phase)
    if is_terminal(phase):
        if not event.outcome or TERMINAL_PHASE_OF_OUTCOME[Outcome(event.outcome)] != phase:
            raise ValueError(f"Outcome {event.outcome!r} does not end in {phase}.")
        event.finished_at = now
    record.finish_phase_run(event, now, result)
    event.phase = phase
    event.lease_expires_at = None
    if is_terminal(phase):
        observing.ended(event, now)
    if status_on_entry(phase) == Status.QUEUED:
        record.queue(event)
        return
    event.status = status_on_entry(phase)
    event.run_id = uuid.uuid4()
    event.next_attempt_at = None
    if event.status == Status.WAITING:
        record.start_phase_run(event, now)


def _patience_ends(event: HealingEvent) -> datetime | None:
    current = record.current_phase_run(event).first()
    return current.started_at + timedelta(seconds=OUTAGE_PATIENCE_SECONDS) if current else None


def retry_or_give_up(event: HealingEvent, now: datetime, kind: str, text: str, *, is_outage: bool = False) -> None:
    """``is_outage``: nothing is wrong with the event or with us, the cluster does not answer."""
    phase = Phase(event.phase)
    give_up_at = _patience_ends(event) if is_outage else None
    if event.tries < MAX_TRIES or (give_up_at is not None and now < give_up_at):
        delay = retry_delay_seconds(event.tries)
        how_long = f"{event.tries} of {MAX_TRIES}"
        if give_up_at is not None:
            event.tries = min(event.tries, MAX_TRIES - 1)  # what fails for another reason afterwards has a try left
            how_long = f"until {give_up_at:%H:%M:%S} UTC"
        message = f"{phase}: {text}. Trying again in {delay:.0f} s ({how_long})."
        record.append(event, [Note(kind, message, data={"error": text, "tries": event.tries})], now)
        record.queue(event, delay)
        return
    event.tries = 0
    message = f"{phase} was given up after {MAX_TRIES} tries: {text}"
    record.append(event, [Note("given-up", message, data={"error": text})], now)
    if phase is Phase.LEARNING:  # what cannot be remembered has happened all the same
        if not event.outcome:
            event.outcome, event.outcome_reason = Outcome.FAILED, message
        target = TERMINAL_PHASE_OF_OUTCOME[Outcome(event.outcome)]
    else:
        target, outcome = ON_EXHAUSTED[phase]
        if outcome is not None:
            event.outcome, event.outcome_reason = outcome, message
    enter(event, target, now, {"error": text})
