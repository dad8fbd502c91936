"""Questions that answer themselves: the fault went away while a person was being asked."""

from __future__ import annotations

from collections.abc import Callable

from django.core.cache import cache
from django.db.models import QuerySet

from healing import shared_clock
from healing.approvals import service, takeover
from healing.lifecycle import Phase
from healing.metacognition import health
from healing.models import Approval, ApprovalState, HealingEvent, Takeover
from healing.ports import Ports

#: A fault has to stay away this long, seen at every look, before the question is withdrawn.
AWAY_SECONDS = 20.0
_CALL_SECONDS = 2.0
#: Longer than the pause between two looks, so that a look that found the fault again starts from the beginning.
_MEMORY_SECONDS = 60


def clusters_with_questions() -> set[str]:
    """Clusters of events that wait for a person."""
    asked = Approval.objects.filter(state=ApprovalState.OPEN).values_list("event__cluster", flat=True)
    in_hand = _in_hand().values_list("event__cluster", flat=True)
    return {*asked.distinct(), *in_hand.distinct()}


def withdraw_recovered(cluster: str, get_ports: Callable[[str], Ports]) -> int:
    """Look at every event of the cluster that waits for a person, or is in one's hands; close those that are well.
    Returns how many. Beat calls it."""
    waiting = Approval.objects.filter(state=ApprovalState.OPEN, event__cluster=cluster)
    found = 0
    for approval in waiting.select_related("event"):
        why = _gone_for_long(f"recovered-since:{approval.pk}", approval.event, get_ports)
        found += bool(why) and service.withdraw(approval.pk, reason=why)
    for taken in _in_hand().filter(event__cluster=cluster).select_related("event"):
        why = _gone_for_long(f"recovered-since:takeover:{taken.pk}", taken.event, get_ports)
        found += bool(why) and takeover.well(taken.pk, reason=why)
    return found


def _in_hand() -> QuerySet[Takeover]:
    return Takeover.objects.filter(ended_at=None, claimed_at=None, event__phase=Phase.AWAITING_APPROVAL)


def _gone_for_long(key: str, event: HealingEvent, get_ports: Callable[[str], Ports]) -> str:
    """Why nothing is left to heal, if that has been so at every look for `AWAY_SECONDS`; else empty."""
    now = shared_clock.now()
    gone = health.recovered(event, get_ports(event.cluster), now, timeout_seconds=_CALL_SECONDS)
    if gone is None:
        cache.delete(key)
        return ""
    since = cache.get(key) or now
    cache.set(key, since, timeout=_MEMORY_SECONDS)
    if (now - since).total_seconds() < AWAY_SECONDS:
        return ""
    return gone.why
