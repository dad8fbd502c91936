"""The way back: undo a strategy's steps in reverse, then try the next strategy or hand over to a person."""

from __future__ import annotations

from collections.abc import Callable

from healing.actions import guardrails
from healing.actions.putting_back import WAS_BACK
from healing.actions.runner import Runner, UndoFailed
from healing.lifecycle import Outcome, Phase
from healing.models import MAYBE_IN_FORCE, ActionState, ActorKind, HealingEvent, Strategy, StrategyState
from healing.phase import Note, PhaseContext, PhaseResult


def undo_all(context: PhaseContext, runner: Runner, strategy: Strategy) -> None:
    """Put every step back, the last one first. Raises `UndoFailed` (after trying all of them) or `TryLater`."""
    problems: list[str] = []
    for row in strategy.actions.filter(state__in=MAYBE_IN_FORCE).order_by("-pk"):
        try:
            text = runner.undo(row)
        except UndoFailed as error:
            problems.append(f"{row.action}: {error}")
        else:
            data = {"actionRun": row.pk}
            said = text or WAS_BACK
            context.report(Note("undone", said, data, actor_kind=ActorKind.RULE, source="metacognition"))
    if problems:
        raise UndoFailed("; ".join(problems))


def failed(context: PhaseContext, runner: Runner, strategy: Strategy, reason: str) -> PhaseResult:
    """The strategy did not help: undo it, then the next attempt, or a person. Raises `TryLater`."""
    event = context.event
    had_effect = strategy.actions.filter(state__in=(*MAYBE_IN_FORCE, ActionState.UNDONE)).exists()
    try:
        undo_all(context, runner, strategy)
    except UndoFailed as error:
        message = f"'{strategy.title}' failed ({reason}), and it could not be put back: {error}"
        return _escalate(strategy, StrategyState.FAILED, message, [])
    state = StrategyState.UNDONE if had_effect else StrategyState.FAILED
    notes = [_note(f"'{strategy.title}' did not help: {reason}")]
    policy, _ = guardrails.current_policy(event)
    if event.attempt >= policy.limits.max_attempts:
        tried = event.strategies.filter(state__in=(StrategyState.FAILED, StrategyState.UNDONE)).count() + 1
        return _escalate(strategy, state, f"{tried} strategies were tried, none helped. Last: {reason}", notes)
    return PhaseResult(
        Phase.PLANNING, notes, fields={"attempt": event.attempt + 1}, writes=_writer(strategy, state, reason)
    )


def _escalate(strategy: Strategy, state: StrategyState, message: str, notes: list[Note]) -> PhaseResult:
    return PhaseResult(
        Phase.LEARNING,
        [*notes, _note(message, kind="escalated")],
        outcome=Outcome.ESCALATED,
        outcome_reason=message,
        writes=_writer(strategy, state, message),
    )


def _writer(strategy: Strategy, state: StrategyState, reason: str) -> Callable[[HealingEvent], None]:
    def writes(_: HealingEvent) -> None:
        strategy.state, strategy.state_reason = state, reason
        strategy.save(update_fields=["state", "state_reason"])

    return writes


def _note(message: str, kind: str = "strategy-failed") -> Note:
    return Note(kind, message, actor_kind=ActorKind.RULE, source="metacognition")
