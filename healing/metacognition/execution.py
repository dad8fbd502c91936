"""The handler of the phase HEALING: carry the chosen strategy out, step by step, or put back what was begun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from healing import shared_clock
from healing.actions import guardrails, permissions
from healing.actions.base import Plan
from healing.actions.runner import ActionFailed, Runner, StalePlan, UndoFailed
from healing.lifecycle import Outcome, Phase
from healing.metacognition import by_person, health, newcomers, shared
from healing.metacognition.decision import approval_needed
from healing.metacognition.proposals import digest_of
from healing.metacognition.undoing import failed, undo_all
from healing.metacognition.waits import keeping_books
from healing.models import (
    ActionState,
    ActorKind,
    Approval,
    ApprovalState,
    HealingEvent,
    Strategy,
    StrategyState,
    TimelineEntry,
)
from healing.phase import Note, PhaseContext, PhaseResult
from healing.policies.spec import Risk
from healing.ports.cluster import ObjectRef
from healing.ports.errors import Forbidden

_CALL_SECONDS = 2.0
#: What was begun is not left half-done for longer.
_WAIT_HALF_WAY_SECONDS = 15.0
_LONGEST_TURN_SECONDS = 15.0
#: A world that changes faster than we can plan needs a person.
_STALE_AT_MOST = 4


class _Stale(Exception):
    """The plan is not valid any more, for this reason."""


@keeping_books
def execute(context: PhaseContext) -> PhaseResult:
    """Everything that was true when the plan was made is checked again before anything is sent."""
    event = context.event
    strategy = event.strategies.filter(
        attempt=event.attempt, state__in=(StrategyState.CHOSEN, StrategyState.APPLIED)
    ).first()
    if strategy is None or not strategy.steps:
        return PhaseResult(
            Phase.LEARNING,
            [_note("no-strategy", "There is no chosen strategy to carry out.")],
            outcome=Outcome.ESCALATED,
            outcome_reason="There was no chosen strategy to carry out.",
        )
    round_key = _round_key(event, strategy)
    rows = strategy.actions.filter(key__startswith=round_key)
    if rows.filter(state=ActionState.UNDONE).exists():  # put back by a run that did not live to say so
        return _plan_anew(context, strategy, "what was begun was put back")
    begun = rows.exclude(state__in=(ActionState.PLANNED, ActionState.FAILED)).exists()
    approval = _approval(event, strategy)
    now = shared_clock.now()
    situation = guardrails.situation_of(event, now, is_approved=approval is not None)
    if not begun:
        gone = health.recovered(event, context.ports, now, timeout_seconds=_CALL_SECONDS)
        if gone is not None:
            return PhaseResult(
                Phase.LEARNING,
                [_note("recovered", f"Nothing was done, for nothing is left to heal: {gone.why}")],
                outcome=Outcome.HEALED if gone.is_contained else Outcome.RECOVERED,
                outcome_reason=gone.why,
                fields={"healed_at": now} if gone.is_contained else {},
            )
        other = shared.at_work_on_the_cause(event)
        if other is not None:
            return _wait_for(event, other)
        try:
            _check_fresh(strategy, approval, situation)
        except _Stale as stale:
            return _plan_anew(context, strategy, str(stale))
        if held := _fresh_edits(context, strategy, situation):
            return _wait_until_lifted(context, held)
        plans = [Plan.from_json(step["plan"]) for step in strategy.steps]
        try:
            permissions.check_whole(context.ports.cluster, plans, timeout_seconds=_CALL_SECONDS)
        except Forbidden as error:
            runner = Runner(context.ports.cluster, context.deadline, context.check_still_mine)
            return failed(context, runner, strategy, str(error))
    return _carry_out(context, strategy, situation, _before(context, strategy), round_key)


def _before(context: PhaseContext, strategy: Strategy) -> dict[str, Any]:
    """What verification compares with: ``neighbours`` and ``youngestPods``."""
    ports, event = context.ports, context.event
    touched = [ObjectRef.from_json(step["target"]) for step in strategy.steps]
    return {
        "neighbours": health.neighbours(ports, event.target_namespace, timeout_seconds=_CALL_SECONDS),
        "youngestPods": newcomers.youngest(ports, [health.target_of(event), *touched], timeout_seconds=_CALL_SECONDS),
    }


def _round_key(event: HealingEvent, strategy: Strategy) -> str:
    """What the keys of this plan's actions begin with. A plan that became stale and was made anew is another round,
    even if it is the same to the letter: what the former round put back has to be done again."""
    rounds = TimelineEntry.objects.filter(event=event, kind="stale").count()
    return f"{event.pk}/heal/{event.attempt}/{strategy.key}/{strategy.digest[:12]}/{rounds}/"


def _fresh_edits(
    context: PhaseContext, strategy: Strategy, situation: guardrails.Situation
) -> list[guardrails.Refusal]:
    """A person's edit of any object that the strategy touches: nothing is begun that would stop half-way for it."""
    plans = [Plan.from_json(step["plan"]) for step in strategy.steps]
    cluster = context.ports.cluster
    return [
        refusal
        for plan in {plan.target: plan for plan in plans}.values()
        for refusal in guardrails.of_fresh_edits(plan, situation, cluster, timeout_seconds=_CALL_SECONDS)
    ]


def _wait_for(event: HealingEvent, other: HealingEvent) -> PhaseResult:
    """Both were planned before either acted: the second looks first whether the first one has helped."""
    said = event.timeline.filter(kind="waiting", phase=Phase.HEALING).exists()
    message = f"{other.target_kind} {other.target_name} ({other.name}) has the same cause and is being healed."
    result = PhaseResult.wait(2.0, [] if said else [_note("waiting", message, {"event": other.name})])
    result.result = {"waitingFor": message}
    return result


def _approval(event: HealingEvent, strategy: Strategy) -> Approval | None:
    """The person's word for this very plan: an approval of its digest, or an override that chose it."""
    decided = event.approvals.filter(
        strategy__attempt=event.attempt, state__in=(ApprovalState.APPROVED, ApprovalState.OVERRIDDEN)
    )
    newest = decided.order_by("-decided_at").first()
    if newest is None:
        return None
    if newest.state == ApprovalState.OVERRIDDEN:
        return newest if (newest.chosen_id, newest.chosen_digest) == (strategy.pk, strategy.digest) else None
    return newest if newest.strategy_id == strategy.pk and newest.digest == strategy.digest else None


def _check_fresh(strategy: Strategy, approval: Approval | None, situation: guardrails.Situation) -> None:
    if digest_of(strategy.steps) != strategy.digest:
        raise _Stale("the plan is not the one that was decided on")
    if approval is None:
        needed = approval_needed(situation.policy, Risk(strategy.risk))
        if needed:
            raise _Stale(f"the policy asks a person by now: {needed[0]}")
    elif approval.state == ApprovalState.APPROVED:
        wanted = situation.policy.approval.required_approvals.of(Risk(strategy.risk))
        if approval.votes.filter(digest=approval.digest).count() < wanted:
            raise _Stale(f"the policy asks for {wanted} people by now")


def _carry_out(
    context: PhaseContext,
    strategy: Strategy,
    situation: guardrails.Situation,
    before: dict[str, Any],
    round_key: str,
) -> PhaseResult:
    event, cluster = context.event, context.ports.cluster
    runner = Runner(cluster, context.deadline, context.check_still_mine)
    plans = [Plan.from_json(step["plan"]) for step in strategy.steps]

    def guard(plan: Plan) -> None:
        refusals = guardrails.check(plan, situation, cluster, among=plans, timeout_seconds=_CALL_SECONDS)
        if refusals:
            raise guardrails.Refused(refusals)

    def gate(plan: Plan) -> None:
        guardrails.gate(event, plan, is_approved=situation.is_approved)

    for number, plan in enumerate(plans):
        key = f"{round_key}{number}"
        known = {row.key for row in strategy.actions.filter(state=ActionState.APPLIED)}
        try:
            row = runner.apply(event, plan, key=key, strategy=strategy, guard=guard, gate=gate)
        except guardrails.Refused as refused:
            return _refused(context, runner, strategy, refused, is_first=number == 0)
        except StalePlan as stale:
            return _put_back_and_plan_anew(context, runner, strategy, str(stale))
        except ActionFailed as error:
            return failed(context, runner, strategy, f"'{plan.summary}' could not be done: {error}")
        if key not in known:
            data = {"action": str(plan.action), "target": plan.target.as_json(), "actionRun": row.pk, "diff": row.diff}
            context.report(_note("applied", plan.summary, data))
    return _applied(strategy, before)


def _applied(strategy: Strategy, before: dict[str, Any]) -> PhaseResult:
    now = shared_clock.now()

    def writes(_: HealingEvent) -> None:
        strategy.state, strategy.applied_at = StrategyState.APPLIED, now
        strategy.save(update_fields=["state", "applied_at"])

    notes = [_note("executed", f"'{strategy.title}' was carried out; now it has to prove itself.")]
    result = {"appliedAt": now.isoformat(), **before}
    return PhaseResult(Phase.VERIFYING, notes, writes=writes, result=result)


def _refused(
    context: PhaseContext, runner: Runner, strategy: Strategy, refused: guardrails.Refused, *, is_first: bool
) -> PhaseResult:
    """A limit: wait where waiting helps (half-way only for a moment), ask where asking helps, else try something
    else."""
    kinds = {r.kind for r in refused.refusals}
    is_short = all(0 < r.wait_seconds <= _WAIT_HALF_WAY_SECONDS for r in refused.refusals)
    if kinds == {guardrails.Kind.WAIT} and (is_first or is_short):
        return _wait_until_lifted(context, refused.refusals)
    for refusal in refused.refusals:
        context.report(_refusal_note("refused", refusal))
    if guardrails.Kind.FORBID not in kinds:
        return _put_back_and_plan_anew(context, runner, strategy, str(refused))
    return failed(context, runner, strategy, f"A limit speaks against it by now: {refused}")


def _wait_until_lifted(context: PhaseContext, refusals: Sequence[guardrails.Refusal]) -> PhaseResult:
    said = context.event.timeline.filter(kind="waiting", phase=Phase.HEALING).exists()
    notes = [] if said else [_refusal_note("waiting", r) for r in refusals]
    # Of many that wait for their turn the last ones need not look every other second.
    longest = _LONGEST_TURN_SECONDS if {r.limit for r in refusals} == {"maxConcurrentHealings"} else 5.0
    result = PhaseResult.wait(max(1.0, min(longest, max(r.wait_seconds for r in refusals))), notes)
    result.result = {"waitingFor": "; ".join(str(r) for r in refusals)}
    return result


def _put_back_and_plan_anew(context: PhaseContext, runner: Runner, strategy: Strategy, reason: str) -> PhaseResult:
    try:
        undo_all(context, runner, strategy)
    except UndoFailed as error:
        return failed(context, runner, strategy, f"{reason}; and what was begun could not be put back: {error}")
    return _plan_anew(context, strategy, reason)


def _plan_anew(context: PhaseContext, strategy: Strategy, reason: str) -> PhaseResult:
    event = context.event
    message = f"The plan of '{strategy.title}' is stale: {reason}"
    if TimelineEntry.objects.filter(event=event, kind="stale").count() >= _STALE_AT_MOST:
        message += " It became stale again and again; a person has to look."
        return PhaseResult(Phase.LEARNING, [_note("stale", message)], outcome=Outcome.ESCALATED, outcome_reason=message)

    def writes(_: HealingEvent) -> None:
        strategy.state, strategy.state_reason = StrategyState.PROPOSED, f"stale: {reason}"
        if by_person.is_edited(strategy):
            strategy.digest = ""  # what the person wants still holds: it is planned anew as they edited it
        strategy.save(update_fields=["state", "state_reason", "digest"])

    return PhaseResult(Phase.PLANNING, [_note("stale", message)], writes=writes)


def _refusal_note(kind: str, refusal: guardrails.Refusal) -> Note:
    return _note(kind, str(refusal), refusal.as_json())


def _note(kind: str, message: str, data: dict[str, Any] | None = None) -> Note:
    return Note(kind, message, data=data or {}, actor_kind=ActorKind.RULE, source="metacognition")
