"""What people put in place of a decision of ours: an edited plan, which is planned anew and asked about; and a fix by
hand, which is verified like any other."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from pydantic import ValidationError

from healing import shared_clock
from healing.actions import guardrails, registry
from healing.actions.base import CannotPlan, Plan
from healing.lifecycle import Outcome, Phase
from healing.metacognition import waits
from healing.metacognition.proposals import ask, digest_of, steps_of
from healing.models import ActorKind, HealingEvent, Strategy, StrategyState, Takeover, TakeoverEnd
from healing.phase import Note, PhaseContext, PhaseResult
from healing.policies.spec import PolicySpec, Risk
from healing.ports.cluster import ObjectRef
from healing.ports.errors import RateLimited, SourceError, Unavailable

ORIGIN = "person"
_BY_HAND = "by-hand"
_CALL_SECONDS = 2.5


# --- edited parameters ---------------------------------------------------------------------------------------------


def write_edited(event: HealingEvent, base: Strategy, steps: list[dict[str, Any]], by: User) -> Strategy:
    """The wish, as a strategy without plans: the next run of PLANNING makes them. Call it under the event's lock."""
    number = event.strategies.filter(attempt=event.attempt, origin=ORIGIN).count() + 1
    root = base.key.partition("-edited-")[0]
    return Strategy.objects.create(
        event=event,
        attempt=event.attempt,
        key=f"{root[:65]}-edited-{number}",
        title=f"{base.title.partition(', edited by ')[0]}, edited by {by}"[:200],
        rationale=base.rationale,
        origin=ORIGIN,
        steps=steps,
        risk=base.risk,
        score=base.score,
        confidence=base.confidence,
        arguments=base.arguments,
        author=by,
    )


def propose_edited(context: PhaseContext, policy: PolicySpec, now: datetime) -> PhaseResult | None:
    """Plan the newest wish against the live cluster and ask about it. None: there is none, or it cannot be carried
    out (which is said), so the planning goes on as usual.

    Raises `Unavailable` or `RateLimited`: the phase is tried again."""
    event = context.event
    wishes = event.strategies.filter(
        attempt=event.attempt, origin=ORIGIN, state=StrategyState.PROPOSED, digest="", author__isnull=False
    )
    wish = wishes.exclude(steps=[]).order_by("-pk").first()
    if wish is None:
        return None
    plans, problem = _planned(context, wish, now)
    if problem:
        _refuse(context, wish, problem)
        return None
    steps = steps_of(plans)
    risk = max((plan.risk for plan in plans), key=lambda risk: risk.rank, default=Risk.LOW)
    reason = f"{wish.author} changed the parameters of what was proposed: read the new plan."
    note = _note(
        "approval-requested", f"Planned anew as {wish.author} edited it: {'; '.join(p.summary for p in plans)}"
    )

    def writes(row: HealingEvent) -> None:
        wish.steps, wish.digest, wish.risk = steps, digest_of(steps), str(risk)
        wish.state, wish.state_reason = StrategyState.CHOSEN, f"edited by {wish.author}"
        wish.save()
        ask(row, wish, policy, reason, shared_clock.now())

    return PhaseResult(Phase.AWAITING_APPROVAL, [note], writes=writes, result={"editedBy": str(wish.author)})


def _planned(context: PhaseContext, wish: Strategy, now: datetime) -> tuple[list[Plan], str]:
    cluster = context.ports.cluster
    situation = guardrails.situation_of(context.event, now, is_approved=True)
    plans: list[Plan] = []
    try:
        for step in wish.steps:
            target = ObjectRef.from_json(step["target"])
            plan = registry.make_plan(
                cluster, step["action"], target, step["parameters"], timeout_seconds=_seconds(context)
            )
            refusals = guardrails.check(plan, situation, cluster, among=plans, timeout_seconds=_seconds(context))
            forbidden = [str(r) for r in refusals if r.kind is guardrails.Kind.FORBID]
            if forbidden:
                return [], "; ".join(forbidden)
            registry.get(step["action"]).dry_run(cluster, plan, timeout_seconds=_seconds(context))
            plans.append(plan)
    except (Unavailable, RateLimited):
        raise
    except (CannotPlan, LookupError, ValidationError, SourceError) as error:
        return [], str(error)
    return plans, ""


def _refuse(context: PhaseContext, wish: Strategy, problem: str) -> None:
    message = f"'{wish.title}' cannot be carried out: {problem}"
    context.report(_note("edit-refused", message, {"strategy": wish.pk}))
    Strategy.objects.filter(pk=wish.pk, state=StrategyState.PROPOSED).update(
        state=StrategyState.REFUSED, state_reason=problem
    )


def _seconds(context: PhaseContext) -> float:
    return max(0.1, context.deadline.remaining_seconds(at_most=_CALL_SECONDS))


# --- by hand -------------------------------------------------------------------------------------------------------


def write_fix(event: HealingEvent, attempt: int, by: User, what: str, now: datetime) -> Strategy:
    """What the person did, as a strategy that was carried out: VERIFYING looks whether it helped."""
    return Strategy.objects.create(
        event=event,
        attempt=attempt,
        key=f"{_BY_HAND}-{attempt}",
        title=f"Fixed by hand by {by}"[:200],
        rationale=what,
        origin=ORIGIN,
        steps=[],
        state=StrategyState.APPLIED,
        state_reason=f"{by}: {what}",
        applied_at=now,
        author=by,
    )


def is_edited(strategy: Strategy) -> bool:
    """Whether a person edited its parameters."""
    return strategy.origin == ORIGIN and not is_by_hand(strategy)


def is_by_hand(strategy: Strategy) -> bool:
    """Whether a person did it, not we."""
    return strategy.origin == ORIGIN and strategy.key.startswith(_BY_HAND)


def hands_healed(event: HealingEvent) -> None:
    """The fix has proven itself. In the transaction that says so."""
    event.takeovers.filter(ended_at=None).update(ended_at=shared_clock.now(), end=TakeoverEnd.FIXED)


def not_yet(strategy: Strategy, reason: str, now: datetime) -> PhaseResult:
    """A fix by hand did not show: back into the person's hands; nothing of theirs is undone."""
    message = f"It is still ill after what {strategy.author or 'a person'} did: {reason}. It stays in their hands."

    def writes(event: HealingEvent) -> None:
        strategy.state, strategy.state_reason = StrategyState.FAILED, reason
        strategy.save(update_fields=["state", "state_reason"])
        Takeover.objects.filter(event=event, ended_at=None).update(claimed_at=None)

    assert strategy.applied_at is not None
    return PhaseResult(
        Phase.AWAITING_APPROVAL,
        [_note("not-fixed", message, {"failing": reason})],
        writes=writes,
        result=dict(waits.of_verification(strategy.applied_at, None, now)),
    )


def healed_by_hand(strategy: Strategy, good: list[str], result: dict[str, Any], now: datetime) -> PhaseResult:
    """As any strategy that is verified; the outcome says who healed it."""
    message = f"{strategy.author or 'A person'} healed it by hand ({strategy.rationale}): {'; '.join(good)}."

    def writes(event: HealingEvent) -> None:
        strategy.state, strategy.state_reason = StrategyState.SUCCEEDED, message
        strategy.save(update_fields=["state", "state_reason"])
        hands_healed(event)

    return PhaseResult(
        Phase.LEARNING,
        [_note("verified", message, {"good": good})],
        fields={"healed_at": now},
        outcome=Outcome.HEALED,
        outcome_reason=message,
        writes=writes,
        result=result,
    )


def _note(kind: str, message: str, data: dict[str, Any] | None = None) -> Note:
    return Note(kind, message, data=data or {}, actor_kind=ActorKind.RULE, source="metacognition")
