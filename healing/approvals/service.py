"""Approve, reject, override, expire: each decides an open approval once, by compare-and-swap under the event's lock.

Lock order is event, then approval; the second decision finds the approval decided and says by whom.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone

from healing import engine
from healing.lifecycle import Outcome, Phase
from healing.models import ActorKind, Approval, ApprovalState, HealingEvent, Strategy, StrategyState
from healing.phase import Note, PhaseResult


class DecisionError(Exception):
    """A decision that cannot be taken; the message tells the person why."""


class AlreadyDecided(DecisionError):
    """Somebody (or the clock) was first."""

    def __init__(self, approval: Approval) -> None:
        who = f" by {approval.decided_by_name}" if approval.decided_by_name else ""
        when = f" at {approval.decided_at:%H:%M:%S} UTC" if approval.decided_at else ""
        super().__init__(f"This approval was already {approval.get_state_display()}{who}{when}.")
        self.approval = approval


class PlanChanged(DecisionError):
    """The person saw another plan than the one that would run."""

    def __init__(self, approval: Approval) -> None:
        super().__init__("The plan has changed since you opened it. Read the new plan and decide again.")
        self.approval = approval


def approve(approval_id: int, *, by: AbstractBaseUser, digest: str, comment: str = "") -> Approval:
    """Let the proposed strategy run. ``digest`` names the plan the person read."""

    def decide(approval: Approval) -> PhaseResult:
        _check_digest(approval, digest)
        message = f"{by} approved: {approval.strategy.title}"
        return PhaseResult(next=Phase.HEALING, notes=[_note("approved", message, by, approval, comment)])

    return _decide(approval_id, ApprovalState.APPROVED, by, comment, decide)


def reject(approval_id: int, *, by: AbstractBaseUser, comment: str, digest: str = "") -> Approval:
    """Nothing is done. A reason is required, because the next proposal learns from it."""
    if not comment.strip():
        raise DecisionError("Give a reason for the rejection.")

    def decide(approval: Approval) -> PhaseResult:
        _set_state(approval.strategy, StrategyState.REFUSED, f"rejected by {by}: {comment}")
        return PhaseResult(
            next=Phase.LEARNING,
            notes=[_note("rejected", f"{by} rejected: {approval.strategy.title}. {comment}", by, approval, comment)],
            outcome=Outcome.DECLINED,
            outcome_reason=f"Rejected by {by}: {comment}",
        )

    return _decide(approval_id, ApprovalState.REJECTED, by, comment, decide)


def override(approval_id: int, *, by: AbstractBaseUser, strategy_id: int, digest: str, comment: str = "") -> Approval:
    """Run another strategy of the same attempt instead. ``digest`` names the plan of that strategy."""

    def decide(approval: Approval) -> PhaseResult:
        chosen = approval.event.strategies.filter(pk=strategy_id, attempt=approval.event.attempt).first()
        if chosen is None or not chosen.steps:
            raise DecisionError("That strategy is not one of the options of this event.")
        if chosen.pk == approval.strategy_id:
            raise DecisionError("That is the proposed strategy: approve it instead.")
        if chosen.state != StrategyState.PROPOSED:
            raise DecisionError(f"That strategy cannot be chosen: {chosen.state_reason or chosen.get_state_display()}.")
        if digest != chosen.digest:
            raise PlanChanged(approval)
        _set_state(approval.strategy, StrategyState.PROPOSED, f"{by} chose '{chosen.title}' instead")
        _set_state(chosen, StrategyState.CHOSEN, f"chosen by {by}")
        message = f"{by} chose '{chosen.title}' instead of '{approval.strategy.title}'"
        return PhaseResult(next=Phase.HEALING, notes=[_note("overridden", message, by, approval, comment)])

    return _decide(approval_id, ApprovalState.OVERRIDDEN, by, comment, decide)


def expire_due(now: datetime | None = None) -> int:
    """Close what nobody decided in time: nothing runs, a person must take over. Returns how many."""
    now = now or timezone.now()
    due = Approval.objects.filter(state=ApprovalState.OPEN, expires_at__lte=now).values_list("pk", flat=True)
    return sum(_expire_one(pk) for pk in due)


def withdraw(approval_id: int, *, reason: str) -> bool:
    """The fault is gone by itself: nobody needs to decide any more. False: somebody has decided meanwhile."""

    def decide(approval: Approval) -> PhaseResult:
        note = Note("recovered", f"Nothing is left to heal: {reason}", {"approval": approval.pk}, source="approvals")
        return PhaseResult(next=Phase.LEARNING, notes=[note], outcome=Outcome.RECOVERED, outcome_reason=reason)

    try:
        _decide(approval_id, ApprovalState.STALE, None, "", decide)
    except DecisionError:
        return False
    return True


def _expire_one(approval_id: int) -> bool:
    def decide(approval: Approval) -> PhaseResult:
        message = f"Nobody decided about '{approval.strategy.title}' in time. Nothing was done."
        return PhaseResult(
            next=Phase.LEARNING,
            notes=[Note("expired", message, data={"approval": approval.pk}, source="approvals")],
            outcome=Outcome.ESCALATED,
            outcome_reason=message,
        )

    try:
        _decide(approval_id, ApprovalState.EXPIRED, None, "", decide)
    except DecisionError:
        return False
    return True


def _decide(
    approval_id: int,
    state: ApprovalState,
    by: AbstractBaseUser | None,
    comment: str,
    decide: Callable[[Approval], PhaseResult],
) -> Approval:
    with transaction.atomic():
        event_id = Approval.objects.values_list("event_id", flat=True).get(pk=approval_id)
        HealingEvent.objects.select_for_update(of=("self",)).get(pk=event_id)
        approval = (
            Approval.objects.select_for_update(of=("self",)).select_related("event", "strategy").get(pk=approval_id)
        )
        now = timezone.now()
        if approval.state != ApprovalState.OPEN:
            raise AlreadyDecided(approval)
        if state != ApprovalState.EXPIRED and approval.expires_at <= now:
            raise DecisionError(
                "This approval has expired. Nothing was done; start a new healing from the event's page."
            )
        result = decide(approval)
        approval.state = state
        approval.decided_at = now
        approval.decided_by_id = by.pk if by else None
        approval.decided_by_name = str(by) if by else ""
        approval.comment = comment
        approval.save()
        approval.event = engine.move(event_id, Phase.AWAITING_APPROVAL, result)
    return approval


def _check_digest(approval: Approval, digest: str) -> None:
    if digest != approval.digest:
        raise PlanChanged(approval)


def _set_state(strategy: Strategy, state: StrategyState, reason: str) -> None:
    strategy.state = state
    strategy.state_reason = reason
    strategy.save(update_fields=["state", "state_reason"])


def _note(kind: str, message: str, by: AbstractBaseUser, approval: Approval, comment: str) -> Note:
    data = {"approval": approval.pk, "strategy": approval.strategy_id, "digest": approval.digest, "comment": comment}
    return Note(kind, message, data=data, actor_kind=ActorKind.PERSON, actor=str(by), source="approvals")
