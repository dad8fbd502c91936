"""Whether the numbers that raised the alarm are back under their threshold, for the pods that a workload has now."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from healing.actions import quantities
from healing.policies.spec import Thresholds
from healing.ports.cluster import Object
from healing.ports.errors import SourceError
from healing.ports.metrics import Metrics
from healing.queries import catalogue
from healing.queries.load import P99, RequestLoad, quantile
from healing.queries.requests import RequestReader, best

#: Symptoms of detection that are judged by numbers, and how.
_PER_WORKLOAD = frozenset({"HighLatency", "HighErrorRate"})
_PER_CONTAINER: Mapping[str, tuple[str, catalogue.Query]] = {
    "HighCpu": ("cpu", catalogue.CONTAINER_CPU),
    "HighMemory": ("memory", catalogue.CONTAINER_MEMORY),
}
#: The newest requests first: what was slow a minute ago does not matter any more. A window with too few is passed by.
_WINDOWS = ("newest", "short", "long")
_ENOUGH_REQUESTS = 20
#: The 99th percentile of a few requests is the slowest of them, and one slow answer is no fault: with few requests the
#: percentile that so many of them exceed is taken.
_SLOW_REQUESTS, _LEAST_QUANTILE = 3, 0.5

METRIC_SYMPTOMS = frozenset({*_PER_WORKLOAD, *_PER_CONTAINER})


@dataclass(frozen=True, slots=True)
class Judgement:
    """``ok`` None: the source does not say."""

    ok: bool | None
    text: str


def judge(
    metrics: Metrics | None,
    symptom: str,
    namespace: str,
    pods: list[Object],
    thresholds: Thresholds,
    *,
    timeout_seconds: float,
) -> Judgement:
    """Ask for the numbers behind a symptom; never raises."""
    if metrics is None:
        return Judgement(None, f"{symptom}: no metrics source is configured")
    threshold = {
        "HighLatency": thresholds.latency_ms,
        "HighErrorRate": thresholds.error_rate,
        "HighCpu": thresholds.cpu,
        "HighMemory": thresholds.memory,
    }[symptom]
    if threshold is None:
        return Judgement(True, f"{symptom} is not watched any more")
    if not pods:
        return Judgement(None, f"{symptom}: there is no pod to look at")
    try:
        value = _value(metrics, symptom, namespace, pods, timeout_seconds)
    except SourceError as error:
        return Judgement(None, f"{symptom}: {error}")
    if value is None:
        return Judgement(None, f"{symptom}: no numbers yet")
    shown = f"{value:.0f} ms" if symptom == "HighLatency" else f"{value:.1%}"
    limit = f"{threshold:g} ms" if symptom == "HighLatency" else f"{threshold:.1%}"
    return Judgement(value <= threshold, f"{symptom}: {shown} (allowed: {limit})")


def _value(metrics: Metrics, symptom: str, namespace: str, pods: list[Object], timeout_seconds: float) -> float | None:
    names = [pod["metadata"]["name"] for pod in pods]
    if symptom in _PER_WORKLOAD:
        return _of_requests(RequestReader(metrics), symptom, namespace, names, timeout_seconds)
    resource, query = _PER_CONTAINER[symptom]
    limits = _limits(pods, resource)
    text = query.text(where=catalogue.of_pods(namespace, names))
    fractions = [
        sample.value / limits[where]
        for sample in metrics.query(text, timeout_seconds=timeout_seconds)
        if (where := (sample.labels.get("pod", ""), sample.labels.get("container", ""))) in limits
        and math.isfinite(sample.value)
    ]
    return max(fractions, default=None)


def _of_requests(
    reader: RequestReader, symptom: str, namespace: str, pods: list[str], timeout_seconds: float
) -> float | None:
    """Of the newest window with enough requests; with few in all of them, of the longest that has any."""
    found = None
    is_latency = symptom == "HighLatency"
    for window in _WINDOWS:
        loads = reader.of_pods(
            namespace, pods, window=window, errors=not is_latency, latency=is_latency, timeout_seconds=timeout_seconds
        )
        load = RequestLoad.total(best(by_family) for by_family in loads.values())
        rate = load.timed if is_latency else load.requests
        requests = rate * reader.window_seconds(window)
        if requests <= 0:
            continue
        if is_latency:
            seconds = quantile(_quantile(requests), load.buckets)
            found = found if seconds is None else 1000 * seconds
        else:
            found = load.errors / load.requests
        if requests >= _ENOUGH_REQUESTS:
            break
    return found


def _quantile(requests: float) -> float:
    if not math.isfinite(requests) or requests <= 0:
        return P99
    return max(_LEAST_QUANTILE, min(P99, 1 - _SLOW_REQUESTS / requests))


def _limits(pods: list[Object], resource: str) -> dict[tuple[str, str], float]:
    found = {}
    for pod in pods:
        for container in pod["spec"].get("containers") or ():
            text = ((container.get("resources") or {}).get("limits") or {}).get(resource)
            if text is not None:
                found[(pod["metadata"]["name"], container["name"])] = float(quantities.parse(text))
    return found
