"""A person takes an event over by hand: automation stops for it, until it is given back, fixed or well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from healing import audit, engine, shared_clock
from healing.access import Capability
from healing.approvals import permissions
from healing.approvals.errors import AlreadyTaken, DecisionError, NotAllowed
from healing.audit import Actor
from healing.lifecycle import TRANSITIONS, Outcome, Phase
from healing.metacognition import by_person
from healing.models import (
    ActionState,
    ActorKind,
    Approval,
    ApprovalState,
    HealingEvent,
    Strategy,
    StrategyState,
    Takeover,
    TakeoverEnd,
)
from healing.phase import Note, PhaseResult

#: After that an event that is forgotten in somebody's hands is escalated.
LONGEST = timedelta(hours=24)


def open_takeover(event: HealingEvent) -> Takeover | None:
    """In whose hands it is."""
    return event.takeovers.filter(ended_at=None).first()


def take_over(event_id: int, *, by: User, reason: str = "", actor: Actor | None = None) -> Takeover:
    """Automation stops: what a worker is doing with the event is not committed, and nothing more is sent.

    What was carried out before stays as it is."""
    with _locked(event_id, by) as (event, now):
        if (taken := open_takeover(event)) is not None:
            raise AlreadyTaken(taken)
        phase = Phase(event.phase)
        if phase is not Phase.AWAITING_APPROVAL and Phase.AWAITING_APPROVAL not in TRANSITIONS[phase]:
            says = "It has only just been seen: try again in a moment." if phase is Phase.PENDING else "It is over."
            raise DecisionError(f"This cannot be taken over. {says}")
        approval = event.approvals.filter(state=ApprovalState.OPEN).first()
        if approval is not None:
            _close(approval, by, now, reason)
        event.strategies.filter(attempt=event.attempt, state=StrategyState.CHOSEN).update(
            state=StrategyState.PROPOSED, state_reason=f"{by} took the event over by hand"
        )
        takeover = Takeover.objects.create(event=event, by=by, by_name=str(by), reason=reason, at=now, phase=phase)
        message = f"{by} took this over by hand{f': {reason}' if reason else ''}. {_done_so_far(event)}"
        note = _note("taken-over", message, by)
        if phase is Phase.AWAITING_APPROVAL:
            engine.add_note(event.pk, note)
        else:
            engine.interrupt(event.pk, PhaseResult(Phase.AWAITING_APPROVAL, [note]))
        _record("event.taken-over", event, by, actor, {"reason": reason, "phase": str(phase)})
        return takeover


def give_back(event_id: int, *, by: User, reason: str = "", actor: Actor | None = None) -> Takeover:
    """Automation goes on: it diagnoses or plans anew."""
    with _locked(event_id, by) as (event, now):
        takeover = _mine(event, by)
        _end(takeover, TakeoverEnd.RELEASED, now)
        tried = event.strategies.filter(attempt=event.attempt, state=StrategyState.APPLIED).exists()
        message = f"{by} gave it back to ReCiSt{f': {reason}' if reason else ''}."
        result = PhaseResult(
            Phase.PLANNING if event.diagnosed_at else Phase.DIAGNOSING,
            [_note("given-back", message, by)],
            fields={"attempt": event.attempt + 1} if tried else {},
        )
        engine.move(event.pk, Phase.AWAITING_APPROVAL, result)
        _record("event.given-back", event, by, actor, {"reason": reason})
        return takeover


def fixed(event_id: int, *, by: User, what: str, actor: Actor | None = None) -> Takeover:
    """ "I fixed it": verified like any fix. ``what`` was done is remembered for the next time."""
    if not what.strip():
        raise DecisionError("Say what you did: it is remembered for the next time.")
    with _locked(event_id, by) as (event, now):
        takeover = _mine(event, by)
        takeover.claimed_at, takeover.fix = now, what
        takeover.save()
        attempt = event.attempt + 1
        by_person.write_fix(event, attempt, by, what, now)
        note = _note("fixed-by-hand", f"{by} says it is fixed: {what}. It is verified like any fix.", by)
        engine.move(
            event.pk, Phase.AWAITING_APPROVAL, PhaseResult(Phase.VERIFYING, [note], fields={"attempt": attempt})
        )
        _record("event.fixed-by-hand", event, by, actor, {"what": what})
        return takeover


def well(takeover_id: int, *, reason: str) -> bool:
    """The fault went away while a person had it. False: it is not in anybody's hands any more."""
    event_id = Takeover.objects.values_list("event_id", flat=True).get(pk=takeover_id)
    with transaction.atomic():
        event = HealingEvent.objects.select_for_update(of=("self",)).get(pk=event_id)
        takeover = open_takeover(event)
        if takeover is None or takeover.pk != takeover_id or event.phase != Phase.AWAITING_APPROVAL:
            return False
        _end(takeover, TakeoverEnd.OVER, shared_clock.now())
        message = f"It is well again, in the hands of {takeover.by_name}: {reason}"
        note = Note("recovered", message, source="approvals")
        result = PhaseResult(Phase.LEARNING, [note], outcome=Outcome.RECOVERED, outcome_reason=message)
        engine.move(event.pk, Phase.AWAITING_APPROVAL, result)
    return True


def escalate_forgotten(now: datetime | None = None) -> int:
    """Events that lie in somebody's hands for too long. Returns how many were escalated."""
    now = now or shared_clock.now()
    old = Takeover.objects.filter(
        ended_at=None, claimed_at=None, at__lte=now - LONGEST, event__phase=Phase.AWAITING_APPROVAL
    )
    count = 0
    for takeover in old.select_related("event"):
        message = f"{takeover.by_name} took this over a day ago, and it is still ill. Nothing was done meanwhile."
        with transaction.atomic():
            _end(takeover, TakeoverEnd.OVER, now)
            note = Note("escalated", message, source="approvals")
            result = PhaseResult(Phase.LEARNING, [note], outcome=Outcome.ESCALATED, outcome_reason=message)
            try:
                with transaction.atomic():
                    engine.move(takeover.event_id, Phase.AWAITING_APPROVAL, result)
            except engine.WrongPhase:
                continue
        count += 1
    return count


@contextmanager
def _locked(event_id: int, by: User) -> Iterator[tuple[HealingEvent, datetime]]:
    with transaction.atomic():
        event = HealingEvent.objects.select_for_update(of=("self",)).get(pk=event_id)
        if refusal := permissions.why_not_at(by, Capability.OPERATE, event):
            raise NotAllowed(refusal)
        yield event, shared_clock.now()


def _mine(event: HealingEvent, by: User) -> Takeover:
    """The open takeover, if this person may end it: it is theirs, or they may decide here."""
    takeover = open_takeover(event)
    if takeover is None:
        raise DecisionError("Nobody has taken this over by hand.")
    if takeover.by_id != by.pk and permissions.why_not_decide(by, event):
        raise NotAllowed(f"{takeover.by_name} has it in hand. Ask them, or somebody who may approve.")
    if takeover.claimed_at is not None:
        raise DecisionError(f"What {takeover.by_name} did is being verified: wait for that.")
    return takeover


def _close(approval: Approval, by: User, now: datetime, reason: str) -> None:
    approval.state = ApprovalState.TAKEN
    approval.decided_at, approval.decided_by, approval.decided_by_name = now, by, str(by)
    approval.comment = reason
    approval.save()


def _end(takeover: Takeover, end: TakeoverEnd, now: datetime) -> None:
    takeover.ended_at, takeover.end = now, end
    takeover.save(update_fields=["ended_at", "end"])


def _done_so_far(event: HealingEvent) -> str:
    applied = event.actions.filter(state__in=(ActionState.APPLYING, ActionState.APPLIED), strategy__isnull=False)
    titles = Strategy.objects.filter(pk__in=applied.values("strategy")).values_list("title", flat=True)
    if not titles:
        return "ReCiSt changes nothing more."
    return f"ReCiSt changes nothing more; what it did stays: {'; '.join(titles)}."


def _note(kind: str, message: str, by: User) -> Note:
    return Note(kind, message, actor_kind=ActorKind.PERSON, actor=str(by), source="approvals")


def _record(action: str, event: HealingEvent, by: User, actor: Actor | None, data: dict[str, Any]) -> None:
    audit.record(
        action,
        actor=actor or Actor.of_user(by),
        target=event.name,
        cluster=event.cluster,
        namespace=event.target_namespace,
        data=data,
    )
