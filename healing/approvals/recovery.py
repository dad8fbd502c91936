"""Questions that answer themselves: the fault went away while a person was being asked."""

from __future__ import annotations

from collections.abc import Callable

from django.core.cache import cache
from django.utils import timezone

from healing.approvals import service
from healing.metacognition import health
from healing.models import Approval, ApprovalState
from healing.ports import Ports

#: A fault has to stay away this long, seen at every look, before the question is withdrawn.
AWAY_SECONDS = 20.0
_CALL_SECONDS = 2.0
#: Longer than the pause between two looks, so that a look that found the fault again starts from the beginning.
_MEMORY_SECONDS = 60


def clusters_with_questions() -> set[str]:
    """Clusters of events that wait for a person."""
    return set(Approval.objects.filter(state=ApprovalState.OPEN).values_list("event__cluster", flat=True).distinct())


def withdraw_recovered(cluster: str, get_ports: Callable[[str], Ports]) -> int:
    """Look at every event of the cluster that waits for a person; close those that are well. Returns how many. Beat
    calls it."""
    waiting = Approval.objects.filter(state=ApprovalState.OPEN, event__cluster=cluster)
    return sum(_look_at(approval, get_ports) for approval in waiting.select_related("event"))


def _look_at(approval: Approval, get_ports: Callable[[str], Ports]) -> bool:
    now, key = timezone.now(), f"recovered-since:{approval.pk}"
    ports = get_ports(approval.event.cluster)
    gone = health.recovered(approval.event, ports, now, timeout_seconds=_CALL_SECONDS)
    if gone is None:
        cache.delete(key)
        return False
    since = cache.get(key) or now
    cache.set(key, since, timeout=_MEMORY_SECONDS)
    if (now - since).total_seconds() < AWAY_SECONDS:
        return False
    return service.withdraw(approval.pk, reason=gone.why)
