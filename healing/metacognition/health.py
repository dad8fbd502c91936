"""Whether the event's target is well: by what its controller says, by its pods, endpoints, and the alarm's numbers.

A vanished pod proves nothing: the owner has to have seen its newest spec and to have all its replicas updated, ready
and available. What cannot be known is never taken as good.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from healing.actions.base import CannotPlan
from healing.actions.reading import WORKLOAD_KINDS, Workload, container_statuses
from healing.faults import SignalSource
from healing.metacognition import metrics, newcomers, node_health, object_health, prevention
from healing.models import ActionRun, ActionState, HealingEvent
from healing.policies.spec import ActionName, PolicySpec
from healing.ports import Ports
from healing.ports.cluster import Object, ObjectRef
from healing.ports.errors import NotFound, SourceError

#: Without a strategy of ours, a container must have been quiet this long to count as recovered.
_QUIET = timedelta(seconds=90)
#: What a probe says shows in a pod's status only after several times.
_PROBE_FAILED = frozenset({"LivenessProbeFailed", "ReadinessProbeFailed", "StartupProbeFailed"})
_QUIET_PROBE = timedelta(seconds=60)
#: Controllers make pods while our action is still being written down, and their times are whole seconds.
_AT_ONCE = timedelta(seconds=2)
#: Only what they demand of others can do harm: once they are gone, nothing is left to heal.
_HARMLESS_WHEN_GONE = frozenset({"PodDisruptionBudget", "ResourceQuota", "LimitRange", "NetworkPolicy", "Node"})
_STUCK = frozenset({"CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError"})
#: Whether a pod is a strategy's doing.
IsNew = Callable[[Object], bool]


@dataclass(slots=True)
class Health:
    """``problems``: surely not well; ``unknown``: cannot be known now; ``worse``: the strategy itself has failed."""

    problems: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    worse: list[str] = field(default_factory=list)
    good: list[str] = field(default_factory=list)
    #: the node is not fit, but containment was enough: it takes no pods, and none suffers from it
    is_contained: bool = False

    @property
    def is_well(self) -> bool:
        """All is known, and good."""
        return not (self.problems or self.unknown or self.worse)

    @property
    def all(self) -> list[str]:
        """What keeps it from being well."""
        return [*self.worse, *self.problems, *(f"unknown: {text}" for text in self.unknown)]


def _symptoms(event: HealingEvent) -> set[str]:
    return {event.symptom, *(str(signal.get("symptom", "")) for signal in event.signals)}


def is_cordoned_by(event: HealingEvent) -> bool:
    """Whether containment has cordoned the node that the event is about."""
    done = ActionRun.objects.filter(event=event, action=ActionName.CORDON, strategy=None, state=ActionState.APPLIED)
    return event.target_kind == "Node" and done.exists()


def target_of(event: HealingEvent) -> ObjectRef:
    """What the event is about. Without the uid: an object made anew under the name is the one to look at."""
    return ObjectRef(event.target_kind, event.target_namespace, event.target_name)


@dataclass(frozen=True, slots=True)
class Gone:
    """There is nothing left to heal. ``is_contained``: because of what containment did, and as long as that stays."""

    why: str
    is_contained: bool = False


def recovered(event: HealingEvent, ports: Ports, now: datetime, *, timeout_seconds: float) -> Gone | None:
    """Why there is nothing left to heal; None: there is, or nobody can say."""
    if event.source == SignalSource.ALERT:
        if not event.alerts.exists() or event.alerts.filter(is_firing=True).exists():
            return None  # Alertmanager says that it goes on
    elif event.source not in (SignalSource.WATCH, SignalSource.METRICS):
        return None  # whoever reported it knows more than we can see
    if event.isolations.filter(released_at=None).exists():
        return None  # the workload may be well, but only because a pod of it is kept from traffic
    if _PROBE_FAILED & _symptoms(event) and now - event.last_seen_at < _QUIET_PROBE:
        return None  # it answers badly, and has not been killed or taken out of service for it yet
    target = target_of(event)
    try:
        if target.kind in WORKLOAD_KINDS:
            workload = Workload.read(ports.cluster, target, timeout_seconds=timeout_seconds)
            if workload.desired == 0 and event.cause != "ScaledToZero":
                return Gone(f"{target} was scaled to zero")
        health = examine(event, event.policy_spec, ports, since=now - _QUIET, now=now, timeout_seconds=timeout_seconds)
    except CannotPlan:
        return Gone(f"{target} does not exist any more")
    except SourceError:
        return None
    if not health.is_well or not health.good:
        return None
    if health.is_contained:
        return Gone(f"{target} takes no new pods, and {'; '.join(health.good)}", is_contained=True)
    return Gone(f"{target} is well: {'; '.join(health.good)}")


def examine(
    event: HealingEvent,
    policy: PolicySpec,
    ports: Ports,
    *,
    since: datetime,
    now: datetime,
    timeout_seconds: float,
    others: tuple[ObjectRef, ...] = (),
    applied_at: datetime | None = None,
    youngest_before: Mapping[str, Any] = MappingProxyType({}),
) -> Health:
    """Look at the target and at ``others`` that a strategy touched. Nothing may have crashed after ``since``. What is
    stuck and was not there before the strategy (``youngest_before``: see `newcomers`) is its doing.

    Never raises for a source that is away: that is ``unknown``.
    """
    health = Health()
    target = target_of(event)
    for ref in dict.fromkeys((target, *others)):
        try:
            is_new = functools.partial(_is_new, event, applied_at, youngest_before, ref)
            _examine_one(
                ref,
                event,
                ports,
                health,
                since=since,
                timeout_seconds=timeout_seconds,
                applied_at=applied_at,
                is_new=is_new,
            )
        except (NotFound, CannotPlan) as error:
            is_harmless = isinstance(error, NotFound) and ref.kind in _HARMLESS_WHEN_GONE
            (health.good if is_harmless else health.problems).append(f"{ref} is gone" if is_harmless else str(error))
        except SourceError as error:
            health.unknown.append(f"{ref}: {error}")
    if target.kind in WORKLOAD_KINDS:
        _numbers(event, policy, ports, target, health, timeout_seconds=timeout_seconds)
    for alert in event.alerts.filter(is_firing=False)[:5]:
        health.good.append(f"alert {alert.name} is resolved")
    if applied_at is not None and (room := prevention.judge(event, ports, timeout_seconds=timeout_seconds)):
        (health.unknown if room.ok is None else health.good if room.ok else health.problems).append(room.text)
    return health


def _examine_one(
    ref: ObjectRef,
    event: HealingEvent,
    ports: Ports,
    health: Health,
    *,
    since: datetime,
    timeout_seconds: float,
    applied_at: datetime | None,
    is_new: IsNew,
) -> None:
    if ref.kind in WORKLOAD_KINDS:
        _workload(ref, ports, health, since=since, timeout_seconds=timeout_seconds, is_new=is_new)
        return
    if ref.kind == "Node":
        is_treated = applied_at is not None or is_cordoned_by(event)
        problems, good, is_fit = node_health.look(ref, event, ports, timeout_seconds, moved_is_enough=is_treated)
        health.is_contained = not (problems or is_fit) and applied_at is None
    else:
        problems, good = object_health.look(ports.cluster, ref, timeout_seconds) or ([], [])
    health.problems += problems
    health.good += good
    if not problems and not good:
        health.unknown.append(f"nobody knows when a {ref.kind} is well")


def _is_new(
    event: HealingEvent, applied_at: datetime | None, before: Mapping[str, Any], ref: ObjectRef, pod: Object
) -> bool:
    if applied_at is None:
        return False
    known = newcomers.is_newcomer(pod, ref, before)
    if known is not None:
        return known
    # What is there when the fault is seen is the fault itself, however young.
    return _time(pod["metadata"].get("creationTimestamp")) > max(applied_at - _AT_ONCE, event.detected_at)


def _workload(
    ref: ObjectRef,
    ports: Ports,
    health: Health,
    *,
    since: datetime,
    timeout_seconds: float,
    is_new: IsNew,
) -> None:
    workload = Workload.read(ports.cluster, ref, timeout_seconds=timeout_seconds)
    if workload.desired == 0:
        health.problems.append(f"{ref} is scaled to zero")
        return
    if not workload.is_observed:
        health.problems.append(f"the controller has not seen the newest spec of {ref}")
    elif workload.is_paused:
        health.problems.append(f"the rollout of {ref} is paused")
    elif not workload.is_complete:
        health.problems.append(
            f"{ref}: {workload.updated} of {workload.desired} replicas updated, {workload.ready} ready, "
            f"{workload.available} available"
        )
    pods = workload.pods(ports.cluster, timeout_seconds=timeout_seconds)
    for pod in pods:
        _pod(pod, health, since, is_new=is_new(pod))
    if workload.is_complete:
        health.good.append(f"{workload.available} of {workload.desired} replicas of {ref.name} updated and available")


def _pod(pod: Object, health: Health, since: datetime, *, is_new: bool) -> None:
    name = pod["metadata"]["name"]
    once = {s["name"] for s in (pod.get("status") or {}).get("initContainerStatuses") or ()}
    for status in container_statuses(pod):
        reason = (status.get("state") or {}).get("waiting", {}).get("reason", "")
        if reason in _STUCK:
            text = f"container {status['name']} of {name} waits: {reason}"
            (health.worse if is_new else health.problems).append(text)
        end = _last_bad_end(status, may_end=status["name"] in once)
        if end is not None and _time(end.get("finishedAt")) > since:
            times = int(status.get("restartCount", 0))
            text = f"container {status['name']} of {name} ended with {end.get('reason') or end.get('exitCode')}"
            (health.worse if is_new and times >= 2 else health.problems).append(text)


def _last_bad_end(status: dict[str, Any], *, may_end: bool) -> dict[str, Any] | None:
    """A program that shall run for ever may not end at all: one that a probe had killed often ends with 0."""
    for part in ("state", "lastState"):
        end = (status.get(part) or {}).get("terminated")
        if end and (not may_end or end.get("exitCode") != 0 or end.get("reason") == "OOMKilled"):
            return dict(end)
    return None


def _time(text: str | None) -> datetime:
    return datetime.fromisoformat(text or "1970-01-01T00:00:00Z")


def _numbers(
    event: HealingEvent, policy: PolicySpec, ports: Ports, target: ObjectRef, health: Health, *, timeout_seconds: float
) -> None:
    symptoms = _symptoms(event) & metrics.METRIC_SYMPTOMS
    if not symptoms:
        return
    try:
        workload = Workload.read(ports.cluster, target, timeout_seconds=timeout_seconds)
        pods = workload.pods(ports.cluster, timeout_seconds=timeout_seconds)
    except (CannotPlan, SourceError) as error:
        health.unknown.append(str(error))
        return
    for symptom in sorted(symptoms):
        found = metrics.judge(
            ports.metrics, symptom, target.namespace, pods, policy.thresholds, timeout_seconds=timeout_seconds
        )
        into = health.unknown if found.ok is None else health.good if found.ok else health.problems
        into.append(found.text)
        named = [pod for pod in pods if pod["metadata"]["name"] in _subjects(event, symptom)]
        if found.ok and named and len(named) < len(pods):  # one pod of many may be bad where the whole is well
            of_pod = metrics.judge(
                ports.metrics, symptom, target.namespace, named, policy.thresholds, timeout_seconds=timeout_seconds
            )
            if of_pod.ok is False:
                health.problems.append(f"{', '.join(pod['metadata']['name'] for pod in named)}: {of_pod.text}")


def _subjects(event: HealingEvent, symptom: str) -> set[str]:
    signals = (s for s in event.signals if s.get("symptom") == symptom)
    return {str(s["subject"].get("name", "")) for s in signals if s.get("subject", {}).get("kind") == "Pod"}


def neighbours(ports: Ports, namespace: str, *, timeout_seconds: float) -> dict[str, int]:
    """Available replicas of the workloads in a namespace: what a strategy must not make worse. Empty where unknown."""
    found = {}
    try:
        for kind in ("Deployment", "StatefulSet"):
            for obj in ports.cluster.list(kind, namespace, timeout_seconds=timeout_seconds).items:
                workload = Workload.of(obj, kind)
                found[f"{kind}/{workload.ref.name}"] = workload.available
    except SourceError:
        return {}
    return found
