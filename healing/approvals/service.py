"""Approve, reject, override, edit, hold, expire: each changes an open approval under the event's lock, so that of two
clicks one wins.

Lock order is event, then approval, then the audit trail. The second decision finds the approval decided and says by
whom. Every function checks itself whether the person may: views and API only ask earlier, to say so nicely.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from healing import audit, dispatch, engine, shared_clock, telemetry
from healing.actions import guardrails
from healing.approvals import permissions
from healing.approvals.errors import (
    AlreadyDecided,
    AlreadyVoted,
    DecisionError,
    EditRefused,
    Held,
    NotAllowed,
    PlanChanged,
)
from healing.approvals.parameters import checked_steps
from healing.audit import Actor
from healing.lifecycle import Outcome, Phase
from healing.metacognition import by_person
from healing.metacognition.decision import approval_needed
from healing.metacognition.proposals import ask
from healing.models import ActorKind, Approval, ApprovalState, ApprovalVote, HealingEvent, Strategy, StrategyState
from healing.phase import Note, PhaseResult
from healing.policies.spec import PolicySpec, Risk

__all__ = [
    "AlreadyDecided",
    "AlreadyVoted",
    "DecisionError",
    "EditRefused",
    "Held",
    "NotAllowed",
    "PlanChanged",
    "approve",
    "edit",
    "expire_due",
    "override",
    "reject",
    "withdraw",
]


@dataclass(slots=True)
class Case:
    """An open approval, locked, with all that decides about it."""

    approval: Approval
    event: HealingEvent
    policy: PolicySpec
    now: datetime


def approve(approval_id: int, *, by: User, digest: str, comment: str = "", actor: Actor | None = None) -> Approval:
    """Agree with the proposed strategy. ``digest`` names the plan the person read.

    It runs when as many people agree as the policy asks for; until then the approval stays open."""
    with opened(approval_id) as case:
        approval, now = case.approval, case.now
        _allow(permissions.why_not_approve(by, approval, case.policy))
        _check_not_held(case)
        if digest != approval.digest:
            raise PlanChanged(approval)
        if approval.votes.filter(user=by, digest=digest).exists():
            raise AlreadyVoted(f"You have approved this already. {waiting_for(case)}")
        approval.votes.filter(user=by).delete()
        ApprovalVote.objects.create(approval=approval, user=by, name=str(by), digest=digest, comment=comment, at=now)
        votes = permissions.counted_votes(approval, case.policy)
        approval.required = permissions.required(approval, case.policy)
        count = f" ({len(votes)} of {approval.required})" if approval.required > 1 else ""
        if len(votes) < approval.required:
            approval.save()
            message = f"{by} approved{count}: {approval.strategy.title}. {waiting_for(case)}"
            engine.add_note(case.event.pk, person_note("approved-in-part", message, by, approval, comment))
            record_decision("approval.voted", case, by, actor, comment, votes=[vote.name for vote in votes])
            return approval
        message = f"{by} approved{count}: {approval.strategy.title}"
        result = PhaseResult(next=Phase.HEALING, notes=[person_note("approved", message, by, approval, comment)])
        _close(case, ApprovalState.APPROVED, by, comment)
        approval.event = engine.move(case.event.pk, Phase.AWAITING_APPROVAL, result)
        record_decision("approval.approved", case, by, actor, comment, votes=[vote.name for vote in votes])
        return approval


def waiting_for(case: Case) -> str:
    """How many more people are needed, as a sentence."""
    missing = permissions.required(case.approval, case.policy) - len(
        permissions.counted_votes(case.approval, case.policy)
    )
    return "Waiting for a second person." if missing == 1 else f"Waiting for {missing} more people."


def reject(approval_id: int, *, by: User, comment: str, digest: str = "", actor: Actor | None = None) -> Approval:
    """Nothing is done. A reason is required, because the next proposal learns from it."""
    if not comment.strip():
        raise DecisionError("Give a reason for the rejection.")
    with opened(approval_id) as case:
        approval = case.approval
        _allow(permissions.why_not_decide(by, case.event, case.policy))
        _set_state(approval.strategy, StrategyState.REFUSED, f"rejected by {by}: {comment}")
        result = PhaseResult(
            next=Phase.LEARNING,
            notes=[
                person_note("rejected", f"{by} rejected: {approval.strategy.title}. {comment}", by, approval, comment)
            ],
            outcome=Outcome.DECLINED,
            outcome_reason=f"Rejected by {by}: {comment}",
        )
        _close(case, ApprovalState.REJECTED, by, comment)
        approval.event = engine.move(case.event.pk, Phase.AWAITING_APPROVAL, result)
        record_decision("approval.rejected", case, by, actor, comment)
        return approval


def override(
    approval_id: int, *, by: User, strategy_id: int, digest: str, comment: str = "", actor: Actor | None = None
) -> Approval:
    """Choose another strategy of the same attempt instead. ``digest`` names the plan of that strategy.

    It runs at once where the policy would run it unasked; else somebody other than the one who chose it has to approve
    it, and the approval that is returned is that new question."""
    with opened(approval_id) as case:
        approval = case.approval
        _allow(permissions.why_not_decide(by, case.event, case.policy))
        _check_not_held(case)
        chosen = _choice(case, strategy_id, digest)
        _set_state(approval.strategy, StrategyState.PROPOSED, f"{by} chose '{chosen.title}' instead")
        chosen.author = by
        _set_state(chosen, StrategyState.CHOSEN, f"chosen by {by}")
        message = f"{by} chose '{chosen.title}' instead of '{approval.strategy.title}'"
        note = person_note("overridden", message, by, approval, comment)
        approval.chosen, approval.chosen_digest = chosen, digest
        _close(case, ApprovalState.OVERRIDDEN, by, comment)
        decided = approval
        if _may_run(case, chosen):
            approval.event = engine.move(
                case.event.pk, Phase.AWAITING_APPROVAL, PhaseResult(next=Phase.HEALING, notes=[note])
            )
        else:
            if case.event.phase != Phase.AWAITING_APPROVAL:
                raise engine.WrongPhase(case.event)
            reason = f"{by} chose this instead of '{approval.strategy.title}': somebody else has to agree."
            decided = ask(case.event, chosen, case.policy, reason, case.now)
            engine.add_note(case.event.pk, note)
        record_decision("approval.overridden", case, by, actor, comment, chosen=chosen.title, chosenDigest=digest)
        return decided


def _choice(case: Case, strategy_id: int, digest: str) -> Strategy:
    event = case.event
    chosen = event.strategies.filter(pk=strategy_id, attempt=event.attempt).first()
    if chosen is None or not chosen.steps:
        raise DecisionError("That strategy is not one of the options of this event.")
    if chosen.pk == case.approval.strategy_id:
        raise DecisionError("That is the proposed strategy: approve it instead.")
    if chosen.state != StrategyState.PROPOSED:
        raise DecisionError(f"That strategy cannot be chosen: {chosen.state_reason or chosen.get_state_display()}.")
    if not chosen.digest or digest != chosen.digest:
        raise PlanChanged(case.approval)
    return chosen


def _may_run(case: Case, chosen: Strategy) -> bool:
    """Whether one person's choice is enough."""
    risk = Risk(chosen.risk)
    if not approval_needed(case.policy, risk):
        return True
    return case.policy.approval.self_approval and case.policy.approval.required_approvals.of(risk) <= 1


def edit(
    approval_id: int,
    *,
    by: User,
    parameters: Sequence[dict[str, Any]],
    digest: str,
    strategy_id: int | None = None,
    comment: str = "",
    actor: Actor | None = None,
) -> Approval:
    """Change a strategy's parameters, one object a step, within the actions' schemas. ``digest`` names the plan read.

    A worker plans it anew against the live cluster, has the API server dry-run it, and asks about the new plan. Raises
    `EditRefused` with the fields that cannot be used; nothing is lost then."""
    with opened(approval_id) as case:
        approval, event = case.approval, case.event
        _allow(permissions.why_not_decide(by, event, case.policy))
        _check_not_held(case)
        if strategy_id in (None, approval.strategy_id):
            base = approval.strategy
            if digest != base.digest:
                raise PlanChanged(approval)
        else:
            base = _choice(case, int(strategy_id or 0), digest)
        steps, changes = checked_steps(base, parameters)
        edited = by_person.write_edited(event, base, steps, by)
        message = f"{by} edits '{base.title}': {'; '.join(changes)}. It is planned anew."
        note = person_note("edited", message, by, approval, comment)
        note.data["parameters"] = [step["parameters"] for step in steps]
        _set_state(approval.strategy, StrategyState.PROPOSED, f"{by} edits '{base.title}'")
        approval.chosen = edited
        _close(case, ApprovalState.EDITED, by, comment)
        approval.event = engine.move(event.pk, Phase.AWAITING_APPROVAL, PhaseResult(next=Phase.PLANNING, notes=[note]))
        before = {"parameters": [step.get("parameters") for step in base.steps]}
        record_decision(
            "approval.edited", case, by, actor, comment, before=before, after={"parameters": note.data["parameters"]}
        )
        return approval


def expire_due(now: datetime | None = None) -> int:
    """Close what nobody decided in time: nothing runs, a person must take over. Returns how many."""
    now = now or shared_clock.now()
    due = Approval.objects.filter(state=ApprovalState.OPEN, expires_at__lte=now).values_list("pk", flat=True)
    return sum(_expire_one(pk, now) for pk in due)


def withdraw(approval_id: int, *, reason: str) -> bool:
    """The fault is gone by itself: nobody needs to decide any more. False: somebody has decided meanwhile."""
    try:
        with opened(approval_id) as case:
            data = {"approval": approval_id}
            note = Note("recovered", f"Nothing is left to heal: {reason}", data, source="approvals")
            result = PhaseResult(next=Phase.LEARNING, notes=[note], outcome=Outcome.RECOVERED, outcome_reason=reason)
            _close(case, ApprovalState.STALE, None, "")
            engine.move(case.event.pk, Phase.AWAITING_APPROVAL, result)
            record_decision("approval.withdrawn", case, None, Actor.system("recovery"), reason)
    except DecisionError:
        return False
    return True


def _expire_one(approval_id: int, now: datetime) -> bool:
    try:
        with opened(approval_id, expired_at=now) as case:
            votes = permissions.counted_votes(case.approval, case.policy)
            so_far = f" {len(votes)} of {case.approval.required} had approved." if votes else ""
            message = f"Nobody decided about '{case.approval.strategy.title}' in time.{so_far} Nothing was done."
            result = PhaseResult(
                next=Phase.LEARNING,
                notes=[Note("expired", message, data={"approval": approval_id}, source="approvals")],
                outcome=Outcome.ESCALATED,
                outcome_reason=message,
            )
            _close(case, ApprovalState.EXPIRED, None, "")
            engine.move(case.event.pk, Phase.AWAITING_APPROVAL, result)
            record_decision("approval.expired", case, None, Actor.system("approvals"), "")
    except DecisionError:
        return False
    return True


@contextmanager
def opened(approval_id: int, *, expired_at: datetime | None = None) -> Iterator[Case]:
    """The approval, locked, while it is open. ``expired_at``: for the one who closes what is past its time.

    Raises `AlreadyDecided` or `DecisionError`."""
    with transaction.atomic():
        event_id = Approval.objects.values_list("event_id", flat=True).get(pk=approval_id)
        event = HealingEvent.objects.select_for_update(of=("self",)).select_related("policy").get(pk=event_id)
        approval = Approval.objects.select_for_update(of=("self",)).select_related("strategy").get(pk=approval_id)
        approval.event = event
        now = expired_at or shared_clock.now()
        if approval.state != ApprovalState.OPEN:
            raise AlreadyDecided(approval)
        is_late = approval.expires_at <= now
        if is_late and expired_at is None:
            raise DecisionError(
                "This approval has expired. Nothing was done; start a new healing from the event's page."
            )
        if expired_at is not None and not is_late:  # somebody has put it on hold in between
            raise DecisionError("It has not expired.")
        yield Case(approval, event, guardrails.current_policy(event)[0], now)


def _close(case: Case, state: ApprovalState, by: User | None, comment: str) -> None:
    approval = case.approval
    approval.state = state
    approval.decided_at = case.now
    approval.decided_by = by
    approval.decided_by_name = str(by) if by else ""
    approval.comment = comment
    approval.save()
    dispatch.after_commit("metrics", lambda: telemetry.count("recist_approvals_total", str(state)))


def _allow(refusal: str) -> None:
    if refusal:
        raise NotAllowed(refusal)


def _check_not_held(case: Case) -> None:
    if case.approval.is_held(case.now):
        raise Held(case.approval)


def _set_state(strategy: Strategy, state: StrategyState, reason: str) -> None:
    strategy.state = state
    strategy.state_reason = reason
    strategy.save(update_fields=["state", "state_reason", "author"])


def person_note(kind: str, message: str, by: User, approval: Approval, comment: str) -> Note:
    data = {"approval": approval.pk, "strategy": approval.strategy_id, "digest": approval.digest, "comment": comment}
    return Note(kind, message, data=data, actor_kind=ActorKind.PERSON, actor=str(by), source="approvals")


def record_decision(
    action: str,
    case: Case,
    by: User | None,
    actor: Actor | None,
    comment: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    **data: Any,
) -> None:
    """Last in its transaction: writers of the trail wait for each other."""
    if actor is None:
        assert by is not None
        actor = Actor.of_user(by)
    approval, event = case.approval, case.event
    audit.record(
        action,
        actor=actor,
        target=event.name,
        cluster=event.cluster,
        namespace=event.target_namespace,
        before=before,
        after=after,
        data={
            "approval": approval.pk,
            "strategy": approval.strategy.title,
            "digest": approval.digest,
            "risk": approval.risk,
            "comment": comment,
            **data,
        },
    )
