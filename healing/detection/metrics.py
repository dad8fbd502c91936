"""Faults that show in numbers: CPU and memory near their limits, slow and failing requests. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from healing.actions import quantities
from healing.detection.cache import Key, ObjectCache
from healing.detection.containers import ContainerView, condition, containers
from healing.detection.owners import OwnerUnknown, Target, target_of
from healing.detection.pods import is_out_of_scope
from healing.detection.queries import CPU, LATENCY, MEMORY, REQUESTS
from healing.detection.request_load import RequestLoad, judge
from healing.detection.sighting import Sighting
from healing.faults import Severity, SignalSource
from healing.policies.spec import Thresholds
from healing.ports.cluster import Object, ObjectRef
from healing.ports.metrics import Sample

#: Kind under which `tracking` keeps sightings of metrics.
METRIC = "Metric"
#: Starting takes CPU.
STARTING = timedelta(seconds=30)

Results = Mapping[str, Sequence[Sample]]
ThresholdsOf = Callable[[Target], Thresholds | None]


@dataclass(slots=True)
class _Load:
    """What is known of one workload."""

    target: Target
    cpu: list[tuple[float, ObjectRef, str]] = field(default_factory=list)
    memory: list[tuple[float, ObjectRef, str]] = field(default_factory=list)
    requests: dict[ObjectRef, RequestLoad] = field(default_factory=dict)
    #: pods that get traffic
    ready: set[ObjectRef] = field(default_factory=set)

    def of_pod(self, pod: Object) -> RequestLoad:
        ref = ObjectRef.of(pod, "Pod")
        if condition(pod, "Ready").get("status") == "True":
            self.ready.add(ref)
        return self.requests.setdefault(ref, RequestLoad())


def metric_sightings(
    results: Results, cache: ObjectCache, thresholds_of: ThresholdsOf, now: datetime
) -> dict[Key, list[Sighting]]:
    """For every workload that has numbers, its sightings (often none): what `tracking` has to know after a poll."""
    loads = _loads(results, cache, now)
    found: dict[Key, list[Sighting]] = {}
    for load in loads.values():
        thresholds = thresholds_of(load.target)
        ref = load.target.ref
        sightings = list(_judge(load, thresholds, cache)) if thresholds else []
        found[(METRIC, ref.namespace, f"{ref.kind}/{ref.name}")] = sightings
    return found


def _loads(results: Results, cache: ObjectCache, now: datetime) -> dict[str, _Load]:
    loads: dict[str, _Load] = {}
    pods: dict[tuple[str, str], tuple[Object, _Load] | None] = {}

    def load_of(sample: Sample) -> tuple[Object, _Load] | None:
        where = sample.labels.get("namespace", ""), sample.labels.get("pod", "")
        if where not in pods:
            pods[where] = _find(where, cache, loads)
        return pods[where]

    for name, take in ((CPU, _take_cpu), (MEMORY, _take_memory), (LATENCY, _take_latency), (REQUESTS, _take_requests)):
        for sample in results.get(name, ()):
            found = load_of(sample)
            if found is not None and math.isfinite(sample.value):
                take(sample, found[0], found[1], now)
    return loads


def _find(where: tuple[str, str], cache: ObjectCache, loads: dict[str, _Load]) -> tuple[Object, _Load] | None:
    """The sample's pod and the load of its workload; None for pods that are gone, going or in quarantine."""
    pod = cache.get("Pod", *where)
    if pod is None or is_out_of_scope(pod):
        return None
    try:
        target = target_of(pod, cache)
    except OwnerUnknown:
        return None
    key = target.ref.uid or str(target.ref)
    return pod, loads.setdefault(key, _Load(target))


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


def _take_latency(sample: Sample, pod: Object, load: _Load, now: datetime) -> None:
    try:
        bound = float(sample.labels.get("le", ""))
    except ValueError:
        return
    load.of_pod(pod).buckets[bound] += sample.value


def _take_requests(sample: Sample, pod: Object, load: _Load, now: datetime) -> None:
    of_pod = load.of_pod(pod)
    of_pod.requests += sample.value
    codes = (sample.labels.get(name, "") for name in ("code", "status", "status_code"))
    if next(filter(None, codes), "").startswith("5"):
        of_pod.errors += sample.value


def _judge(load: _Load, thresholds: Thresholds, cache: ObjectCache) -> Iterator[Sighting]:
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
    yield from _judge_requests(load, thresholds)


def _judge_requests(load: _Load, thresholds: Thresholds) -> Iterator[Sighting]:
    for found in judge(load.requests, frozenset(load.ready), thresholds):
        yield _sighting(
            load,
            thresholds,
            found.symptom,
            found.metric,
            found.value,
            found.threshold,
            found.text,
            found.severity,
            found.subject,
            {"peers": round(found.peers, 6)} if found.peers is not None else None,
        )


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
