"""A person takes back an action that was carried out: what was found before it is put back, if that is still possible.

The request is written down in the transaction that checks it (``undoing``, by compare-and-swap) and is its own outbox:
a worker carries it out with the same undo that ReCiSt uses when a strategy does not help, and repeats it until the
cluster has said how it ended. Where somebody has changed the object since, nothing is overwritten: that is said.

A fix that was taken back as a whole is remembered as one that failed: who takes it back says that it was no good there.
"""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from healing import audit, dispatch, engine, shared_clock, teaching
from healing.actions.putting_back import put_back, upkeep_runner
from healing.actions.runner import stored_plan
from healing.approvals import permissions, takeover
from healing.approvals.errors import DecisionError, NotAllowed
from healing.audit import Actor
from healing.models import ActionRun, ActionState, ActorKind, HealingEvent, Strategy, StrategyState
from healing.phase import Note
from healing.ports.cluster import Cluster

#: In the result of an action: who asked, when and why.
ASKED = "undoAsked"
_RUN_SECONDS = 20.0
_BATCH = 10
AddNote = Callable[[int, Note], None]


class AlreadyTakenBack(DecisionError):
    """Somebody else was first."""


def why_not(row: ActionRun) -> str:
    """Why this action cannot be taken back by anybody now; empty: it can. A few light queries."""
    event = row.event
    if row.state == ActionState.UNDONE:
        return "It is taken back already."
    if row.state == ActionState.UNDOING:
        return f"{asked_by(row) or 'ReCiSt'} is taking it back already."
    if row.state != ActionState.APPLIED:
        return f"It is {row.get_state_display()}: there is nothing that could be taken back."
    if row.strategy_id is None:
        return "It holds off a fault, and ends by itself: its time stands beside it."
    plan = stored_plan(row)
    if not plan.reversible:
        return f"It cannot be taken back. {plan.undo_summary}".strip()
    if event.finished_at is None and ((taken := takeover.open_takeover(event)) is None or taken.claimed_at is not None):
        return (
            "ReCiSt is still at work here, and takes back by itself what does not help. To decide yourself, take the "
            "event over by hand first."
        )
    later = event.actions.filter(
        pk__gt=row.pk, strategy__isnull=False, state__in=(ActionState.APPLIED, ActionState.UNDOING)
    ).last()
    if later is not None:
        return f"Take back first what was done after it: {stored_plan(later).summary}"
    return ""


def why_may_not(user: permissions.Person, event: HealingEvent) -> str:
    """Why this person may not take anything back here; empty: they may. Who approves actions may take them back."""
    return permissions.why_not_decide(user, event)


def ask(action_id: int, *, by: User, reason: str, actor: Actor | None = None) -> ActionRun:
    """Have it taken back. Halting does not stop this: it is a person's word, and leads to what was there before.

    Raises `DecisionError`."""
    event_id = ActionRun.objects.values_list("event_id", flat=True).get(pk=action_id)
    with transaction.atomic():
        event = HealingEvent.objects.select_for_update(of=("self",)).get(pk=event_id)
        if refusal := why_may_not(by, event):
            raise NotAllowed(refusal)
        if not reason.strip():
            raise DecisionError("Say why: who comes next has to understand it.")
        row = ActionRun.objects.get(pk=action_id)
        row.event = event
        if refusal := why_not(row):
            is_late = row.state in (ActionState.UNDOING, ActionState.UNDONE)
            raise AlreadyTakenBack(refusal) if is_late else DecisionError(refusal)
        result = {
            **row.result,
            ASKED: {"by": str(by), "userId": by.pk, "at": shared_clock.now().isoformat(), "reason": reason},
        }
        changed = ActionRun.objects.filter(pk=row.pk, state=ActionState.APPLIED).update(
            state=ActionState.UNDOING, result=result
        )
        if not changed:
            raise AlreadyTakenBack("Somebody else takes it back already.")
        summary = stored_plan(row).summary
        message = f"{by} takes this back: {summary} Why: {reason}"
        engine.add_note(
            event.pk,
            Note(
                "undo-asked",
                message,
                {"actionRun": row.pk},
                actor_kind=ActorKind.PERSON,
                actor=str(by),
                source="approvals",
            ),
        )
        audit.record(
            "action.undo-asked",
            actor=actor or Actor.of_user(by),
            target=event.name,
            cluster=event.cluster,
            namespace=event.target_namespace,
            data={"action": row.action, "actionRun": row.pk, "reason": reason},
        )
        cluster = event.cluster
        dispatch.after_commit("undo", lambda: dispatch.send_undo(cluster))
    row.refresh_from_db()
    return row


def asked_by(row: ActionRun) -> str:
    """Who has asked for it; empty: nobody."""
    return str((row.result.get(ASKED) or {}).get("by", "")) if isinstance(row.result, dict) else ""


def clusters_with_asked() -> set[str]:
    """Where something has to be taken back."""
    return set(_asked().values_list("event__cluster", flat=True).distinct())


def carry_out(name: str, cluster: Cluster, add_note: AddNote) -> int:
    """Take back what was asked for in the cluster called ``name``. Returns how many have ended, well or not.

    May run twice at once: undoing is idempotent. ``add_note`` puts a note on an event's timeline."""
    rows = _asked().filter(event__cluster=name).select_related("strategy", "event").order_by("-pk")
    return sum(_carry_out(row, cluster, add_note) for row in rows[:_BATCH])


def _asked() -> QuerySet[ActionRun]:
    return ActionRun.objects.filter(state=ActionState.UNDOING, result__has_key=ASKED)


def _carry_out(row: ActionRun, cluster: Cluster, add_note: AddNote) -> bool:
    by = asked_by(row)
    ended = put_back(upkeep_runner(cluster, _RUN_SECONDS), row)
    if ended is None:
        return False
    if ended.problem is not None:
        look = f"Look at {stored_plan(row).target}."
        message = f"What {by} wanted to take back could not be put back: {ended.problem} {look}"
        add_note(row.event_id, Note("undo-failed", message, {"actionRun": row.pk}, source="approvals"))
        return True
    is_taught = row.strategy is not None and _mark(row.strategy, row)
    message = f"{ended.told} {by} asked for it."
    if is_taught:
        message += " The memory counts it as a fix that failed here."
    add_note(row.event_id, Note("undone", message, {"actionRun": row.pk}, source="approvals"))
    return True


def _mark(strategy: Strategy, row: ActionRun) -> bool:
    """The strategy counts as taken back once none of its steps is in force. Whether the memory learnt by it."""
    if strategy.actions.filter(state__in=(ActionState.APPLIED, ActionState.UNDOING)).exists():
        return False
    asked, by, at = row.result[ASKED], asked_by(row), row.undone_at or shared_clock.now()
    strategy.state, strategy.state_reason = StrategyState.UNDONE, f"{by} took it back at {at:%H:%M} UTC"
    strategy.save(update_fields=["state", "state_reason"])
    return teaching.taken_back(strategy, Actor("person", by, asked.get("userId")), str(asked.get("reason", "")))
