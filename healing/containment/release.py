"""The end of containment: what was isolated, paused or cordoned is put back, or it is said why not.

An event that is healed or has recovered leaves nothing behind. After any other end the bleeding would begin again:
pauses and cordons stay (the timeline says so, and how to lift them), isolations stay until their time is over.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.db.models import QuerySet

from healing import shared_clock
from healing.actions.putting_back import put_back, upkeep_runner
from healing.actions.reading import unfit
from healing.actions.runner import Runner, stored_plan
from healing.containment import expiry
from healing.lifecycle import Outcome
from healing.models import MAYBE_IN_FORCE, ActionRun, HealingEvent, Isolation
from healing.phase import LostRun, Note, PhaseContext, PhaseHandler, PhaseResult
from healing.policies.spec import ActionName
from healing.ports import Ports
from healing.ports.errors import SourceError

log = structlog.get_logger(__name__)

_CALL_SECONDS = 2.0
_BATCH = 10
#: How long upkeep goes on trying to put back what could not be put back when the event ended.
_UPKEEP = timedelta(hours=6)

_LIFT = {
    ActionName.PAUSE_ROLLOUT: "kubectl -n {namespace} rollout resume deployment/{name}",
    ActionName.CORDON: "kubectl uncordon {name}",
}


def settling(handler: PhaseHandler) -> PhaseHandler:
    """The handler of the last phase, after `settle`."""

    def run(context: PhaseContext) -> PhaseResult:
        try:
            settle(context)
        except LostRun:
            raise
        except Exception:  # what could not be put back now is `release_due`'s; the event must end all the same
            log.exception("containment not settled", event_name=context.event.name)
        return handler(context)

    return run


def settle(context: PhaseContext) -> None:
    """Put back what containment did, or say on the timeline what stays and how to lift it."""
    event = context.event
    runner = Runner(context.ports.cluster, context.deadline, context.check_still_mine)
    for row in _open_measures(event):
        if event.outcome in (Outcome.HEALED, Outcome.RECOVERED):
            is_back, note = _put_back(runner, row, "the event is over")
            if not is_back:
                note = _later(row)
        else:
            note = _stays(row)
        if note is not None:
            context.report(note)
    for isolation in Isolation.objects.filter(event=event, released_at=None):
        # Planned, and then the cluster was away: nobody carries it out any more, and nobody may take it for one.
        if not _open_measures(event).filter(action=ActionName.ISOLATE, target__uid=isolation.pod_uid).exists():
            _never_took_effect(isolation)


def clusters_to_release(now: datetime | None = None) -> set[str]:
    """Clusters for which `release_due` has something to do."""
    now = now or shared_clock.now()
    found = set(_expired(now).values_list("event__cluster", flat=True).distinct())
    found.update(_left_behind(now).values_list("event__cluster", flat=True).distinct())
    ended = expiry.lasting().filter(expires_at__lte=now)
    return found.union(ended.values_list("event__cluster", flat=True).distinct())


def release_due(
    cluster: str,
    get_ports: Callable[[str], Ports],
    add_note: Callable[[int, Note], None],
    now: datetime | None = None,
) -> int:
    """End isolations and temporary changes past their time, and what could not be put back when its event ended, in one
    cluster. Returns how many.

    ``add_note`` puts a note on an event's timeline (`engine.add_note`). May run twice at once: undoing is idempotent.
    """
    now = now or shared_clock.now()
    done = 0
    due = _expired(now).filter(event__cluster=cluster).select_related("event")
    for isolation in due.order_by("expires_at")[:_BATCH]:
        row = _open_measures(isolation.event).filter(action=ActionName.ISOLATE, target__uid=isolation.pod_uid).first()
        if row is None:  # written down, but never carried out
            _never_took_effect(isolation)
        else:
            done += _upkeep(get_ports, add_note, row, "its time is over")
    left = _left_behind(now).filter(event__cluster=cluster).select_related("event")
    for row in left.order_by("pk")[:_BATCH]:
        done += _upkeep(get_ports, add_note, row, "the event is over")
    if expiry.lasting().filter(event__cluster=cluster, expires_at__lte=now).exists():
        done += expiry.end_due(cluster, get_ports(cluster).cluster, add_note, now)
    return done


def _expired(now: datetime) -> QuerySet[Isolation]:
    return Isolation.objects.filter(released_at=None, expires_at__lte=now)


def _left_behind(now: datetime) -> QuerySet[ActionRun]:
    return ActionRun.objects.filter(
        strategy=None,
        state__in=MAYBE_IN_FORCE,
        event__outcome__in=(Outcome.HEALED, Outcome.RECOVERED),
        event__finished_at__gte=now - _UPKEEP,
    )


def _upkeep(
    get_ports: Callable[[str], Ports], add_note: Callable[[int, Note], None], row: ActionRun, reason: str
) -> bool:
    cluster = get_ports(row.event.cluster).cluster
    is_back, note = _put_back(upkeep_runner(cluster, _CALL_SECONDS), row, reason)
    if note is not None:
        add_note(row.event_id, note)
    return is_back


def _open_measures(event: HealingEvent) -> QuerySet[ActionRun]:
    return ActionRun.objects.filter(event=event, strategy=None, state__in=MAYBE_IN_FORCE).order_by("-pk")


def _put_back(runner: Runner, row: ActionRun, reason: str) -> tuple[bool, Note | None]:
    """Whether it is over with, and what there is to say."""
    data = {"actionRun": row.pk}
    if row.action == ActionName.CORDON and not _is_fit_node(runner, row):
        return False, None  # looked at again by upkeep, until the node is back
    ended = put_back(runner, row)
    if ended is None:
        return False, None
    if ended.problem is not None:
        _mark_released(row, ended.problem)
        return True, Note("not-released", f"{row.action} was not put back: {ended.problem}", data, source="containment")
    _mark_released(row, reason)
    if not ended.done:  # the strategy has put it back already
        return True, None
    return True, Note("released", f"{ended.done} Because {reason}.", data, source="containment")


def _later(row: ActionRun) -> Note:
    target = stored_plan(row).target
    when = "the node is fit again" if row.action == ActionName.CORDON else "the cluster lets us"
    message = f"{row.action} of {target} is put back as soon as {when}."
    return Note("stays-contained", message, {"actionRun": row.pk}, source="containment")


def _is_fit_node(runner: Runner, row: ActionRun) -> bool:
    name = stored_plan(row).target.name
    try:
        return not unfit(runner.cluster.get("Node", "", name, timeout_seconds=_CALL_SECONDS))
    except SourceError as error:
        log.info("a cordoned node could not be looked at", action_run=row.pk, error=str(error))
        return False


def _mark_released(row: ActionRun, reason: str) -> None:
    if row.action == ActionName.ISOLATE:
        Isolation.objects.filter(event_id=row.event_id, pod_uid=stored_plan(row).target.uid, released_at=None).update(
            released_at=shared_clock.now(), release_reason=reason[:200]
        )


def _never_took_effect(isolation: Isolation) -> None:
    Isolation.objects.filter(pk=isolation.pk).update(released_at=shared_clock.now(), release_reason="never took effect")


def _stays(row: ActionRun) -> Note | None:
    target = stored_plan(row).target
    data = {"actionRun": row.pk}
    if row.action == ActionName.ISOLATE:
        isolation = Isolation.objects.filter(event_id=row.event_id, pod_uid=target.uid, released_at=None).first()
        until = f" until {isolation.expires_at:%H:%M:%S} UTC" if isolation else ""
        return Note("stays-contained", f"{target} stays isolated{until}.", data, source="containment")
    lift = _LIFT[ActionName(row.action)].format(namespace=target.namespace, name=target.name)
    what = "stays paused" if row.action == ActionName.PAUSE_ROLLOUT else "stays cordoned"
    message = f"{target} {what}, because the fault is still there. To lift it: {lift}"
    return Note("stays-contained", message, data, source="containment")
