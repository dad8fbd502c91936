"""Slow and failing requests: of a workload as a whole, or of one of its pods where the others are well. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from healing.detection.queries import LATENCY
from healing.faults import Severity
from healing.policies.spec import Thresholds
from healing.ports.cluster import ObjectRef

#: Fewer requests than this in a minute say nothing about a rate or a percentile.
MIN_REQUESTS_PER_SECOND = 10 / 60
#: Fewer failed or slow requests of one pod in a minute may be chance.
MIN_BAD_PER_SECOND = 5 / 60
#: A tail of slow requests that is thinner does not make a pod slow.
MIN_SLOW_SHARE = 0.05
#: An outlier is at least so many times as bad as the other pods together.
OUTLIER_RATIO = 3.0
P99 = 0.99


@dataclass(slots=True)
class RequestLoad:
    """Requests, failed ones and latency buckets (upper bound in seconds -> cumulative), all per second."""

    requests: float = 0.0
    errors: float = 0.0
    buckets: dict[float, float] = field(default_factory=lambda: defaultdict(float))

    @classmethod
    def total(cls, loads: Iterable[RequestLoad]) -> RequestLoad:
        found = cls()
        for load in loads:
            found.requests += load.requests
            found.errors += load.errors
            for bound, rate in load.buckets.items():
                found.buckets[bound] += rate
        return found

    def error_rate(self) -> float | None:
        """Failed of all requests; None: too few to say."""
        return self.errors / self.requests if self.requests >= MIN_REQUESTS_PER_SECOND else None

    def p99_ms(self) -> float | None:
        """None: too few to say."""
        if self.buckets.get(math.inf, 0.0) < MIN_REQUESTS_PER_SECOND:
            return None
        seconds = quantile(P99, self.buckets)
        return None if seconds is None else seconds * 1000

    def slow(self, threshold_ms: float) -> float:
        """Requests per second over the threshold, as far as the buckets tell (else too many); a few are none."""
        under = max((rate for bound, rate in self.buckets.items() if bound * 1000 <= threshold_ms), default=0.0)
        total = self.buckets.get(math.inf, 0.0)
        return total - under if total - under >= MIN_SLOW_SHARE * total else 0.0

    def failed(self, _threshold: float) -> float:
        """Failed requests per second."""
        return self.errors


@dataclass(frozen=True, slots=True)
class Finding:
    """``subject``: the one pod that is meant; None: the workload. ``peers``: the others' value beside the pod's."""

    symptom: str
    metric: str
    value: float
    threshold: float
    text: str
    severity: Severity
    subject: ObjectRef | None = None
    peers: float | None = None


@dataclass(frozen=True, slots=True)
class _Measure:
    symptom: str
    metric: str
    value_of: Callable[[RequestLoad], float | None]
    bad_of: Callable[[RequestLoad, float], float]
    words: Callable[[float], str]
    shown: Callable[[float], str]


_MEASURES = (
    _Measure(
        "HighLatency",
        LATENCY,
        RequestLoad.p99_ms,
        RequestLoad.slow,
        "1 % of the requests take longer than {:.0f} ms".format,
        "{:g} ms".format,
    ),
    _Measure(
        "HighErrorRate",
        "errorRate",
        RequestLoad.error_rate,
        RequestLoad.failed,
        "{:.1%} of the requests fail".format,
        "{:.1%}".format,
    ),
)


def judge(pods: Mapping[ObjectRef, RequestLoad], ready: frozenset[ObjectRef], limits: Thresholds) -> Iterator[Finding]:
    """At most one finding a symptom. ``ready``: the pods that get traffic; only they are compared with each other."""
    for measure, threshold in zip(_MEASURES, (limits.latency_ms, limits.error_rate), strict=True):
        if threshold is None:
            continue
        whole = measure.value_of(RequestLoad.total(pods.values()))
        serving = {ref: load for ref, load in pods.items() if ref in ready}
        found = outlier(serving, threshold, measure.value_of, measure.bad_of)
        if found is None and (whole is None or whole <= threshold):
            continue
        allowed = f"(allowed: {measure.shown(threshold)})"
        severity = Severity.HIGH
        if measure.symptom == "HighErrorRate" and whole is not None and whole >= 0.5:
            severity = Severity.CRITICAL
        if found is not None:
            ref, value, peers = found
            text = f"Of pod {ref.name}, {measure.words(value)} {allowed}; of the others, {measure.shown(peers)}."
            yield Finding(measure.symptom, measure.metric, value, threshold, text, severity, ref, peers)
        elif whole is not None:
            text = f"{measure.words(whole)} {allowed}."
            yield Finding(measure.symptom, measure.metric, whole, threshold, text, severity)


def outlier(
    pods: Mapping[ObjectRef, RequestLoad],
    threshold: float,
    value_of: Callable[[RequestLoad], float | None],
    bad_of: Callable[[RequestLoad, float], float],
) -> tuple[ObjectRef, float, float] | None:
    """The worst pod, its value and that of its peers, where a minority is bad and the others together are well.

    A bad pod is over the threshold with more than a handful of requests; the others have to be under it, with
    enough requests to say so, and at least `OUTLIER_RATIO` times better. Half of the pods is no minority, except
    that of two pods one may be the bad one.
    """
    values = {ref: value for ref, load in pods.items() if (value := value_of(load)) is not None}
    bad = [
        ref for ref, value in values.items()
        if value > threshold and bad_of(pods[ref], threshold) >= MIN_BAD_PER_SECOND
    ]  # fmt: skip
    if not bad or not (2 * len(bad) < len(pods) or (len(bad), len(pods)) == (1, 2)):
        return None
    peers = value_of(RequestLoad.total(load for ref, load in pods.items() if ref not in bad))
    worst = max(bad, key=lambda ref: (values[ref], ref))
    if peers is None or peers > threshold or values[worst] < OUTLIER_RATIO * peers:
        return None
    return worst, values[worst], peers


def quantile(q: float, buckets: Mapping[float, float]) -> float | None:
    """As Prometheus' ``histogram_quantile``: ``buckets`` maps upper bound to cumulative rate. None: no data."""
    bounds = sorted(buckets)
    if not bounds or not math.isinf(bounds[-1]) or not buckets[bounds[-1]] > 0:
        return None
    rank = q * buckets[bounds[-1]]
    below_bound, below_count = 0.0, 0.0
    for bound in bounds:
        count = max(buckets[bound], below_count)
        if count >= rank:
            if math.isinf(bound):
                return below_bound if len(bounds) > 1 else None
            if count == below_count:
                return bound
            return below_bound + (bound - below_bound) * (rank - below_count) / (count - below_count)
        below_bound, below_count = bound, count
    return None
