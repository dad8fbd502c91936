"""Whether the numbers that raised the alarm are back under their threshold, for the pods that a workload has now."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from healing.actions import quantities
from healing.policies.spec import Thresholds
from healing.ports.cluster import Object
from healing.ports.errors import SourceError
from healing.ports.metrics import Metrics

#: Symptoms of detection that are judged by numbers, and how. ``$pods`` is a regular expression of pod names, ``$range``
#: a duration. Rates are taken over a short time first: what was slow a minute ago does not matter any more.
_PER_WORKLOAD: Mapping[str, str] = {
    "HighLatency": (
        "1000 * histogram_quantile($quantile, sum by (le) "
        '(rate(http_request_duration_seconds_bucket{namespace="$namespace",pod=~"$pods"}[$range])))'
    ),
    "HighErrorRate": (
        'sum(rate(http_requests_total{namespace="$namespace",pod=~"$pods",code=~"5.."}[$range]) or vector(0)) '
        '/ sum(rate(http_requests_total{namespace="$namespace",pod=~"$pods"}[$range]))'
    ),
}
_PER_CONTAINER: Mapping[str, tuple[str, str]] = {
    "HighCpu": (
        "cpu",
        (
            "max by (pod, container) (irate(container_cpu_usage_seconds_total"
            '{namespace="$namespace",pod=~"$pods",container!="",container!="POD"}[2m]))'
        ),
    ),
    "HighMemory": (
        "memory",
        (
            "max by (pod, container) (container_memory_working_set_bytes"
            '{namespace="$namespace",pod=~"$pods",container!="",container!="POD"})'
        ),
    ),
}
_RANGES = ("30s", "1m")
_REQUESTS = 'sum(increase(http_request_duration_seconds_count{namespace="$namespace",pod=~"$pods"}[$range]))'
#: The 99th percentile of a few requests is the slowest of them, and one slow answer is no fault: with few requests the
#: percentile that so many of them exceed is taken.
_SLOW_REQUESTS, _LEAST_QUANTILE, _QUANTILE = 3, 0.5, 0.99

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
    names = "|".join(re.escape(pod["metadata"]["name"]).replace("\\", "\\\\") for pod in pods)
    if symptom in _PER_WORKLOAD:
        for duration in _RANGES:
            query = _fill(_PER_WORKLOAD[symptom], namespace, names).replace("$range", duration)
            if "$quantile" in query:
                count = metrics.query(
                    _fill(_REQUESTS, namespace, names).replace("$range", duration), timeout_seconds=timeout_seconds
                )
                query = query.replace("$quantile", f"{_quantile(count[0].value if count else 0.0):.4g}")
            samples = metrics.query(query, timeout_seconds=timeout_seconds)
            if samples and math.isfinite(samples[0].value):
                return samples[0].value
        return None
    resource, template = _PER_CONTAINER[symptom]
    limits = _limits(pods, resource)
    fractions = [
        sample.value / limits[where]
        for sample in metrics.query(_fill(template, namespace, names), timeout_seconds=timeout_seconds)
        if (where := (sample.labels.get("pod", ""), sample.labels.get("container", ""))) in limits
        and math.isfinite(sample.value)
    ]
    return max(fractions, default=None)


def _quantile(requests: float) -> float:
    if not math.isfinite(requests) or requests <= 0:
        return _QUANTILE
    return max(_LEAST_QUANTILE, min(_QUANTILE, 1 - _SLOW_REQUESTS / requests))


def _fill(template: str, namespace: str, pods: str) -> str:
    return template.replace("$namespace", namespace).replace("$pods", pods)


def _limits(pods: list[Object], resource: str) -> dict[tuple[str, str], float]:
    found = {}
    for pod in pods:
        for container in pod["spec"].get("containers") or ():
            text = ((container.get("resources") or {}).get("limits") or {}).get(resource)
            if text is not None:
                found[(pod["metadata"]["name"], container["name"])] = float(quantities.parse(text))
    return found
