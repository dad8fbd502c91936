"""Celery's entry points: load by id, call the engine. Every task may run twice or never."""

from __future__ import annotations

import uuid

from celery import shared_task

from healing import containment, engine, mirror
from healing.approvals import recovery
from healing.approvals import service as approvals
from healing.handlers import HANDLERS
from healing.models import HealingEvent
from healing.ports import get_ports


@shared_task(name="healing.tasks.run_phase", ignore_result=True)
def run_phase(event_id: int, run_id: str) -> None:
    """Run the event's current phase, if ``run_id`` is still the current run."""
    cluster = HealingEvent.objects.values_list("cluster", flat=True).filter(pk=event_id).first()
    if cluster is not None:
        engine.run(event_id, uuid.UUID(run_id), ports=get_ports(cluster), handlers=HANDLERS)


@shared_task(name="healing.tasks.sweep", ignore_result=True)
def sweep() -> None:
    """Beat, every second."""
    engine.sweep()
    mirror.sweep()


@shared_task(name="healing.tasks.mirror_event", ignore_result=True)
def mirror_event(event_id: int) -> None:
    """Write the event's HealingEvent resource."""
    cluster = HealingEvent.objects.values_list("cluster", flat=True).filter(pk=event_id).first()
    if cluster is not None:
        mirror.mirror_event(event_id, get_ports(cluster))


@shared_task(name="healing.tasks.expire", ignore_result=True)
def expire() -> None:
    """Beat, every two seconds: approvals nobody decided, isolations past their time."""
    approvals.expire_due()
    containment.release_due(get_ports, engine.add_note)


@shared_task(name="healing.tasks.withdraw_recovered", ignore_result=True)
def withdraw_recovered() -> None:
    """Beat, every five seconds: questions whose fault went away by itself."""
    recovery.withdraw_recovered(get_ports)
