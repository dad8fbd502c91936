"""The event's row, its timeline and its clocks: small writes under the row lock, and the messages that follow."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, QuerySet

from healing import dispatch, observing, shared_clock
from healing.lifecycle import LONGEST_WAIT_SECONDS, RUN_DEADLINE_SECONDS, Phase, Status
from healing.models import HealingEvent, PhaseRun, PhaseRunState, TimelineEntry
from healing.phase import LostRun, Note


def lock(**query: Any) -> HealingEvent | None:
    return HealingEvent.objects.select_for_update(of=("self",)).filter(**query).first()


def lock_mine(event_id: int, run_id: uuid.UUID) -> HealingEvent:
    event = lock(pk=event_id)
    if event is None or event.run_id != run_id or event.status != Status.RUNNING:
        raise LostRun
    return event


def queue(event: HealingEvent, delay_seconds: float = 0.0) -> None:
    delay_seconds = min(delay_seconds, LONGEST_WAIT_SECONDS)
    event.status = Status.QUEUED
    event.run_id = uuid.uuid4()
    event.lease_expires_at = None
    event.next_attempt_at = shared_clock.now() + timedelta(seconds=delay_seconds) if delay_seconds else None
    send(event, delay_seconds)


def send(event: HealingEvent, delay_seconds: float = 0.0) -> None:
    event.dispatched_at = shared_clock.now() + timedelta(seconds=delay_seconds)
    pk, run_id, phase = event.pk, event.run_id, Phase(event.phase)
    dispatch.after_commit("run", lambda: dispatch.send_run(pk, run_id, phase, countdown_seconds=delay_seconds))


def append(event: HealingEvent, notes: Sequence[Note], now: datetime) -> None:
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


def current_phase_run(event: HealingEvent) -> QuerySet[PhaseRun]:
    return PhaseRun.objects.filter(event=event, phase=event.phase, finished_at__isnull=True)


def start_phase_run(event: HealingEvent, now: datetime) -> None:
    if not current_phase_run(event).update(claims=F("claims") + 1):
        number = PhaseRun.objects.filter(event=event, phase=event.phase).count() + 1
        PhaseRun.objects.create(event=event, phase=event.phase, number=number, started_at=now)


def finish_phase_run(event: HealingEvent, now: datetime, result: dict[str, Any]) -> None:
    current = current_phase_run(event).first()
    if current is None:
        return
    current.finished_at = now
    current.result = result
    took = (now - current.started_at).total_seconds()
    if "error" in result:
        current.state, current.error = PhaseRunState.FAILED, str(result["error"])
    elif (
        event.phase not in (Phase.VERIFYING, Phase.AWAITING_APPROVAL)
        and not result.get("waitedFor")
        and took > RUN_DEADLINE_SECONDS[Phase(event.phase)]
    ):
        current.state = PhaseRunState.LATE
    else:
        current.state = PhaseRunState.DONE
    current.save()
    observing.phase_left(current)
    if event.phase == Phase.AWAITING_APPROVAL:
        event.waited_seconds += took


def save(event: HealingEvent, *, is_news: bool = True) -> None:
    """``is_news=False``: nothing that a page or a resource shows has changed."""
    event.save()
    if not is_news:
        return
    name, seq, pk = event.name, event.seq, event.pk
    dispatch.after_commit("doorbell", lambda: dispatch.ring_doorbell(name, seq))
    dispatch.after_commit("mirror", lambda: dispatch.send_mirror(pk))
