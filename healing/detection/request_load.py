"""Slow and failing requests: of a workload as a whole, or of one of its pods where the others are well. Pure.

A long window says that something is wrong, the newer ones that it still is: what has ended is no fault, however long
its requests stay in the long window.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from healing.detection.queries import LATENCY
from healing.faults import Severity
from healing.policies.spec import Thresholds
from healing.ports.cluster import ObjectRef
from healing.queries.load import P99, RequestLoad

#: Fewer failed or slow requests in a minute may be chance.
MIN_BAD_PER_SECOND = 5 / 60
#: An outlier is at least so many times as bad as the other pods together.
OUTLIER_RATIO = 3.0
#: It is over when the good requests since would be this unlikely if it went on.
CHANCE_OF_BEING_WRONG = 0.05
#: It is over too when so many requests were to be expected and there is none: whoever asked has given up.
EXPECTED_REQUESTS = 20.0
#: Slow requests have to be this many standard deviations more than the threshold allows: a hundredth is soon exceeded.
SIGNIFICANCE = 1.64


@dataclass(frozen=True, slots=True)
class Recent:
    """The same servers in a newer and shorter window than the one that is judged."""

    seconds: float
    loads: Mapping[ObjectRef, RequestLoad]


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
    #: requests per second that make a pod an outlier
    bad_of: Callable[[RequestLoad, float], float]
    #: all requests per second, and those over the threshold
    counts_of: Callable[[RequestLoad, float], tuple[float, float]]
    #: share of bad requests that the threshold allows
    allowed: Callable[[float], float]
    words: Callable[[float], str]
    shown: Callable[[float], str]


_MEASURES = (
    _Measure(
        "HighLatency",
        LATENCY,
        RequestLoad.p99_ms,
        RequestLoad.slow,
        lambda load, threshold: (load.timed, load.over(threshold)),
        lambda _threshold: 1 - P99,
        "1 % of the requests take longer than {:.0f} ms".format,
        "{:g} ms".format,
    ),
    _Measure(
        "HighErrorRate",
        "errorRate",
        RequestLoad.error_rate,
        RequestLoad.failed,
        lambda load, _threshold: (load.requests, load.errors),
        lambda threshold: threshold,
        "{:.1%} of the requests fail".format,
        "{:.1%}".format,
    ),
)


def judge(
    pods: Mapping[ObjectRef, RequestLoad],
    ready: frozenset[ObjectRef],
    limits: Thresholds,
    recent: Sequence[Recent] = (),
) -> Iterator[Finding]:
    """At most one finding a symptom. ``ready``: the pods that get traffic; only they are compared with each other.

    ``recent``: newer windows, in any of which the trouble may turn out to be over.
    """
    for measure, threshold in zip(_MEASURES, (limits.latency_ms, limits.error_rate), strict=True):
        if threshold is None:
            continue
        together = RequestLoad.total(pods.values())
        bad = measure.counts_of(together, threshold)[1]
        whole = measure.value_of(together)
        serving = {ref: load for ref, load in pods.items() if ref in ready}
        found = outlier(serving, threshold, measure.value_of, measure.bad_of)
        if found is not None and _is_over(measure, threshold, pods[found[0]], _of(found[0], recent)):
            found = None
        if found is None:
            if whole is None or whole <= threshold or bad < _least(measure, together):
                continue
            totals = [(r.seconds, RequestLoad.total(r.loads.values())) for r in recent if r.loads]
            if _is_over(measure, threshold, together, totals):
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


def _least(measure: _Measure, load: RequestLoad) -> float:
    """Bad requests per second of a whole workload that are no chance, in a window of a minute."""
    if measure.metric != LATENCY:
        return MIN_BAD_PER_SECOND
    expected = 60 * load.timed * (1 - P99)
    return max(MIN_BAD_PER_SECOND, (expected + SIGNIFICANCE * math.sqrt(expected)) / 60)


def _of(ref: ObjectRef, recent: Sequence[Recent]) -> list[tuple[float, RequestLoad]]:
    return [(r.seconds, r.loads[ref]) for r in recent if ref in r.loads]


def _is_over(
    measure: _Measure, threshold: float, load: RequestLoad, newer: Sequence[tuple[float, RequestLoad]]
) -> bool:
    """Whether a newer window has so many requests, and so few bad ones, that it cannot go on as it was.

    Few requests prove nothing: then it is taken to go on, until the longer windows have forgotten it. A window without
    any answer of Prometheus is not among ``newer``.
    """
    worst = _share(measure, threshold, load)
    rate, _ = measure.counts_of(load, threshold)
    for seconds, now in newer:
        total, _ = measure.counts_of(now, threshold)
        if total == 0 and rate * seconds >= EXPECTED_REQUESTS:
            return True
        share = _share(measure, threshold, now)
        if share <= measure.allowed(threshold) and (1 - worst) ** (total * seconds) < CHANCE_OF_BEING_WRONG:
            return True
        worst = max(worst, share)
    return False


def _share(measure: _Measure, threshold: float, load: RequestLoad) -> float:
    total, bad = measure.counts_of(load, threshold)
    return min(1.0, bad / total) if total > 0 else 0.0


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
