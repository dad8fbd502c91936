"""From what the engine has committed to rows of messages. Reads state, not messages: nothing is lost between two looks,
and looking twice tells nobody twice."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from django.core.cache import cache
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from healing import shared_clock
from healing.actions import brakes
from healing.lifecycle import Outcome
from healing.models import (
    Approval,
    ApprovalState,
    Delivery,
    DeliveryState,
    Halt,
    HealingEvent,
    Notified,
    Policy,
)
from healing.notifications import channels, texts
from healing.notifications.outbox import put
from healing.policies.notifications import Occasion

_BATCH = 200
#: An approval is about to expire when so much of its time is left; short ones are not reminded of.
EXPIRING_FRACTION = 0.25
EXPIRING_AT_MOST = timedelta(minutes=15)
REMIND_FROM = timedelta(minutes=2)
#: A storm is told of again if it still blows after this.
STORM_AGAIN = timedelta(minutes=30)
_STORM_WINDOW = timedelta(minutes=5)
_HALT_IS_NEWS = timedelta(hours=1)
_MEMORY_SECONDS = 24 * 3600
_WELL = (Outcome.HEALED, Outcome.RECOVERED)


def collect(now: datetime | None = None) -> int:
    """Put what is new into the outbox; returns how many messages. Cheap where nothing is: call it every second."""
    now = now or shared_clock.now()
    return _events(now) + _approvals(now) + _decisions(now) + _storms(now) + _halts(now)


def _events(now: datetime) -> int:
    new = Q(notified=Notified.NOTHING) | Q(notified=Notified.BEGIN, finished_at__isnull=False)
    ids = HealingEvent.objects.filter(new).order_by("pk").values_list("pk", flat=True)[:_BATCH]
    return sum(_event(pk) for pk in ids)


def _event(pk: int) -> int:
    count = 0
    with transaction.atomic():
        # Who holds the row is changing it right now: the next look sees what it has become.
        event = (
            HealingEvent.objects.select_for_update(of=("self",), skip_locked=True)
            .select_related("policy")
            .filter(pk=pk)
            .first()
        )
        if event is None:
            return 0
        to = channels.of_event(event)
        if event.notified == Notified.NOTHING:
            wanted = [c for c in to if Occasion.DETECTED in c.when]
            count += put(texts.detected(event), wanted, f"detected/{event.name}", event=event)
        if event.finished_at is not None:
            count += _end(event, to)
        reached = Notified.END if event.finished_at is not None else Notified.BEGIN
        # Not `save`: everything else in the row is the engine's.
        HealingEvent.objects.filter(pk=pk).update(notified=reached)
    return count


def _end(event: HealingEvent, to: list[channels.Channel]) -> int:
    if event.outcome in _WELL:
        kind, message = Occasion.HEALED, texts.healed(event)
    elif event.outcome == Outcome.DECLINED:
        kind, message = Occasion.DECLINED, texts.declined(event)
    else:
        kind, message = Occasion.ESCALATED, texts.escalated(event)
    wanted = []
    for channel in to:
        if channel.type == "pagerDuty" and message.effect == "resolve":
            # An incident we opened is closed by us, and none is closed that we did not open.
            if _has_incident(event, channel.key):
                wanted.append(channel)
        elif kind in channel.when:
            wanted.append(channel)
    return put(message, wanted, f"{kind}/{event.name}", event=event)


def _has_incident(event: HealingEvent, channel_key: str) -> bool:
    rows = Delivery.objects.filter(event=event, channel_key=channel_key)
    return rows.exclude(state__in=(DeliveryState.SUPERSEDED, DeliveryState.FAILED)).exists()


def _approvals(now: datetime) -> int:
    rows = Approval.objects.filter(state=ApprovalState.OPEN, expires_at__gt=now)
    found = list(rows.select_related("event__policy", "strategy"))
    wanted = {f"notified.approval.{a.pk}.needed": (a, Occasion.APPROVAL_NEEDED) for a in found}
    wanted |= {
        f"notified.approval.{a.pk}.expiring": (a, Occasion.APPROVAL_EXPIRING) for a in found if _is_expiring(a, now)
    }
    known = cache.get_many(wanted) if wanted else {}
    count = 0
    for name, (approval, occasion) in wanted.items():
        if name in known:
            continue
        to = [c for c in channels.of_event(approval.event) if occasion in c.when]
        message = texts.approval(approval, occasion, now)
        count += put(message, to, f"{occasion}/{approval.pk}", event=approval.event, approval=approval)
        cache.set(name, value=True, timeout=_MEMORY_SECONDS)  # saves work; the rows' keys are what counts
    return count


def _is_expiring(approval: Approval, now: datetime) -> bool:
    whole = approval.expires_at - approval.created_at
    return whole >= REMIND_FROM and approval.expires_at - now <= min(whole * EXPIRING_FRACTION, EXPIRING_AT_MOST)


def _decisions(now: datetime) -> int:
    """PagerDuty learns that somebody has taken it up."""
    asked = Delivery.objects.filter(
        kind=Occasion.APPROVAL_NEEDED,
        channel_type="pagerDuty",
        state=DeliveryState.DELIVERED,
        created_at__gt=now - timedelta(days=2),
        approval__state__in=(ApprovalState.APPROVED, ApprovalState.REJECTED, ApprovalState.OVERRIDDEN),
    )
    told = Delivery.objects.filter(
        kind=texts.DECIDED, approval=OuterRef("approval"), channel_key=OuterRef("channel_key")
    )
    count = 0
    for row in asked.filter(~Exists(told)).select_related("approval__event", "approval__strategy")[:_BATCH]:
        assert row.approval is not None
        to = [channels.Channel(row.channel, frozenset())]
        message = texts.decided(row.approval)
        count += put(message, to, f"decided/{row.approval.pk}", event=row.approval.event, approval=row.approval)
    return count


def _storms(now: datetime) -> int:
    recent = HealingEvent.objects.filter(finished_at=None, detected_at__gt=now - _STORM_WINDOW)
    by_cluster = Counter(recent.order_by().values_list("cluster", flat=True))
    count = 0
    for cluster, events in by_cluster.items():
        limit = _storm_limit(cluster)
        if not limit or events < limit:
            continue
        faults = brakes.faults_at_once(HealingEvent(cluster=cluster), now)
        if faults < limit:
            continue
        told = set(
            Delivery.objects.filter(kind=Occasion.STORM, cluster=cluster, created_at__gt=now - STORM_AGAIN).values_list(
                "channel_key", flat=True
            )
        )
        to = [c for c in channels.of_cluster(cluster) if Occasion.STORM in c.when and c.key not in told]
        count += put(texts.storm(cluster, faults, now), to, f"storm/{cluster}/{now:%Y%m%dT%H%M}")
    return count


def _storm_limit(cluster: str) -> int:
    """The least number of faults at once that a policy of the cluster calls a storm; 0: none does."""
    limits = [spec.limits.storm_faults for _, spec in Policy.usable(cluster)]
    return min((limit for limit in limits if limit), default=0)


def _halts(now: datetime) -> int:
    count = 0
    for halt in Halt.objects.filter(lifted_at=None, created_at__gt=now - _HALT_IS_NEWS):
        name = f"notified.halt.{halt.pk}"
        if cache.get(name):
            continue
        to = [c for c in channels.of_cluster(halt.cluster) if Occasion.HALTED in c.when]
        count += put(texts.halted(halt), to, f"halted/{halt.pk}")
        cache.set(name, value=True, timeout=_MEMORY_SECONDS)
    return count
