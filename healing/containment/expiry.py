"""The end of what was changed for a time only (`healing.actions.temporary`): put back, or found put back by others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog
from django.db.models import QuerySet

from healing.actions import operations, temporary
from healing.actions.putting_back import put_back, upkeep_runner
from healing.actions.runner import stored_plan
from healing.models import ActionRun, ActionState
from healing.phase import Note
from healing.ports.cluster import Cluster
from healing.ports.errors import Conflict, SourceError

log = structlog.get_logger(__name__)

_CALL_SECONDS = 2.0
_BATCH = 10
_CONFLICTS = 4
AddNote = Callable[[int, Note], None]


def lasting() -> QuerySet[ActionRun]:
    """Temporary changes that stand, of events that have ended (until then the event itself looks after them)."""
    return ActionRun.objects.filter(
        expires_at__isnull=False,
        state__in=(ActionState.APPLIED, ActionState.UNDOING),
        event__finished_at__isnull=False,
    ).select_related("event")


def end_due(name: str, cluster: Cluster, add_note: AddNote, now: datetime) -> int:
    """Put back what has had its time in the cluster called ``name``, the newest first. Returns how many. May run twice
    at once: undoing is idempotent."""
    due = lasting().filter(event__cluster=name, expires_at__lte=now).order_by("-pk")
    return sum(_end(cluster, row, add_note) for row in due[:_BATCH])


def look(name: str, cluster: Cluster, add_note: AddNote, now: datetime) -> int:
    """Find what was put back by others before its time, and say so. Returns how many."""
    rows = lasting().filter(event__cluster=name, expires_at__gt=now, state=ActionState.APPLIED).order_by("pk")
    return sum(_is_told_overruled(cluster, row, add_note) for row in rows)


def _end(cluster: Cluster, row: ActionRun, add_note: AddNote) -> bool:
    if row.state == ActionState.APPLIED and _is_told_overruled(cluster, row, add_note):
        return True
    ended = put_back(upkeep_runner(cluster, _CALL_SECONDS), row)
    if ended is None:
        return False
    plan = stored_plan(row)
    if ended.problem is not None:
        message = f"The temporary change of {plan.target} could not be put back: {ended.problem}"
        add_note(row.event_id, Note("not-released", message, {"actionRun": row.pk}, source="containment"))
        return True
    owner = plan.blast_radius.managed_by
    message = (
        f"{ended.told} Because its time is over: {plan.target} is again as {owner} keeps it. "
        "If the fault comes back, make the change in its repository."
    )
    add_note(row.event_id, Note("expired", message, {"actionRun": row.pk}, source="containment"))
    return True


def _is_told_overruled(cluster: Cluster, row: ActionRun, add_note: AddNote) -> bool:
    plan = stored_plan(row)
    try:
        if not temporary.is_overruled(cluster, plan, timeout_seconds=_CALL_SECONDS):
            return False
        by = temporary.who_overruled(cluster, plan, row.applied_at or row.created_at, timeout_seconds=_CALL_SECONDS)
    except SourceError as error:
        log.info("a temporary change could not be looked at", action_run=row.pk, error=str(error))
        return False
    if temporary.mark_overruled(row, by):
        until = f"{row.expires_at:%H:%M} UTC" if row.expires_at else "its end"
        message = (
            f"{by} has put the temporary change of {plan.target} back before {until}. ReCiSt does not fight that: the "
            "object is not changed unasked again for a day. Make the change in its repository."
        )
        if by == temporary.SOMEBODY:
            message = (
                f"Somebody has changed {plan.target} since, so the temporary change is theirs now: it is not put back, "
                "and the object is not changed unasked again for a day."
            )
        add_note(row.event_id, Note("overruled", message, {"actionRun": row.pk, "by": by}, source="containment"))
        take_marks_off(cluster, row)
    return True


def take_marks_off(cluster: Cluster, row: ActionRun) -> None:
    """The annotations that a tool leaves alone when it puts the rest back. Nothing depends on them."""
    plan = stored_plan(row)
    for done, undo in zip(plan.operations, plan.undo_operations, strict=False):
        if not operations.is_hint(done):
            continue
        for _ in range(_CONFLICTS):  # its controllers write its status all the time
            try:
                if operations.is_done(cluster, done, timeout_seconds=_CALL_SECONDS):
                    operations.send(cluster, undo, timeout_seconds=_CALL_SECONDS)
            except Conflict:
                continue
            except SourceError as error:
                log.info("marks of a temporary change stay", action_run=row.pk, error=str(error))
            break
