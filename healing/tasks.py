"""Celery's entry points: load by id, call the engine. Every task may run twice or never."""

from __future__ import annotations

import uuid

import structlog
from celery import shared_task
from django.conf import settings

from healing import containment, engine, mirror
from healing.actions import known_good
from healing.approvals import recovery, service as approvals
from healing.exclusive import exclusive
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
    """Beat, every second."""
    engine.sweep(settings.CLUSTER_NAME)
    mirror.sweep()


@shared_task(name="healing.tasks.mirror_event", ignore_result=True)
def mirror_event(event_id: int) -> None:
    """Write the event's HealingEvent resource."""
    cluster = HealingEvent.objects.values_list("cluster", flat=True).filter(pk=event_id).first()
    if cluster == settings.CLUSTER_NAME:
        mirror.mirror_event(event_id, get_ports(cluster))


@shared_task(name="healing.tasks.expire", ignore_result=True)
def expire() -> None:
    """Beat, every two seconds: approvals nobody decided."""
    approvals.expire_due()


@shared_task(name="healing.tasks.release_due", ignore_result=True)
def release_due() -> None:
    """Beat, every five seconds: isolations past their time, and what could not be put back when its event ended."""
    with exclusive("release_due") as is_mine:
        if is_mine:
            containment.release_due(get_ports, engine.add_note)


@shared_task(name="healing.tasks.remember_config", ignore_result=True)
def remember_config() -> None:
    """Beat, twice a minute: what ConfigMaps hold, so that a key that gets lost can be put back."""
    with exclusive("remember_config") as is_mine:
        if is_mine:
            known_good.remember_all(get_ports)


@shared_task(name="healing.tasks.withdraw_recovered", ignore_result=True)
def withdraw_recovered() -> None:
    """Beat, every five seconds: questions whose fault went away by itself."""
    with exclusive("withdraw_recovered") as is_mine:
        if is_mine:
            recovery.withdraw_recovered(get_ports)
