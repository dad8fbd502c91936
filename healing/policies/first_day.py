"""On the first day that ReCiSt sees a cluster it only watches and diagnoses, unless a policy says otherwise.

A policy that says itself what its autonomy is (also `heal`) has been thought about: it is done as it says.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Min
from django.utils import timezone

from healing.models.cluster_seen import ClusterSeen
from healing.models.policy import Policy
from healing.policies.spec import PolicySpec

FIRST_DAY = timedelta(hours=24)


def see(cluster: str) -> datetime:
    """Since when the cluster is known; from now on if it was not. An installation that had events knows it longer."""
    row = ClusterSeen.objects.filter(name=cluster).first()
    if row is None:
        from healing.models.event import HealingEvent  # noqa: PLC0415 - models of events import this package

        first = HealingEvent.objects.filter(cluster=cluster).aggregate(at=Min("detected_at"))["at"]
        row, _ = ClusterSeen.objects.get_or_create(
            name=cluster, defaults={"first_seen_at": min(first or timezone.now(), timezone.now())}
        )
    return row.first_seen_at


def ends_at(policy: Policy, now: datetime | None = None) -> datetime | None:
    """When the first day of this policy's cluster is over; None: it is, or the rule does not hold here."""
    if not settings.AUTONOMY_FIRST_DAY or policy.spec.get("autonomy"):
        return None
    until = see(policy.cluster) + FIRST_DAY
    return until if until > (now or timezone.now()) else None


def effective(policy: Policy, spec: PolicySpec, now: datetime | None = None) -> PolicySpec:
    """The spec with the autonomy that holds now."""
    if ends_at(policy, now) is None:
        return spec
    return spec.model_copy(update={"autonomy": "observe"})
