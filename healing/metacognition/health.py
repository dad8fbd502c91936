"""Whether the event's target is well: by what its controller says, by its pods, endpoints, and the alarm's numbers.

A vanished pod proves nothing: the owner has to have seen its newest spec and to have all its replicas updated, ready
and available. What cannot be known is never taken as good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from healing import routes
from healing.actions.base import CannotPlan
from healing.actions.reading import WORKLOAD_KINDS, Workload, condition, container_statuses, controller_of
from healing.faults import SignalSource
from healing.metacognition import metrics
from healing.models import HealingEvent
from healing.policies.spec import PolicySpec
from healing.ports import Ports
from healing.ports.cluster import Object, ObjectRef
from healing.ports.errors import NotFound, SourceError

#: Without a strategy of ours, a container must have been quiet this long to count as recovered.
_QUIET = timedelta(seconds=90)
#: What a probe says shows in a pod's status only after several times.
_PROBE_FAILED = frozenset({"LivenessProbeFailed", "ReadinessProbeFailed", "StartupProbeFailed"})
_QUIET_PROBE = timedelta(seconds=60)
_STUCK = frozenset({"CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError"})


@dataclass(slots=True)
class Health:
    """``problems``: surely not well; ``unknown``: cannot be known now; ``worse``: the strategy itself has failed."""

    problems: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    worse: list[str] = field(default_factory=list)
    good: list[str] = field(default_factory=list)

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


def target_of(event: HealingEvent) -> ObjectRef:
    """What the event is about. Without the uid: an object made anew under the name is the one to look at."""
    return ObjectRef(event.target_kind, event.target_namespace, event.target_name)


def recovered(event: HealingEvent, ports: Ports, now: datetime, *, timeout_seconds: float) -> str:
    """Why there is nothing left to heal; empty: there is, or nobody can say."""
    if event.source not in (SignalSource.WATCH, SignalSource.METRICS):
        return ""  # whoever reported it knows more than we can see
    if event.isolations.filter(released_at=None).exists():
        return ""  # the workload may be well, but only because a pod of it is kept from traffic
    if _PROBE_FAILED & _symptoms(event) and now - event.last_seen_at < _QUIET_PROBE:
        return ""  # it answers badly, and has not been killed or taken out of service for it yet
    target = target_of(event)
    try:
        if target.kind in WORKLOAD_KINDS:
            workload = Workload.read(ports.cluster, target, timeout_seconds=timeout_seconds)
            if workload.desired == 0 and event.cause != "ScaledToZero":
                return f"{target} was scaled to zero"
        health = examine(event, event.policy_spec, ports, since=now - _QUIET, now=now, timeout_seconds=timeout_seconds)
    except CannotPlan:
        return f"{target} does not exist any more"
    except SourceError:
        return ""
    return f"{target} is well: {'; '.join(health.good)}" if health.is_well and health.good else ""


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
) -> Health:
    """Look at the target and at ``others`` that a strategy touched. Nothing may have crashed after ``since``.

    Never raises for a source that is away: that is ``unknown``.
    """
    health = Health()
    target = target_of(event)
    for ref in dict.fromkeys((target, *others)):
        try:
            _examine_one(ref, event, ports, health, since=since, timeout_seconds=timeout_seconds, applied_at=applied_at)
        except (NotFound, CannotPlan) as error:
            health.problems.append(str(error))
        except SourceError as error:
            health.unknown.append(f"{ref}: {error}")
    if target.kind in WORKLOAD_KINDS:
        _numbers(event, policy, ports, target, health, timeout_seconds=timeout_seconds)
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
) -> None:
    if ref.kind in WORKLOAD_KINDS:
        _workload(ref, ports, health, since=since, timeout_seconds=timeout_seconds, applied_at=applied_at)
    elif ref.kind == "Service":
        _service(ref, ports, health, timeout_seconds)
    elif ref.kind == "Node":
        _node(ref, event, ports, health, timeout_seconds, moved_is_enough=applied_at is not None)
    elif ref.kind in ("Ingress", "HTTPRoute"):
        _route(ref, ports, health, timeout_seconds)
    elif ref.kind in _JUDGES:
        obj = ports.cluster.get(ref.kind, ref.namespace, ref.name, timeout_seconds=timeout_seconds)
        problem = _JUDGES[ref.kind](obj)
        (health.problems if problem else health.good).append((problem and f"{ref} {problem}") or f"{ref} is well")
    elif ref.kind == "Pod":
        pod = ports.cluster.get("Pod", ref.namespace, ref.name, timeout_seconds=timeout_seconds)
        if condition(pod, "Ready") == "True":
            health.good.append(f"{ref} is ready")
        else:
            health.problems.append(f"{ref} is not ready")
    else:
        health.unknown.append(f"nobody knows when a {ref.kind} is well")


def _workload(
    ref: ObjectRef,
    ports: Ports,
    health: Health,
    *,
    since: datetime,
    timeout_seconds: float,
    applied_at: datetime | None,
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
        _pod(pod, health, since, applied_at)
    if workload.is_complete:
        health.good.append(f"{workload.available} of {workload.desired} replicas of {ref.name} updated and available")


def _pod(pod: Object, health: Health, since: datetime, applied_at: datetime | None) -> None:
    name = pod["metadata"]["name"]
    once = {s["name"] for s in (pod.get("status") or {}).get("initContainerStatuses") or ()}
    is_new = applied_at is not None and _time(pod["metadata"].get("creationTimestamp")) > applied_at
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


def _claim_problem(claim: Object) -> str:
    phase = (claim.get("status") or {}).get("phase", "unknown")
    return "" if phase == "Bound" else f"is {phase}"


def _autoscaler_problem(scaler: Object) -> str:
    bad = [type_ for type_ in ("AbleToScale", "ScalingActive") if condition(scaler, type_) == "False"]
    return f"is not {' and '.join(bad)}" if bad else ""


def _budget_problem(budget: Object) -> str:
    status = budget.get("status") or {}
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        return "was not looked at by its controller yet"
    is_blocking = status.get("expectedPods") and not status.get("disruptionsAllowed")
    return "allows no disruption" if is_blocking else ""


#: What is still wrong with one of these; empty: nothing.
_JUDGES: dict[str, Callable[[Object], str]] = {
    "PersistentVolumeClaim": _claim_problem,
    "HorizontalPodAutoscaler": _autoscaler_problem,
    "PodDisruptionBudget": _budget_problem,
}


def _service(ref: ObjectRef, ports: Ports, health: Health, timeout_seconds: float) -> None:
    ports.cluster.get("Service", ref.namespace, ref.name, timeout_seconds=timeout_seconds)
    slices = ports.cluster.list(
        "EndpointSlice",
        ref.namespace,
        label_selector=f"kubernetes.io/service-name={ref.name}",
        timeout_seconds=timeout_seconds,
    ).items
    ready = sum(
        (endpoint.get("conditions") or {}).get("ready") is not False
        for item in slices
        for endpoint in item.get("endpoints") or ()
        if item.get("ports")
    )
    if ready:
        health.good.append(f"{ref} reaches {ready} ready endpoint(s)")
    else:
        health.problems.append(f"{ref} reaches no ready endpoint")


def _route(ref: ObjectRef, ports: Ports, health: Health, timeout_seconds: float) -> None:
    """Well when all it sends to exists and has somebody behind it."""
    route = ports.cluster.get(ref.kind, ref.namespace, ref.name, timeout_seconds=timeout_seconds)
    for backend in routes.backends({**route, "kind": ref.kind}):
        behind = ObjectRef("Service", backend.namespace, backend.service)
        try:
            service = ports.cluster.get("Service", behind.namespace, behind.name, timeout_seconds=timeout_seconds)
        except NotFound:
            service = None
        if why := routes.problem(backend, service):
            health.problems.append(f"{ref} sends to {why}")
        else:
            _service(behind, ports, health, timeout_seconds)


def _node(
    ref: ObjectRef, event: HealingEvent, ports: Ports, health: Health, timeout_seconds: float, *, moved_is_enough: bool
) -> None:
    """Well when it is ready without pressure. After a strategy also when its pods have found another place: then
    nothing suffers from it any more, and it stays cordoned until it is back."""
    node = ports.cluster.get("Node", "", ref.name, timeout_seconds=timeout_seconds)
    pressures = [c for c in ("MemoryPressure", "DiskPressure", "PIDPressure") if condition(node, c) == "True"]
    if condition(node, "Ready") == "True" and not pressures:
        health.good.append(f"{ref} is ready")
        return
    if not moved_is_enough:
        health.problems.append(f"{ref} is not ready" if not pressures else f"{ref} has {', '.join(pressures)}")
        return
    left = _pods_left(ref, event, ports, timeout_seconds)
    if left:
        health.problems.append(f"{left} pod(s) are still on {ref.name}")
        return
    _moved_pods_are_well(ref, event, ports, health, timeout_seconds)


def _pods_left(ref: ObjectRef, event: HealingEvent, ports: Ports, timeout_seconds: float) -> int:
    left = 0
    for namespace in event.policy_spec.target_namespaces:
        pods = ports.cluster.list(
            "Pod", namespace, field_selector=f"spec.nodeName={ref.name}", timeout_seconds=timeout_seconds
        ).items
        for pod in pods:
            owner = controller_of(pod)
            if "deletionTimestamp" not in pod["metadata"] and owner and owner.kind not in ("DaemonSet", "Node", "Job"):
                left += 1
    return left


def _moved_pods_are_well(
    ref: ObjectRef, event: HealingEvent, ports: Ports, health: Health, timeout_seconds: float
) -> None:
    for namespace in event.policy_spec.target_namespaces:
        for kind in ("Deployment", "StatefulSet"):
            for obj in ports.cluster.list(kind, namespace, timeout_seconds=timeout_seconds).items:
                workload = Workload.of(obj, kind)
                # A workload with an event of its own is that event's business.
                has_own = HealingEvent.objects.filter(
                    cluster=event.cluster,
                    target_kind=kind,
                    target_namespace=namespace,
                    target_name=workload.ref.name,
                    finished_at=None,
                ).exists()
                if workload.ready < workload.desired and not has_own:
                    health.problems.append(f"{workload.ref}: {workload.ready} of {workload.desired} replicas ready")
    if not health.problems:
        health.good.append(f"no pod suffers from node {ref.name} any more")


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
