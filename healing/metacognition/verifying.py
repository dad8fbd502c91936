"""The handler of the phase VERIFYING: many short looks, until the strategy has proven itself or its time is over."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from healing import shared_clock
from healing.actions import guardrails
from healing.actions.reading import WORKLOAD_KINDS
from healing.actions.runner import Runner
from healing.lifecycle import Outcome, Phase, Status
from healing.metacognition import by_person, health, overruled, waits
from healing.metacognition.undoing import failed
from healing.models import ActorKind, HealingEvent, PhaseRun, Strategy, StrategyState
from healing.phase import Note, PhaseContext, PhaseResult
from healing.policies.spec import ActionName
from healing.ports.cluster import ObjectRef

_POLL_SECONDS, _LONGEST_POLL_SECONDS = 1.0, 5.0
#: So many looks a second leave room for the rest of the work, also where a hundred faults are verified at once.
_LOOKS_A_SECOND = 10
_CALL_SECONDS = 1.5
#: A crash this short before a look counts against it.
_RECENT = timedelta(seconds=5)
#: Progress is told this often.
_QUIET = timedelta(seconds=10)
_DIGITS = re.compile(r"[0-9]+")
#: Actions that take room from others, or that others feel: their neighbours are watched too.
_FELT_BY_OTHERS = frozenset({ActionName.SCALE, ActionName.UPDATE_RESOURCES, ActionName.RESTART_DEPENDENCY})


def verify(context: PhaseContext) -> PhaseResult:
    """Healed only when all is known and good for a stable time; unknown and late are failures."""
    event, now = context.event, shared_clock.now()
    strategy = event.strategies.filter(attempt=event.attempt, state=StrategyState.APPLIED).first()
    if strategy is None or strategy.applied_at is None:
        return PhaseResult(
            Phase.LEARNING, outcome=Outcome.ESCALATED, outcome_reason="There is no applied strategy to verify."
        )
    policy, _ = guardrails.current_policy(event)
    put_back = overruled.found(context, strategy)
    if put_back is not None:
        put_back.result |= waits.of_verification(strategy.applied_at, None, now)
        return put_back
    before = waits.memory(event)
    found = _examine(context, strategy, now, before)
    runner = Runner(context.ports.cluster, context.deadline, context.check_still_mine)
    if found.worse:
        return _failed(context, runner, strategy, f"it made things worse: {'; '.join(found.worse)}", now)
    stable = timedelta(seconds=policy.verification.stable_seconds)
    well_since = _well_since(found, before, now)
    if well_since is not None and now - well_since >= stable:
        return _healed(strategy, found, well_since, now)
    late = now - strategy.applied_at > timedelta(seconds=policy.verification.timeout_seconds)
    if late and well_since is None:
        reasons = "; ".join(found.all)
        return _failed(context, runner, strategy, f"after {policy.verification.timeout_seconds} s: {reasons}", now)
    return _look_again(found, well_since, before, now, stable)


def _examine(context: PhaseContext, strategy: Strategy, now: datetime, before: dict[str, Any]) -> health.Health:
    event = context.event
    targets = [ObjectRef.from_json({**step["target"], "uid": ""}) for step in strategy.steps]
    since = datetime.fromisoformat(before["wellSince"]) if before.get("wellSince") else now - _RECENT
    assert strategy.applied_at is not None
    found = health.examine(
        event,
        guardrails.current_policy(event)[0],
        context.ports,
        since=max(min(since, now - _RECENT), strategy.applied_at),
        now=now,
        timeout_seconds=context.deadline.remaining_seconds(at_most=_CALL_SECONDS),
        others=tuple(ref for ref in targets if ref.kind in WORKLOAD_KINDS | {"Service"}),
        applied_at=strategy.applied_at,
        youngest_before=_before_it_was_done(event).get("youngestPods", {}) if strategy.steps else {},
    )
    if any(step["action"] in _FELT_BY_OTHERS for step in strategy.steps):
        _neighbours(context, strategy, found)
    return found


def _before_it_was_done(event: HealingEvent) -> dict[str, Any]:
    """What `healing.metacognition.execution` saw and kept."""
    run = PhaseRun.objects.filter(event=event, phase=Phase.HEALING).order_by("-number").first()
    return run.result if run else {}


def _neighbours(context: PhaseContext, strategy: Strategy, found: health.Health) -> None:
    """Whoever served before the strategy must serve now; not those that have a fault of their own."""
    event = context.event
    before: dict[str, int] = _before_it_was_done(event).get("neighbours", {})
    if not any(before.values()):
        return
    now = health.neighbours(context.ports, event.target_namespace, timeout_seconds=_CALL_SECONDS)
    ill = set(
        HealingEvent.objects.filter(
            cluster=event.cluster, target_namespace=event.target_namespace, finished_at=None
        ).values_list("target_name", flat=True)
    )
    for name, available in before.items():
        if available and now.get(name) == 0 and name.split("/", 1)[1] not in ill:
            found.problems.append(f"{name} had {available} available replicas before and has none now")


def _well_since(found: health.Health, before: dict[str, Any], now: datetime) -> datetime | None:
    if not found.is_well:
        return None
    return datetime.fromisoformat(before["wellSince"]) if before.get("wellSince") else now


def _failed(context: PhaseContext, runner: Runner, strategy: Strategy, reason: str, now: datetime) -> PhaseResult:
    assert strategy.applied_at is not None
    if by_person.is_by_hand(strategy):
        return by_person.not_yet(strategy, reason, now)
    result = failed(context, runner, strategy, reason)
    result.result |= waits.of_verification(strategy.applied_at, None, now)
    return result


def _healed(strategy: Strategy, found: health.Health, well_since: datetime, now: datetime) -> PhaseResult:
    if by_person.is_by_hand(strategy):
        books = waits.of_verification(strategy.applied_at or now, well_since, now)
        return by_person.healed_by_hand(strategy, found.good, {"good": found.good, **books}, now)
    message = f"'{strategy.title}' healed it: {'; '.join(found.good)}."

    def writes(_: HealingEvent) -> None:
        strategy.state, strategy.state_reason = StrategyState.SUCCEEDED, message
        strategy.save(update_fields=["state", "state_reason"])

    return PhaseResult(
        Phase.LEARNING,
        [_note("verified", message, {"good": found.good})],
        fields={"healed_at": now},
        outcome=Outcome.HEALED,
        outcome_reason=message,
        writes=writes,
        result={"good": found.good, **waits.of_verification(strategy.applied_at or now, well_since, now)},
    )


def _look_again(
    found: health.Health, well_since: datetime | None, before: dict[str, Any], now: datetime, stable: timedelta
) -> PhaseResult:
    """Say what has changed since the last look, and come back."""
    notes = []
    said_at = str(before.get("saidAt", ""))
    if well_since is not None and not before.get("wellSince"):
        notes.append(_note("well", f"All is well; it has to stay so for {stable.total_seconds():.0f} s."))
    elif well_since is None and _is_news(found, before, now):
        notes.append(_note("not-well-yet", f"Not yet: {'; '.join(found.all)}.", {"failing": found.all}))
        said_at = now.isoformat()
    seconds = _poll_seconds()
    if well_since is not None:
        seconds = max(0.2, min(seconds, (well_since + stable - now).total_seconds()))
    result = PhaseResult.wait(seconds, notes)
    result.result = {
        "wellSince": well_since.isoformat() if well_since else "",
        "failing": found.all,
        "good": found.good,
        "saidAt": said_at,
        "looks": int(before.get("looks", 0)) + 1,
    }
    return result


def _poll_seconds() -> float:
    # Those that are over are many; the index is by status.
    verified = HealingEvent.objects.filter(status__in=(Status.QUEUED, Status.RUNNING), phase=Phase.VERIFYING).count()
    return min(_LONGEST_POLL_SECONDS, max(_POLL_SECONDS, verified / _LOOKS_A_SECOND))


def _is_news(found: health.Health, before: dict[str, Any], now: datetime) -> bool:
    """Another problem is news at once, another number only after a while."""
    failing = before.get("failing", [])
    if [_DIGITS.sub("", text) for text in found.all] != [_DIGITS.sub("", text) for text in failing]:
        return True
    said_at = before.get("saidAt")
    return found.all != failing and (not said_at or now - datetime.fromisoformat(said_at) > _QUIET)


def _note(kind: str, message: str, data: dict[str, Any] | None = None) -> Note:
    return Note(kind, message, data=data or {}, actor_kind=ActorKind.RULE, source="metacognition")
