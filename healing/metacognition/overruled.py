"""A change that the tool which owns the object has put back: its word is heard, and nothing more is done against it."""

from __future__ import annotations

from healing.actions import temporary
from healing.actions.ownership import is_gitops
from healing.actions.runner import Runner, UndoFailed, stored_plan
from healing.lifecycle import Outcome, Phase
from healing.metacognition.undoing import undo_all
from healing.models import ActionState, ActorKind, HealingEvent, Strategy, StrategyState
from healing.phase import Note, PhaseContext, PhaseResult

_CALL_SECONDS = 1.5
_SHOWN_CHANGES = 4


def found(context: PhaseContext, strategy: Strategy) -> PhaseResult | None:
    """The end of a healing whose change Argo CD or Flux has put back; None: it stands, or nobody owns its object.

    Raises `healing.ports.errors` or `TryLater`."""
    cluster, said = context.ports.cluster, []
    for row in strategy.actions.filter(state=ActionState.APPLIED):
        plan = stored_plan(row)
        owner = plan.blast_radius.managed_by
        if not is_gitops(owner) or not temporary.is_overruled(cluster, plan, timeout_seconds=_CALL_SECONDS):
            continue
        by = temporary.who_overruled(cluster, plan, row.applied_at or row.created_at, timeout_seconds=_CALL_SECONDS)
        temporary.mark_overruled(row, by)
        told = [change.for_people() for change in plan.changes[:_SHOWN_CHANGES]]
        wanted = "; ".join(f"{c['path']}: {c['before']!r} becomes {c['after']!r}" for c in told)
        said.append(
            f"{by[:1].upper()}{by[1:]} has put the change of {plan.target} back, and {owner} keeps it as its "
            f"repository says. ReCiSt does not fight that. Make the change there: {wanted}"
        )
    if not said:
        return None
    message = " ".join(said)
    context.report(_note("overruled", message))
    runner = Runner(cluster, context.deadline, context.check_still_mine)
    try:
        undo_all(context, runner, strategy)  # other steps, of what nobody else keeps
    except UndoFailed as error:
        message = f"{message} The rest could not be put back: {error}"

    def writes(_: HealingEvent) -> None:
        strategy.state, strategy.state_reason = StrategyState.UNDONE, message
        strategy.save(update_fields=["state", "state_reason"])

    return PhaseResult(Phase.LEARNING, outcome=Outcome.ESCALATED, outcome_reason=message, writes=writes)


def _note(kind: str, message: str) -> Note:
    return Note(kind, message, actor_kind=ActorKind.RULE, source="metacognition")
