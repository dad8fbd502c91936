"""Series of any naming, as services' numbers: ``cart_cpu``, ``latency-50{service="cart"}``, cAdvisor, istio and others.

What a series measures follows from words in its name; whose it is from labels, or from the name before that word.
"""

from __future__ import annotations

import itertools
import math
import re
import statistics
from collections import defaultdict
from dataclasses import dataclass

from healing.diagnosis import series as s
from healing.diagnosis.calls import workload_by_labels
from healing.diagnosis.hypothesis import bare
from healing.diagnosis.requests import is_request_counter
from healing.diagnosis.scene import Scene
from healing.ports.cluster import ObjectRef
from healing.ports.metrics import Series

#: measure -> words of it at the end of a name (after the service), or anywhere in a metric's own name
_MEASURES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (measure, re.compile(pattern, re.IGNORECASE))
    for measure, pattern in (
        ("loss", r"packet[-_]?loss|dropped|retrans|drops?$|net[-_]?errors?"),
        ("errors", r"error|fail|5xx|exception"),
        ("latency", r"latency|duration|response[-_]?time|resp[-_]?time|p(?:50|90|95|99)$|rt$"),
        ("memory", r"mem(?:ory)?(?:$|[-_])|rss|working[-_]set|heap"),
        ("cpu", r"cpu"),
        ("disk", r"disk|(?:^|[-_])fs[-_]|blkio|diskio|io[-_]?(?:wait|time|util)|filesystem"),
        ("network", r"network|socket|net[-_]|bytes[-_](?:in|out)|rx|tx"),
        ("load", r"workload|load$|requests?(?:[-_](?:rate|count|total))?$|rps|qps|throughput|traffic"),
    )
)
_SPLIT = re.compile(
    r"^(?P<service>[a-z][a-z0-9.\-]*?(?:_[a-z0-9\-]+)*?)[_.:](?P<measure>(?:container|istio|http)?[-_]?(?:cpu|mem(?:ory)?|disk(?:io)?|"
    r"net(?:work)?|latency|lat|error|errors|load|workload|socket|rss|fs|requests?|duration|diskio|blkio|rps|qps|rt|p\d\d)"
    r"(?:[-_.]\w+)*)$",
    re.IGNORECASE,
)
_LABELS = (
    "destination_workload",
    "workload",
    "deployment",
    "service",
    "service_name",
    "app",
    "component",
    "job",
    "cmdb_id",
)
#: metrics of the machine and of Prometheus itself are nobody's service
_NOBODYS = re.compile(
    r"^(?:node|kube|apiserver|kubelet|prometheus|promhttp|go|process|scrape|up|ALERTS|workqueue|etcd)(?:_|$)"
)
_JUDGED = ("container_memory_", "container_cpu_", "container_network_")
_COUNTER = re.compile(r"_(?:total|count|sum)$|_seconds_total$")


@dataclass(frozen=True, slots=True)
class Anomaly:
    """``score``: how many of its own usual deviations a series has moved; ``since`` seconds of the epoch."""

    service: str
    measure: str
    score: float
    before: float
    after: float
    since: float
    series: Series
    points: s.Points
    #: other analyzers judge this series by what it means; here it only helps to tell services apart
    is_judged: bool = False


def anomalies(scene: Scene) -> list[Anomaly]:
    """What has moved in the series of services, by how much; the largest first."""
    found = []
    for one in scene.snapshot.series:
        named = service_and_measure(scene, one)
        if named is None:
            continue
        service, measure = named
        points = s.rate(one.points) if _COUNTER.search(s.name(one)) and _is_rising(one.points) else s.finite(one.points)
        moved = change(points)
        if moved is not None and _matters(measure, moved):
            score, shift = moved
            judged = s.name(one).startswith(_JUDGED) or is_request_counter(one)
            found.append(Anomaly(service, measure, score, shift.before, shift.after, shift.at, one, points, judged))
    return sorted(found, key=lambda a: (-a.score, a.service, a.measure))


def service_and_measure(scene: Scene, one: Series) -> tuple[str, str] | None:
    """(service or workload by name, measure); None: neither is plain to see."""
    name = s.name(one)
    if _NOBODYS.match(name):
        return None
    pod = scene.snapshot.get("Pod", one.labels.get("namespace", ""), one.labels.get("pod", ""))
    service = bare(scene.snapshot.workload_of(pod)).name if pod is not None else ""
    service = service or next((one.labels[label] for label in _LABELS if one.labels.get(label)), "")
    split = _SPLIT.match(name) if not service else None
    measured = name if split is None else split["measure"]
    measure = next((m for m, pattern in _MEASURES if pattern.search(measured)), "")
    service = service or (split["service"] if split is not None else "")
    return (service.rpartition("/")[2], measure) if service and measure else None


def workload_named(scene: Scene, service: str, one: Series) -> ObjectRef | None:
    """The workload a service's name means in the snapshot."""
    known = workload_by_labels(scene.snapshot, one.labels)
    if known is not None:
        return bare(known)
    namespaces = [one.labels["namespace"]] if one.labels.get("namespace") else scene.snapshot.namespaces()
    for namespace in namespaces:
        for name in (service, service.replace("_", "-")):
            for kind in ("Deployment", "StatefulSet", "DaemonSet"):
                if scene.snapshot.get(kind, namespace, name) is not None:
                    return ObjectRef(kind, namespace, name)
            backends = sorted(scene.calls.backends.get(ObjectRef("Service", namespace, name), ()))
            if backends:
                return backends[0]
    return None


def change(points: s.Points) -> tuple[float, s.Shift] | None:
    """(score, shift): a lasting change of level, in robust deviations of the time before."""
    shift = s.shift(points)
    if shift is None:
        return None
    before = [v for t, v in points if t < shift.at]
    after = [v for t, v in points if t >= shift.at]
    if len(before) < 3 or len(after) < 2:
        return None
    center, level = statistics.median(before), statistics.median(after)
    spread = 1.4826 * statistics.median(abs(v - center) for v in before)
    floor = max(spread, 0.05 * abs(center), 1e-9 if center or level else 1.0)
    score = abs(level - center) / floor
    return (min(score, 1000.0), s.Shift(center, level, shift.at)) if math.isfinite(score) and score >= 4 else None


def _matters(measure: str, moved: tuple[float, s.Shift]) -> bool:
    _, shift = moved
    if measure in ("latency", "errors", "cpu", "disk", "loss"):
        return shift.after > shift.before and shift.ratio >= 1.5
    if measure == "memory":
        return shift.after > shift.before and shift.ratio >= 1.3
    return shift.ratio >= 1.5 or shift.ratio <= 0.6


def _is_rising(points: s.Points) -> bool:
    values = [v for _, v in s.finite(points)]
    falls = sum(b < a for a, b in itertools.pairwise(values))
    return len(values) > 2 and falls <= max(1, len(values) // 20) and values[-1] > values[0]


def by_service(found: list[Anomaly]) -> dict[str, list[Anomaly]]:
    """Grouped; the order within a service is that of ``found``."""
    groups: dict[str, list[Anomaly]] = defaultdict(list)
    for one in found:
        groups[one.service].append(one)
    return dict(groups)
