"""Latencies as mixtures of lognormals: ``[(weight, median seconds), ...]`` with one common spread.

A mixture keeps what an average hides: with one slow endpoint of three, a third of the calls is slow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

Mixture = list[tuple[float, float]]
MAX_PARTS = 6
_MIN_SECONDS = 1e-5


def cdf(seconds: float, median: float, spread: float) -> float:
    """Share of calls at most this long."""
    if seconds <= 0:
        return 0.0
    return 0.5 * (1 + math.erf(math.log(seconds / max(median, _MIN_SECONDS)) / (spread * math.sqrt(2))))


def share_below(mixture: Mixture, seconds: float, spread: float) -> float:
    return sum(weight * cdf(seconds, median, spread) for weight, median in mixture)


def mean(mixture: Mixture) -> float:
    return sum(weight * median for weight, median in mixture)


def quantile(mixture: Mixture, q: float, spread: float) -> float:
    """By bisection on the logarithm; good to a percent."""
    if not mixture:
        return 0.0
    low, high = math.log(_MIN_SECONDS), math.log(1e4)
    for _ in range(40):
        middle = (low + high) / 2
        if share_below(mixture, math.exp(middle), spread) < q:
            low = middle
        else:
            high = middle
    return math.exp(high)


def compact(parts: Iterable[tuple[float, float]]) -> Mixture:
    """At most `MAX_PARTS` parts, weights adding to one."""
    merged: dict[float, float] = {}
    for weight, median in parts:
        if weight > 1e-6:
            key = round(max(median, _MIN_SECONDS), 6)
            merged[key] = merged.get(key, 0.0) + weight
    ordered = [(weight, median) for median, weight in sorted(merged.items())]
    while len(ordered) > MAX_PARTS:
        costs = [
            min(ordered[i][0], ordered[i + 1][0]) * math.log(ordered[i + 1][1] / ordered[i][1])
            for i in range(len(ordered) - 1)
        ]
        i = costs.index(min(costs))
        (w1, m1), (w2, m2) = ordered[i], ordered[i + 1]
        ordered[i : i + 2] = [(w1 + w2, (w1 * m1 + w2 * m2) / (w1 + w2))]
    total = sum(weight for weight, _ in ordered)
    return [(weight / total, median) for weight, median in ordered] if total > 0 else []


def add(first: Mixture, second: Mixture) -> Mixture:
    """The latency of two steps one after the other."""
    return compact((w1 * w2, m1 + m2) for w1, m1 in first for w2, m2 in second)
