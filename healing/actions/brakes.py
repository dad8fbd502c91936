"""What stops automation as a whole: the kill switch, freeze windows, circuit breakers and storms."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q

from healing.lifecycle import Outcome, Phase
from healing.models import CircuitReset, Halt, HealingEvent, StrategyState
from healing.policies import freeze
from healing.policies.spec import PolicySpec

#: Failures longer ago say little about today.
_BREAKER_LOOKS_BACK = timedelta(hours=24)
#: Faults detected within this time are "at once".
_STORM = timedelta(minutes=5)
_DIAGNOSED = (Phase.PLANNING, Phase.AWAITING_APPROVAL, Phase.HEALING, Phase.VERIFYING)


def halt_of(cluster: str) -> Halt | None:
    """The kill switch that is thrown for this cluster, or everywhere. Always read anew: it stops what is queued."""
    return Halt.objects.filter(Q(cluster=cluster) | Q(cluster=""), lifted_at=None).order_by("cluster").first()


def frozen_until(policy: PolicySpec, now: datetime) -> tuple[str, datetime] | None:
    """The freeze window that ``now`` is in, and when it ends."""
    for text in policy.limits.freeze_windows:
        ends = freeze.parse(text).until(now)
        if ends is not None:
            return text, ends
    return None


def failed_healings(event: HealingEvent, now: datetime) -> int:
    """Events of this workload, one after another, of which all that was tried failed; since one was healed, or a person
    has reset it."""
    where = {
        "cluster": event.cluster,
        "target_kind": event.target_kind,
        "target_namespace": event.target_namespace,
        "target_name": event.target_name,
    }
    since = now - _BREAKER_LOOKS_BACK
    healed = HealingEvent.objects.filter(**where, outcome=Outcome.HEALED, finished_at__gt=since).order_by(
        "-finished_at"
    )
    last = healed.values_list("finished_at", flat=True).first()
    reset = CircuitReset.objects.filter(
        cluster=event.cluster, kind=event.target_kind, namespace=event.target_namespace, name=event.target_name
    ).values_list("at", flat=True)
    since = max([since, *filter(None, (last, reset.first()))])
    return (
        HealingEvent.objects.filter(
            **where,
            finished_at__gt=since,
            outcome=Outcome.ESCALATED,
            strategies__state__in=(StrategyState.FAILED, StrategyState.UNDONE),
        )
        .exclude(pk=event.pk)
        .distinct()
        .count()
    )


def faults_at_once(event: HealingEvent, now: datetime) -> int:
    """How many different things are at fault in the cluster now: events of one cause are one, and those that are not
    diagnosed yet may have the cause of another."""
    rows = HealingEvent.objects.filter(
        cluster=event.cluster, finished_at=None, phase__in=_DIAGNOSED, detected_at__gt=now - _STORM
    ).values_list("cause_object", "target_kind", "target_namespace", "target_name")
    causes = {
        (about.get("kind"), about.get("namespace"), about.get("name")) if about else tuple(target)
        for about, *target in rows
    }
    return len(causes)
