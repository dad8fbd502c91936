"""Faults that show in numbers: CPU and memory near their limits, slow and failing requests. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from healing.actions import quantities
from healing.detection.cache import Key, ObjectCache
from healing.detection.containers import ContainerView, condition, containers
from healing.detection.owners import OwnerUnknown, Target, target, target_of
from healing.detection.pods import is_out_of_scope
from healing.detection.queries import CPU, MEMORY
from healing.detection.request_load import Recent, judge
from healing.detection.routes import is_broken, routes_by_service
from healing.detection.services import is_scaled_to_zero
from healing.detection.sighting import Sighting
from healing.faults import Severity, SignalSource
from healing.policies.spec import Thresholds
from healing.ports.cluster import Object, ObjectRef
from healing.ports.metrics import Sample
from healing.queries.load import RequestLoad
from healing.queries.requests import Loads, best

#: Kind under which `tracking` keeps sightings of metrics.
METRIC = "Metric"
#: Starting takes CPU.
STARTING = timedelta(seconds=30)

Results = Mapping[str, Sequence[Sample]]
#: symptoms that requests show
REQUEST_SYMPTOMS = frozenset({"HighLatency", "HighErrorRate"})


@dataclass(frozen=True, slots=True)
class RequestWindow:
    """Requests of one window of time."""

    seconds: float
    loads: Loads


ThresholdsOf = Callable[[Target], Thresholds | None]


@dataclass(slots=True)
class _Load:
    """What is known of one workload."""

    target: Target
    cpu: list[tuple[float, ObjectRef, str]] = field(default_factory=list)
    memory: list[tuple[float, ObjectRef, str]] = field(default_factory=list)
    #: of each window, requests by the pod that says so
    requests: dict[int, dict[ObjectRef, RequestLoad]] = field(default_factory=lambda: defaultdict(dict))
    #: the same as those in front of it (ingress controllers) count them, by Service or route
    fronts: dict[int, dict[ObjectRef, RequestLoad]] = field(default_factory=lambda: defaultdict(dict))
    #: pods that get traffic
    ready: set[ObjectRef] = field(default_factory=set)


def metric_sightings(
    results: Results,
    cache: ObjectCache,
    thresholds_of: ThresholdsOf,
    now: datetime,
    windows: Sequence[RequestWindow] = (),
) -> dict[Key, list[Sighting]]:
    """For every workload that has numbers, its sightings (often none): what `tracking` has to know after a poll.

    ``results``: CPU and memory. ``windows``: requests, the longest window first; the newer ones may be left out.
    """
    loads = _loads(results, windows, cache, now)
    found: dict[Key, list[Sighting]] = {}
    for load in loads.values():
        thresholds = thresholds_of(load.target)
        ref = load.target.ref
        seconds = [window.seconds for window in windows]
        sightings = list(_judge(load, thresholds, cache, seconds)) if thresholds else []
        found[(METRIC, ref.namespace, f"{ref.kind}/{ref.name}")] = sightings
    return found


def _loads(results: Results, windows: Sequence[RequestWindow], cache: ObjectCache, now: datetime) -> dict[str, _Load]:
    loads: dict[str, _Load] = {}
    pods: dict[tuple[str, str], tuple[Object, _Load] | None] = {}

    def load_of(namespace: str, name: str) -> tuple[Object, _Load] | None:
        where = namespace, name
        if where not in pods:
            pods[where] = _find(where, cache, loads)
        return pods[where]

    for name, take in ((CPU, _take_cpu), (MEMORY, _take_memory)):
        for sample in results.get(name, ()):
            found = load_of(sample.labels.get("namespace", ""), sample.labels.get("pod", ""))
            if found is not None and math.isfinite(sample.value):
                take(sample, found[0], found[1], now)
    has_fronts = any(place[0] == "Service" for window in windows for place in window.loads)
    routes = routes_by_service(cache) if has_fronts else {}
    for number, window in enumerate(windows):
        for (kind, namespace, name), by_family in sorted(window.loads.items()):
            pod_name = name if kind == "Pod" else _pod_behind(cache, namespace, name)
            found = load_of(namespace, pod_name)
            if found is not None and kind == "Pod":
                _take_requests(best(by_family), found[0], found[1], number)
            elif kind == "Service":
                front = _load_in_front(cache, (namespace, name), routes, loads, found[1] if found is not None else None)
                if front is not None:
                    front.fronts[number][ObjectRef(kind, namespace, name)] = best(by_family)
    return loads


def _pod_behind(cache: ObjectCache, namespace: str, name: str) -> str:
    """A pod that the Service selects; empty: none."""
    service = cache.get("Service", namespace, name)
    selector = ((service or {}).get("spec") or {}).get("selector") or {}
    for pod in cache.list("Pod", namespace) if selector else ():
        labels = pod["metadata"].get("labels") or {}
        if not is_out_of_scope(pod) and all(labels.get(key) == value for key, value in selector.items()):
            return str(pod["metadata"]["name"])
    return ""


def _load_in_front(
    cache: ObjectCache,
    where: tuple[str, str],
    routes: Mapping[tuple[str, str], Sequence[Object]],
    loads: dict[str, _Load],
    behind: _Load | None,
) -> _Load | None:
    """Whose fault it is when requests to this Service fail before a pod answers: that of a route which misses it or
    its port, else that of the workload ``behind``, or of the Service where it has no pods. None: that is meant, its
    workload is scaled to zero."""
    service = cache.get("Service", *where)
    if where in routes and is_broken(routes[where][0], cache):
        return _load_at(target(routes[where][0]), loads)
    if service is None or behind is not None:
        return behind
    return None if is_scaled_to_zero(service, cache) else _load_at(target(service), loads)


def _load_at(place: Target, loads: dict[str, _Load]) -> _Load:
    return loads.setdefault(place.ref.uid or str(place.ref), _Load(place))


def _take_requests(requests: RequestLoad, pod: Object, load: _Load, window: int) -> None:
    ref = ObjectRef.of(pod, "Pod")
    if condition(pod, "Ready").get("status") == "True":
        load.ready.add(ref)
    load.requests[window][ref] = requests


def _find(where: tuple[str, str], cache: ObjectCache, loads: dict[str, _Load]) -> tuple[Object, _Load] | None:
    """The sample's pod and the load of its workload; None for pods that are gone, going or in quarantine."""
    namespace, name = where
    pod = cache.get("Pod", namespace, name)
    if pod is None or is_out_of_scope(pod):
        return None
    try:
        place = target_of(pod, cache)
    except OwnerUnknown:
        return None
    return pod, _load_at(place, loads)


def _container(pod: Object, sample: Sample) -> ContainerView | None:
    name = sample.labels.get("container", "")
    return next((view for view in containers(pod) if view.name == name), None)


def _take_cpu(sample: Sample, pod: Object, load: _Load, now: datetime) -> None:
    view = _container(pod, sample)
    if view is None or view.running_since is None or now - view.running_since < STARTING:
        return
    _take_fraction("cpu", load.cpu, sample, pod, view)


def _take_memory(sample: Sample, pod: Object, load: _Load, now: datetime) -> None:
    view = _container(pod, sample)
    if view is not None and view.running is not None:
        _take_fraction("memory", load.memory, sample, pod, view)


def _take_fraction(
    resource: str, into: list[tuple[float, ObjectRef, str]], sample: Sample, pod: Object, view: ContainerView
) -> None:
    try:
        limit = float(quantities.parse(view.limit(resource)))
    except ValueError:  # no limit: a fraction of nothing
        return
    if limit > 0:
        into.append((sample.value / limit, ObjectRef.of(pod, "Pod"), view.name))


def _judge(load: _Load, thresholds: Thresholds, cache: ObjectCache, seconds: Sequence[float]) -> Iterator[Sighting]:
    is_batch = load.target.ref.kind in ("Job", "CronJob")
    if thresholds.cpu is not None and load.cpu and not is_batch and not _autoscaler_has_room(load.target, cache):
        value, subject, container = max(load.cpu, key=lambda entry: entry[0])
        if value > thresholds.cpu:
            text = f"Container {container} of {subject.name} uses {value:.0%} of its CPU limit."
            data = {"container": container}
            yield _sighting(
                load, thresholds, "HighCpu", CPU, value, thresholds.cpu, text, Severity.MEDIUM, subject, data
            )
    if thresholds.memory is not None and load.memory:
        value, subject, container = max(load.memory, key=lambda entry: entry[0])
        if value > thresholds.memory:
            text = f"Container {container} of {subject.name} uses {value:.0%} of its memory limit."
            data = {"container": container}
            yield _sighting(
                load, thresholds, "HighMemory", MEMORY, value, thresholds.memory, text, Severity.HIGH, subject, data
            )
    yield from _judge_requests(load, thresholds, seconds)


def _judge_requests(load: _Load, thresholds: Thresholds, seconds: Sequence[float]) -> Iterator[Sighting]:
    """What the pods say; and where they say that they do not fail, what those in front of them say of it: requests
    that never reach a pod are in nobody's numbers but theirs. (Their times hold those of slow users, too.)"""
    found = list(_judged(load, load.requests, thresholds, seconds)) if load.requests else []
    yield from found
    if load.fronts and not any(sighting.symptom == "HighErrorRate" for sighting in found):
        limits = thresholds.model_copy(update={"latency_ms": None}) if load.requests else thresholds
        for sighting in _judged(load, load.fronts, limits, seconds):
            services = sorted(ref.name for ref in load.fronts[0])
            text = f"As the ingress controller counts them for Service {', '.join(services)}: {sighting.message}"
            yield replace(sighting, message=text, data={**sighting.data, "seenBy": "ingress", "services": services})


def _judged(
    load: _Load,
    requests: Mapping[int, Mapping[ObjectRef, RequestLoad]],
    thresholds: Thresholds,
    seconds: Sequence[float],
) -> Iterator[Sighting]:
    recent = [Recent(seconds[number], requests.get(number, {})) for number in range(1, len(seconds))]
    for found in judge(requests.get(0, {}), frozenset(load.ready), thresholds, recent):
        peers = {"peers": round(found.peers, 6)} if found.peers is not None else None
        yield _sighting(
            load, thresholds, found.symptom, found.metric, found.value, found.threshold, found.text, found.severity,
            found.subject, peers,
        )  # fmt: skip


def _sighting(
    load: _Load,
    thresholds: Thresholds,
    symptom: str,
    metric: str,
    value: float,
    threshold: float,
    message: str,
    severity: Severity,
    subject: ObjectRef | None = None,
    data: Mapping[str, Any] | None = None,
) -> Sighting:
    return Sighting(
        target=load.target,
        subject=subject,
        symptom=symptom,
        message=message,
        severity=severity,
        grace_seconds=float(thresholds.for_seconds),
        source=SignalSource.METRICS,
        data={"metric": metric, "value": round(value, 6), "threshold": threshold, **(data or {})},
    )


def _autoscaler_has_room(target: Target, cache: ObjectCache) -> bool:
    """Whether a HorizontalPodAutoscaler that works can still answer the load with replicas: that is its business."""
    for autoscaler in cache.list("HorizontalPodAutoscaler", target.ref.namespace):
        spec, status = autoscaler.get("spec") or {}, autoscaler.get("status") or {}
        scaled = spec.get("scaleTargetRef") or {}
        if (scaled.get("kind"), scaled.get("name")) != (target.ref.kind, target.ref.name):
            continue
        has_room = int(status.get("currentReplicas") or 0) < int(spec.get("maxReplicas") or 0)
        return has_room and condition(autoscaler, "ScalingActive").get("status") != "False"
    return False
