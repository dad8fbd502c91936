"""Queue again what fell between two processes."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from healing import shared_clock
from healing.engine import record, state
from healing.lifecycle import LONGEST_WAIT_SECONDS, Status
from healing.models import HealingEvent

#: A queued run whose message nobody took in this time is sent again.
REDISPATCH_AFTER = timedelta(seconds=15)


def sweep(clusters: Collection[str], now: datetime | None = None, batch: int = 200) -> int:
    """Queue again what fell between two processes: lost messages, dead workers. Returns how many.

    One query for all ``clusters`` while there is nothing to do."""
    now = now or shared_clock.now()
    # Further ahead than anything is ever put off: the clock has been set back since.
    ahead = now + timedelta(seconds=LONGEST_WAIT_SECONDS) + REDISPATCH_AFTER
    lost = Q(status=Status.RUNNING) & (Q(lease_expires_at__lt=now) | Q(lease_expires_at__gt=ahead))
    due = Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=now) | Q(next_attempt_at__gt=ahead)
    sent_long_ago = Q(dispatched_at__lt=now - REDISPATCH_AFTER) | Q(dispatched_at__gt=ahead)
    unsent = Q(status=Status.QUEUED) & due & (Q(dispatched_at__isnull=True) | sent_long_ago)
    ours = HealingEvent.objects.filter(lost | unsent, cluster__in=clusters)
    ids = ours.order_by("id").values_list("pk", flat=True)[:batch]
    return sum(_sweep_one(pk, lost | unsent, now) for pk in ids)


def _sweep_one(pk: int, condition: Q, now: datetime) -> bool:
    with transaction.atomic():
        event = HealingEvent.objects.select_for_update(of=("self",), skip_locked=True).filter(condition, pk=pk).first()
        if event is None:
            return False
        if event.status == Status.RUNNING:
            state.retry_or_give_up(event, now, "worker-lost", "the worker did not come back")
        else:
            record.send(event)
        record.save(event)
    return True
