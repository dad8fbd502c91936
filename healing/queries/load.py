"""Requests of one server in one window of time, and what they say. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

#: Fewer requests than this in a minute say nothing about a rate or a percentile.
MIN_REQUESTS_PER_SECOND = 10 / 60
#: A tail of slow requests that is thinner does not make a pod slow.
MIN_SLOW_SHARE = 0.05
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

    @property
    def timed(self) -> float:
        """Requests per second whose time is known."""
        return self.buckets.get(math.inf, 0.0)

    def error_rate(self) -> float | None:
        """Failed of all requests; None: too few to say."""
        return self.errors / self.requests if self.requests >= MIN_REQUESTS_PER_SECOND else None

    def p99_ms(self) -> float | None:
        """None: too few to say."""
        if self.timed < MIN_REQUESTS_PER_SECOND:
            return None
        seconds = quantile(P99, self.buckets)
        return None if seconds is None else seconds * 1000

    def over(self, threshold_ms: float) -> float:
        """Requests per second over the threshold, as far as the buckets tell (else too many)."""
        under = max((rate for bound, rate in self.buckets.items() if bound * 1000 <= threshold_ms), default=0.0)
        return max(0.0, self.timed - under)

    def slow(self, threshold_ms: float) -> float:
        """As `over`; a few are none."""
        found = self.over(threshold_ms)
        return found if found >= MIN_SLOW_SHARE * self.timed else 0.0

    def failed(self, _threshold: float) -> float:
        """Failed requests per second."""
        return self.errors


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
