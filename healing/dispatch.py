"""Messages out of the engine. Each may be lost: the rows say the same, and the sweeper reads the rows."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import structlog
from asgiref.sync import async_to_sync
from celery import current_app
from channels.layers import get_channel_layer
from django.db import transaction

from healing.lifecycle import Phase, priority_of, queue_of

log = structlog.get_logger(__name__)

#: Channel group of everything that shows events.
DASHBOARD_GROUP = "healing.events"


def send_run(event_id: int, run_id: uuid.UUID, phase: Phase, *, countdown_seconds: float = 0.0) -> None:
    """Ask a worker to run the event's phase. Raises what the broker raises."""
    current_app.send_task(
        "healing.tasks.run_phase",
        args=[event_id, str(run_id)],
        queue=queue_of(phase),
        priority=priority_of(phase),
        countdown=countdown_seconds or None,
        retry=False,
    )


def send_mirror(event_id: int) -> None:
    """Ask a worker to write the event's HealingEvent resource (not one that contains: the cluster may hang)."""
    current_app.send_task("healing.tasks.mirror_event", args=[event_id], queue="healing", priority=3, retry=False)


def send_alerts() -> None:
    """Ask a worker to look at alerts that were delivered. Beat asks too."""
    current_app.send_task("healing.tasks.match_alerts", queue="healing", retry=False)


def send_undo(cluster: str) -> None:
    """Ask a worker to take back what people asked for. Beat asks too."""
    current_app.send_task("healing.tasks.undo_asked_in", args=[cluster], queue="healing", retry=False)


def ring_doorbell(event_name: str, seq: int) -> None:
    """Tell the dashboards that an event has something newer. They read the database."""
    layer = get_channel_layer()
    if layer is not None:
        async_to_sync(layer.group_send)(DASHBOARD_GROUP, {"type": "event.changed", "event": event_name, "seq": seq})


def after_commit(what: str, send: Callable[[], None]) -> None:
    """Run ``send`` once the transaction is durable; a broker that is down is logged, never raised."""

    def safely() -> None:
        try:
            send()
        except Exception:  # the sweeper repeats what matters; a healing must not fail for a lost doorbell
            log.warning("message not sent", what=what, exc_info=True)

    transaction.on_commit(safely)
