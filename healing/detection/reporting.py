"""From a sighting that has outlived its grace to the engine: which policy, and whether it is news."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from healing import engine
from healing.detection.cache import ObjectCache
from healing.detection.memory import LOOK_BACK, SAME_FAULT_AFTER, Candidate, PastEvent, judge
from healing.detection.policies import PolicyBook
from healing.detection.sighting import Sighting
from healing.faults import Fault
from healing.models import HealingEvent
from healing.policies.spec import PolicySpec

log = structlog.get_logger(__name__)

#: An open event hears again of a fault that still stands.
STILL_THERE_SECONDS = 15.0
#: A fault that no policy covers is looked at again: there may be one by then.
UNCOVERED_SECONDS = 3.0
#: A question that the database answers with "not yet" is asked again at the latest after this.
LONGEST_WAIT_SECONDS = 60.0
_PAST_EVENTS = 8


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it, and in how many seconds the sighting is to be reported again if it still stands."""

    event: HealingEvent | None
    is_new: bool
    again_in_seconds: float
    reason: str = ""


class Reporter:
    """Hands faults to the engine. ``may_act`` is asked right before: only the leader opens events."""

    def __init__(
        self, cluster: str, cache: ObjectCache, policies: PolicyBook, may_act: Callable[[], bool] = lambda: True
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._policies = policies
        self._may_act = may_act

    def report(self, sighting: Sighting, standing_since: datetime | None, now: datetime) -> Report:
        """Open an event, add to the open one, or leave it. Raises what the database raises."""
        target = sighting.target
        namespaces = self._namespaces_on(target.ref.name) if target.ref.kind == "Node" else frozenset()
        policy = self._policies.current().for_target(target, namespaces)
        if policy is None:
            return Report(None, False, UNCOVERED_SECONDS, "no policy covers it")
        fault = sighting.fault(self._cluster, now)
        events = HealingEvent.objects.filter(cluster=self._cluster, fingerprint=fault.fingerprint)
        if not events.filter(finished_at__isnull=True).exists():
            decision = judge(
                _candidate(sighting, standing_since), self._past(fault, now), now, _cooldown(policy.parsed())
            )
            if not decision.is_news:
                return Report(None, False, min(decision.wait_seconds, LONGEST_WAIT_SECONDS), decision.reason)
        if not self._may_act():
            return Report(None, False, 1.0, "another watcher leads")
        event, is_new = engine.open_event(fault, policy)
        if is_new:
            log.info("fault detected", event_name=event.name, target=str(target.ref), symptom=sighting.symptom)
        return Report(event, is_new, STILL_THERE_SECONDS)

    def _past(self, fault: Fault, now: datetime) -> list[PastEvent]:
        rows = (
            HealingEvent.objects.filter(
                cluster=fault.cluster,
                fingerprint=fault.fingerprint,
                finished_at__gt=now - max(LOOK_BACK, SAME_FAULT_AFTER) - timedelta(hours=1),
            )
            .order_by("-finished_at")
            .values_list("finished_at", "outcome", "signals")[:_PAST_EVENTS]
        )
        return [PastEvent(finished_at, outcome, signals) for finished_at, outcome, signals in rows if finished_at]

    def _namespaces_on(self, node: str) -> frozenset[str]:
        return frozenset(
            str(pod["metadata"].get("namespace"))
            for pod in self._cache.list("Pod")
            if (pod.get("spec") or {}).get("nodeName") == node
        )


def _candidate(sighting: Sighting, standing_since: datetime | None) -> Candidate:
    return Candidate(
        symptom=sighting.symptom,
        instance=sighting.instance,
        moment=sighting.moment,
        generation=sighting.target.generation,
        standing_since=standing_since,
    )


def _cooldown(spec: PolicySpec) -> float:
    return float(spec.limits.cooldown_seconds)
