"""Celery's entry points of the queue `notifications`. Each may run twice, or be killed at any line."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.core.cache import cache

from healing import shared_clock
from healing.models import Delivery
from healing.notifications import outbox, senders
from healing.notifications.collect import collect

log = structlog.get_logger(__name__)

QUEUE = "notifications"
_TIDY_EVERY_SECONDS = 3600


@shared_task(name="healing.notifications.tasks.tick", ignore_result=True)
def tick() -> None:
    """Beat, every second: what is new goes into the outbox, what is due to its senders. Two at once do no harm."""
    collect()
    for delivery_id in outbox.due(shared_clock.now()):
        # What no worker takes in time is asked for again by the next tick.
        deliver.apply_async((delivery_id,), queue=QUEUE, expires=5.0, retry=False)
    if cache.add("notifications.tidied", value=True, timeout=_TIDY_EVERY_SECONDS):
        outbox.forget_old(shared_clock.now())


@shared_task(name="healing.notifications.tasks.deliver", ignore_result=True)
def deliver(delivery_id: int) -> None:
    """Send one message, if it is still to be sent."""
    row = outbox.claim(delivery_id, shared_clock.now())
    if row is not None:
        deliver_claimed(row)


def deliver_claimed(row: Delivery) -> None:
    """Send the claimed row and say in it how that went."""
    try:
        senders.send(row)
    except senders.TryLater as error:
        log.info("a notification waits", kind=row.kind, channel=row.channel_type, error=str(error))
        outbox.again(row, str(error), after_seconds=error.after_seconds)
    except senders.Refused as error:
        log.warning("a notification was refused", kind=row.kind, channel=row.channel_type, error=str(error))
        outbox.gave_up(row, str(error))
    except Exception as error:  # a bug of ours must not leave the row with its sender for ever
        log.exception("a notification could not be sent", kind=row.kind, channel=row.channel_type)
        outbox.again(row, f"It could not be sent: {type(error).__name__}.")
    else:
        outbox.delivered(row)
