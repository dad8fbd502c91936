"""Celery's entry points: load by id, call the engine. Every task may run twice or never."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import structlog
from celery import Task, shared_task
from django.conf import settings

from healing import containment, engine, figures, mirror, retention, shared_clock
from healing.actions import known_states
from healing.approvals import recovery, service as approvals, takeover, undo
from healing.detection import alert_matching, heartbeat
from healing.exclusive import exclusive
from healing.forecasting import acting, rounds
from healing.handlers import HANDLERS
from healing.models import HealingEvent
from healing.ports import get_ports

log = structlog.get_logger(__name__)


@shared_task(name="healing.tasks.run_phase", ignore_result=True)
def run_phase(event_id: int, run_id: str) -> None:
    """Run the event's current phase, if ``run_id`` is still the current run."""
    cluster = HealingEvent.objects.values_list("cluster", flat=True).filter(pk=event_id).first()
    if cluster is None:
        return
    try:
        ports = get_ports(cluster)
    except LookupError as error:  # another cluster's worker will take it: its sweeper sends it again
        log.warning("not this worker's cluster", event_id=event_id, error=str(error))
        return
    engine.run(event_id, uuid.UUID(run_id), ports=ports, handlers=HANDLERS)


@shared_task(name="healing.tasks.sweep", ignore_result=True)
def sweep() -> None:
    """Beat, every second: the same few queries however many clusters there are."""
    engine.sweep(settings.CLUSTERS)
    mirror.sweep(heartbeat.answering(settings.CLUSTERS))


@shared_task(name="healing.tasks.prune", ignore_result=True)
def prune() -> None:
    """Beat, every hour: what ended long ago."""
    with exclusive("prune") as is_mine:
        if is_mine:
            retention.prune(shared_clock.now())


@shared_task(name="healing.tasks.mirror_event", ignore_result=True)
def mirror_event(event_id: int) -> None:
    """Write the event's HealingEvent resource."""
    cluster = HealingEvent.objects.values_list("cluster", flat=True).filter(pk=event_id).first()
    if cluster is not None and cluster in settings.CLUSTERS:
        mirror.mirror_event(event_id, get_ports(cluster))


@shared_task(name="healing.tasks.expire", ignore_result=True)
def expire() -> None:
    """Beat, every two seconds: approvals nobody decided, and events forgotten in somebody's hands."""
    approvals.expire_due()
    takeover.escalate_forgotten()


@shared_task(name="healing.tasks.count_finished", ignore_result=True)
def count_finished() -> None:
    """Beat, every five seconds: what has ended, in the numbers that the Insight page adds up."""
    figures.count_finished()


# What asks a cluster is a task of its own for each one: one that does not answer must not delay the others. Beat's task
# looks up in the database which clusters have anything to look after.


@shared_task(name="healing.tasks.release_due", ignore_result=True)
def release_due() -> None:
    """Beat, every five seconds: isolations past their time, and what could not be put back when its event ended."""
    _each(release_due_in, containment.clusters_to_release(), "healing", expires_seconds=5.0)


@shared_task(name="healing.tasks.release_due_in", ignore_result=True)
def release_due_in(cluster: str) -> None:
    """`release_due` for one cluster."""
    with exclusive(f"release_due:{cluster}") as is_mine:
        if is_mine:
            containment.release_due(cluster, get_ports, engine.add_note)


@shared_task(name="healing.tasks.release_strays", ignore_result=True)
def release_strays() -> None:
    """Beat, every minute: isolated pods that no row knows."""
    _each(release_strays_in, containment.clusters_with_policies(), "healing", expires_seconds=60.0)


@shared_task(name="healing.tasks.release_strays_in", ignore_result=True)
def release_strays_in(cluster: str) -> None:
    """`release_strays` for one cluster."""
    with exclusive(f"release_strays:{cluster}") as is_mine:
        if is_mine:
            containment.release_strays(cluster, get_ports, engine.add_note)


@shared_task(name="healing.tasks.remember_config", ignore_result=True)
def remember_config() -> None:
    """Beat, twice a minute: what objects look like, so that what is changed or deleted can be put back."""
    _each(remember_config_of, known_states.clusters_to_remember(), "knowledge", expires_seconds=30.0)


@shared_task(name="healing.tasks.remember_config_of", ignore_result=True)
def remember_config_of(cluster: str) -> None:
    """`remember_config` for one cluster."""
    with exclusive(f"remember_config:{cluster}") as is_mine:
        if is_mine:
            known_states.remember_all(get_ports, cluster)


@shared_task(name="healing.tasks.match_alerts", ignore_result=True)
def match_alerts() -> None:
    """Beat, every five seconds, and each delivery of Alertmanager: what the alerts are about."""
    _each(match_alerts_in, alert_matching.clusters_with_alerts(), "healing", expires_seconds=5.0)


@shared_task(name="healing.tasks.match_alerts_in", ignore_result=True)
def match_alerts_in(cluster: str) -> None:
    """`match_alerts` for one cluster."""
    with exclusive(f"match_alerts:{cluster}") as is_mine:
        if is_mine:
            alert_matching.match_due(cluster, get_ports)


@shared_task(name="healing.tasks.withdraw_recovered", ignore_result=True)
def withdraw_recovered() -> None:
    """Beat, every five seconds: questions whose fault went away by itself."""
    _each(withdraw_recovered_in, recovery.clusters_with_questions(), "healing", expires_seconds=5.0)


@shared_task(name="healing.tasks.withdraw_recovered_in", ignore_result=True)
def withdraw_recovered_in(cluster: str) -> None:
    """`withdraw_recovered` for one cluster."""
    with exclusive(f"withdraw_recovered:{cluster}") as is_mine:
        if is_mine:
            recovery.withdraw_recovered(cluster, get_ports)


@shared_task(name="healing.tasks.undo_asked", ignore_result=True)
def undo_asked() -> None:
    """Beat, every five seconds: actions that people take back."""
    _each(undo_asked_in, undo.clusters_with_asked(), "healing", expires_seconds=5.0)


@shared_task(name="healing.tasks.undo_asked_in", ignore_result=True)
def undo_asked_in(cluster: str) -> None:
    """`undo_asked` for one cluster."""
    with exclusive(f"undo_asked:{cluster}") as is_mine:
        if is_mine and cluster in settings.CLUSTERS:
            undo.carry_out(cluster, get_ports(cluster).cluster, engine.add_note)


@shared_task(name="healing.tasks.forecast", ignore_result=True)
def forecast() -> None:
    """Beat, twice a minute: what is heading for its limit."""
    _each(forecast_in, rounds.clusters_to_look_at(), "knowledge", expires_seconds=25.0)


@shared_task(name="healing.tasks.forecast_in", ignore_result=True)
def forecast_in(cluster: str) -> None:
    """`forecast` for one cluster."""
    with exclusive(f"forecast:{cluster}") as is_mine:
        if is_mine:
            now = shared_clock.now()
            rounds.look(cluster, get_ports(cluster), now, rounds.due(cluster, now))
            acting.propose_due(cluster, now)


def _each(task: Task[Any, Any], clusters: Iterable[str], queue: str, *, expires_seconds: float) -> None:
    """Queue the task for each of the clusters that is ours and answers. One that no worker takes in time is worthless:
    beat's next tick asks for the same work."""
    ours = [cluster for cluster in clusters if cluster in settings.CLUSTERS]
    for cluster in heartbeat.answering(ours):
        task.apply_async((cluster,), queue=queue, expires=expires_seconds, retry=False)
