"""Requests of a workload in metrics of any naming: how many, how slow, how many failed.

Names differ between frameworks and meshes; what a metric is follows from its suffix and labels.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

from healing.diagnosis import series as s
from healing.diagnosis.hypothesis import bare
from healing.diagnosis.scene import Scene
from healing.ports.cluster import ObjectRef
from healing.ports.metrics import Series

#: What the live collector asks Prometheus for; `classify` understands these.
NAMES = r"(?:.*_)?(?:http|grpc|rpc|istio|request|requests|server|response).*_(?:total|count|sum)"
_REQUEST = re.compile(r"request|handled|rpc|http|response", re.IGNORECASE)
_CLIENT = re.compile(r"client|outgoing|outbound|upstream|dependency", re.IGNORECASE)
_DURATION = re.compile(r"(?:duration|latency|time|seconds|milliseconds)", re.IGNORECASE)
_CODE_LABELS = (
    "code",
    "status",
    "status_code",
    "response_code",
    "http_status",
    "http_status_code",
    "grpc_code",
    "grpc_status",
)
_ERROR_CODES = re.compile(r"^(?:5\d\d|5xx|error|Internal|Unavailable|DeadlineExceeded|Unknown|DataLoss|2|4|13|14)$")
#: Scrapes of different pods are so far apart.
_PAUSE_SECONDS = 8.0
_GRPC = re.compile(r"grpc", re.IGNORECASE)


@dataclass(slots=True)
class Requests:
    """Served requests of one workload: ``rate`` and ``errors`` per second, ``latency`` mean seconds."""

    rate: s.Points = ()
    errors: s.Points = ()
    latency: s.Points = ()
    metrics: set[str] = field(default_factory=set)

    @property
    def error_fraction(self) -> s.Points:
        """Failed of all requests over time."""
        if not self.errors:
            return ()
        failed = dict(self.errors)
        return tuple((t, failed.get(t, 0.0) / v) for t, v in self.rate if v > 0)


def served(scene: Scene) -> dict[ObjectRef, Requests]:
    """Requests by workload that served them, computed once a scene."""
    cached: dict[ObjectRef, Requests] | None = scene.__dict__.get("_served")
    if cached is None:
        cached = scene.__dict__["_served"] = _served(scene)
    return cached


def request_rate(scene: Scene, workload: ObjectRef) -> s.Points:
    """Requests per second the workload serves; empty where no metric says."""
    found = served(scene).get(bare(workload))
    return found.rate if found else ()


def is_heard_of(scene: Scene, own: Requests) -> bool:
    """Whether its numbers go on to the end, as those of others do: a program that hangs is not measured any more, and
    its last numbers are of better days."""
    newest = max((one.rate[-1][0] for one in served(scene).values() if one.rate), default=0.0)
    times = [t for t, _ in own.rate]
    if len(times) < 2:
        return bool(times) and newest - times[-1] <= _PAUSE_SECONDS
    usual = sorted(after - before for before, after in pairwise(times))[(len(times) - 1) // 2]
    return newest - times[-1] <= max(_PAUSE_SECONDS, 1.5 * usual)


def served_by_pod(scene: Scene) -> dict[ObjectRef, Requests]:
    """Requests by the pod that served them, where the metrics name pods."""
    counters: dict[ObjectRef, dict[str, list[Series]]] = defaultdict(lambda: defaultdict(list))
    for one in scene.snapshot.series:
        kind, pod = _kind(one), one.labels.get("pod", "")
        if kind and pod:
            counters[ObjectRef("Pod", one.labels.get("namespace", ""), pod)][kind].append(one)
    return {pod: _requests(kinds) for pod, kinds in counters.items()}


def _served(scene: Scene) -> dict[ObjectRef, Requests]:
    counters: dict[ObjectRef, dict[str, list[Series]]] = defaultdict(lambda: defaultdict(list))
    for one in scene.snapshot.series:
        kind = _kind(one)
        if kind:
            workload = _server(scene, one)
            if workload is not None:
                counters[workload][kind].append(one)
    return {workload: _requests(kinds) for workload, kinds in counters.items()}


def _kind(one: Series) -> str:
    """``count``, ``sum`` (of durations) or ``total`` (of requests); empty: none of these."""
    name = s.name(one)
    if not _REQUEST.search(name) or _CLIENT.search(name) or one.labels.get("reporter") == "source":
        return ""
    if name.startswith(("apiserver_", "kubelet_", "rest_client_", "prometheus_", "promhttp_", "workqueue_", "etcd_")):
        return ""
    if name.endswith(("_count", "_sum")) and _DURATION.search(name):
        return name.rpartition("_")[2]
    if name.endswith("_total") and "byte" not in name and "error" not in name:
        return "total"
    return ""


def is_request_counter(one: Series) -> bool:
    """Whether `served` counts requests by the series."""
    return bool(_kind(one))


def _server(scene: Scene, one: Series) -> ObjectRef | None:
    labels = one.labels
    namespace = labels.get("namespace", "") or labels.get("destination_workload_namespace", "")
    pod = scene.snapshot.get("Pod", namespace, labels.get("pod", ""))
    if pod is not None:
        return bare(scene.snapshot.workload_of(pod))
    for label in (
        "destination_workload",
        "deployment",
        "workload",
        "service",
        "destination_service_name",
        "app",
        "job",
    ):
        value = labels.get(label, "").rpartition("/")[2]
        if not value:
            continue
        for kind in ("Deployment", "StatefulSet", "DaemonSet"):
            if scene.snapshot.get(kind, namespace, value) is not None:
                return ObjectRef(kind, namespace, value)
        backends = scene.calls.backends.get(ObjectRef("Service", namespace, value))
        if backends and len(backends) == 1:
            return next(iter(backends))
    return None


def _requests(kinds: dict[str, list[Series]]) -> Requests:
    found = Requests(metrics={s.name(one) for many in kinds.values() for one in many})
    totals = kinds.get("total") or kinds.get("count") or []
    # two frameworks may count the same requests: take the metric with the most series
    by_name = s.grouped(totals, lambda labels: labels.get("__name__", ""))
    if by_name:
        chosen = _from_zero(max(by_name.values(), key=len))
        found.rate = s.total(s.rate(one.points) for one in chosen)
        found.errors = s.total(s.rate(one.points) for one in chosen if _failed(one))
    sums, counts = kinds.get("sum", []), kinds.get("count", [])
    if sums and counts:
        scale = 0.001 if "milliseconds" in s.name(sums[0]) or s.name(sums[0]).endswith("_ms_sum") else 1.0
        seconds = s.total(s.rate(one.points) for one in sums)
        number = tuple((t, v) for t, v in s.total(s.rate(one.points) for one in counts) if v > 1e-6)
        found.latency = tuple((t, v * scale) for t, v in s.divide(seconds, number))
    return found


def _from_zero(totals: list[Series]) -> list[Series]:
    """A code that a pod answers with for the first time begins a series of its own: before, it was zero."""
    times: dict[str, set[float]] = defaultdict(set)
    for one in totals:
        times[one.labels.get("pod", "")].update(t for t, _ in one.points)
    found = []
    for one in totals:
        before = [t for t in times[one.labels.get("pod", "")] if one.points and t < one.points[0][0]]
        points = ((max(before), 0.0), *one.points) if before else one.points
        found.append(Series(one.labels, points))
    return found


def _failed(one: Series) -> bool:
    code = next((one.labels[label] for label in _CODE_LABELS if label in one.labels), "")
    if len(code) <= 2 and code.isdigit() and not _GRPC.search(s.name(one)):
        return False
    return _ERROR_CODES.match(code) is not None
