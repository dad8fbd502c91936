"""Queue again what fell between two processes."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from healing.engine import record, state
from healing.lifecycle import Status
from healing.models import HealingEvent

#: A queued run whose message nobody took in this time is sent again.
REDISPATCH_AFTER = timedelta(seconds=15)


def sweep(clusters: Collection[str], now: datetime | None = None, batch: int = 200) -> int:
    """Queue again what fell between two processes: lost messages, dead workers. Returns how many.

    One query for all ``clusters`` while there is nothing to do."""
    now = now or timezone.now()
    lost = Q(status=Status.RUNNING, lease_expires_at__lt=now)
    due = Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=now)
    unsent = (
        Q(status=Status.QUEUED) & due & (Q(dispatched_at__isnull=True) | Q(dispatched_at__lt=now - REDISPATCH_AFTER))
    )
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
