"""The rows of messages: put in once, claimed by one sender, ended or tried again."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q

from healing import shared_clock, telemetry
from healing.models import Approval, ApprovalState, Delivery, DeliveryState, HealingEvent
from healing.notifications import channels
from healing.notifications.channels import Channel
from healing.notifications.message import Message
from healing.policies.notifications import Occasion

#: So long one sender may take before it counts as dead; longer than `senders.TOTAL_SECONDS`.
LEASE = timedelta(seconds=40)
#: Receivers that are called at the same time, in the whole installation: the others' threads are for healing.
MAX_IN_FLIGHT = 3
#: From so many messages that wait for one receiver on, they are told as one.
GROUP_FROM = 5
GROUP_AT_MOST = 200
FIRST_RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 900.0
#: After that a message is no news any more.
GIVE_UP_AFTER = timedelta(hours=6)
KEPT_FOR = timedelta(days=30)
SUMMARY = "summary"

_random = random.SystemRandom()


def put(
    message: Message,
    to: Iterable[Channel],
    occasion: str,
    *,
    event: HealingEvent | None = None,
    approval: Approval | None = None,
) -> int:
    """Rows for the channels; those that are there already stay as they are. ``occasion`` names what happened, once:
    the same again is the same message. Call it in the transaction that marks the occasion as seen. Returns how many
    channels there were."""
    now = shared_clock.now()
    rows = [
        Delivery(
            key=key_of(occasion, channel.key),
            kind=message.kind,
            cluster=message.cluster,
            namespace=message.namespace,
            event=event,
            approval=approval,
            channel=channel.config,
            channel_type=channel.type,
            channel_key=channel.key,
            message=message.as_json(),
            created_at=now,
            next_attempt_at=now,
        )
        for channel in to
    ]
    Delivery.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def announce(message: Message, occasion: str, *, policy_channels: Iterable[Channel] = ()) -> int:
    """For other parts (forecasts, say): tell the channels that want ``message.kind``, those of the installation and
    ``policy_channels`` (`channels.of_spec`). Once for each ``occasion``, a text that names it for ever, such as
    ``warning/17``. Inside or outside a transaction. Returns how many channels hear of it."""
    everybody = channels.joined([*channels.of_installation(), *policy_channels])
    return put(message, [c for c in everybody if message.kind in c.when], occasion)


def key_of(occasion: str, channel_key: str) -> str:
    """The name of one message to one receiver."""
    return hashlib.sha256(f"{occasion}\n{channel_key}".encode()).hexdigest()


def due(now: datetime) -> list[int]:
    """Rows to send now, at most one a receiver, oldest first; takes back what dead senders left, ends what is no news
    any more, and puts many for one receiver together."""
    Delivery.objects.filter(state=DeliveryState.SENDING, lease_expires_at__lt=now).update(
        state=DeliveryState.QUEUED, next_attempt_at=now, error="The sender did not come back."
    )
    _end_old(now)
    busy = set(Delivery.objects.filter(state=DeliveryState.SENDING).values_list("channel_key", flat=True))
    free = MAX_IN_FLIGHT - len(busy)
    chosen: dict[str, int] = {}
    if free <= 0:
        return []
    rows = Delivery.objects.filter(state=DeliveryState.QUEUED, next_attempt_at__lte=now).order_by("created_at", "pk")
    for pk, receiver, kind, event_id in rows.values_list("pk", "channel_key", "channel_type", "event")[:1000]:
        if receiver in busy or receiver in chosen:
            continue
        if kind == "pagerDuty":
            if _overtakes(pk, receiver, event_id):
                continue
            chosen[receiver] = pk  # PagerDuty groups by itself, and every incident is closed by its own message
        else:
            chosen[receiver] = _grouped(receiver, now) or pk
        if len(chosen) == free:
            break
    return list(chosen.values())


def claim(delivery_id: int, now: datetime) -> Delivery | None:
    """The row for the one who sends it. None: somebody else has it, it is not due, or it is not needed any more."""
    with transaction.atomic():
        row = (
            Delivery.objects.select_for_update(of=("self",), skip_locked=True)
            .filter(pk=delivery_id, state=DeliveryState.QUEUED, next_attempt_at__lte=now)
            .first()
        )
        if row is None:
            return None
        if _is_answered(row):
            row.state, row.finished_at = DeliveryState.SUPERSEDED, now
            row.error = "It was decided before the message was sent."
        else:
            row.state, row.lease_expires_at, row.attempts = DeliveryState.SENDING, now + LEASE, row.attempts + 1
        row.save()
    return row if row.state == DeliveryState.SENDING else None


def delivered(row: Delivery) -> None:
    """The receiver has it."""
    _finish(row, DeliveryState.DELIVERED, "")


def gave_up(row: Delivery, error: str) -> None:
    """It would be refused again."""
    _finish(row, DeliveryState.FAILED, error)


def again(row: Delivery, error: str, *, after_seconds: float | None = None) -> None:
    """Try later: after the time the receiver asked for, which holds for all its messages, else with back-off."""
    now = shared_clock.now()
    delay = min(FIRST_RETRY_SECONDS * 2 ** (row.attempts - 1), LONGEST_RETRY_SECONDS)
    delay *= _random.uniform(0.8, 1.2)
    if after_seconds is not None:
        delay = max(min(after_seconds, LONGEST_RETRY_SECONDS), 1.0)
    due_at = now + timedelta(seconds=delay)
    mine = Delivery.objects.filter(pk=row.pk, state=DeliveryState.SENDING, attempts=row.attempts)
    mine.update(state=DeliveryState.QUEUED, next_attempt_at=due_at, lease_expires_at=None, error=error[:500])
    if after_seconds is not None:
        waiting = Delivery.objects.filter(channel_key=row.channel_key, state=DeliveryState.QUEUED)
        waiting.filter(next_attempt_at__lt=due_at).update(next_attempt_at=due_at)


def _finish(row: Delivery, state: DeliveryState, error: str) -> None:
    # Only whoever holds it: after a lost lease somebody else may be sending it again.
    mine = Delivery.objects.filter(pk=row.pk, state=DeliveryState.SENDING, attempts=row.attempts)
    if mine.update(state=state, finished_at=shared_clock.now(), lease_expires_at=None, error=error[:500]):
        telemetry.count("recist_notifications_total", row.channel_type, str(state))


def _overtakes(pk: int, receiver: str, event_id: int | None) -> bool:
    """Whether an earlier message about the same incident waits to be tried again."""
    earlier = Delivery.objects.filter(channel_key=receiver, event=event_id, pk__lt=pk)
    return event_id is not None and earlier.filter(state__in=(DeliveryState.QUEUED, DeliveryState.SENDING)).exists()


def _is_answered(row: Delivery) -> bool:
    if row.kind not in (Occasion.APPROVAL_NEEDED, Occasion.APPROVAL_EXPIRING) or row.approval is None:
        return False
    return row.approval.state != ApprovalState.OPEN


def _end_old(now: datetime) -> None:
    Delivery.objects.filter(state=DeliveryState.QUEUED, created_at__lt=now - GIVE_UP_AFTER, attempts__gt=0).update(
        state=DeliveryState.FAILED, finished_at=now, error=F("error")
    )


def forget_old(now: datetime) -> int:
    """Delete what ended long ago; returns how many rows."""
    ended = ~Q(state__in=(DeliveryState.QUEUED, DeliveryState.SENDING))
    count, _ = Delivery.objects.filter(ended, created_at__lt=now - KEPT_FOR).delete()
    return count


def _grouped(receiver: str, now: datetime) -> int | None:
    """One row that tells what many for this receiver would; None: there are few. What was tried alone stays alone."""
    with transaction.atomic():
        waiting = list(
            Delivery.objects.select_for_update(of=("self",), skip_locked=True)
            .filter(channel_key=receiver, state=DeliveryState.QUEUED, attempts=0, next_attempt_at__lte=now)
            .exclude(kind__in=(SUMMARY, Occasion.STORM, Occasion.HALTED))
            .order_by("created_at", "pk")[:GROUP_AT_MOST]
        )
        rows = [row for row in waiting if not _is_answered(row)]
        if len(rows) < GROUP_FROM:
            return None
        occasion = "summary/" + ",".join(str(row.pk) for row in rows)
        first = rows[0]
        summary = Delivery.objects.create(
            key=key_of(hashlib.sha256(occasion.encode()).hexdigest(), receiver),
            kind=SUMMARY,
            channel=first.channel,
            channel_type=first.channel_type,
            channel_key=receiver,
            message=_summary(rows, now).as_json(),
            created_at=first.created_at,
            next_attempt_at=now,
        )
        Delivery.objects.filter(pk__in=[row.pk for row in rows]).update(
            state=DeliveryState.GROUPED, finished_at=now, summary=summary
        )
    return summary.pk


def _summary(rows: list[Delivery], now: datetime) -> Message:
    messages = [Message.from_json(row.message) for row in rows]
    shown = [f"• {message.title}" for message in messages[:20]]
    if len(messages) > 20:
        shown.append(f"… and {len(messages) - 20} more.")
    clusters = sorted({message.cluster for message in messages if message.cluster})
    worst = "critical" if any(m.severity == "critical" for m in messages) else "warning"
    return Message(
        kind=SUMMARY,
        title=f"{len(messages)} messages at once from ReCiSt",
        text="\n".join(shown),
        at=now.isoformat(),
        incident=f"recist/summary/{rows[0].pk}",
        path="/",
        severity="critical" if worst == "critical" else "warning",
        facts=[("Clusters", ", ".join(clusters))] if clusters else [],
    )
