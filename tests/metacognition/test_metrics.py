"""Numbers that say whether a workload is well: few requests are judged by more than their slowest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from healing.metacognition import metrics
from healing.policies.spec import Thresholds
from healing.ports.metrics import Sample, Series

POD = {"metadata": {"name": "orders-1"}, "spec": {"containers": []}}


class Latencies:
    """Answers as Prometheus would for requests that took so many milliseconds in each of its windows."""

    def __init__(self, *milliseconds: float) -> None:
        self.milliseconds = sorted(milliseconds)

    def query(self, promql: str, *, at: datetime | None = None, timeout_seconds: float | None = None) -> list[Sample]:
        if promql.startswith("count by (__name__)"):
            return [Sample({"__name__": "http_request_duration_seconds_count"}, 1.0, 0.0)]
        if promql.startswith("quantile(0.3, count_over_time("):
            return [Sample({}, 2.0, 0.0)]
        assert "http_request_duration_seconds_bucket{" in promql
        seconds = float(promql.split("[")[1].split("s]", maxsplit=1)[0])
        where = {"namespace": "shop", "pod": "orders-1"}
        counts = {
            le: sum(m <= float(le) * 1000 for m in self.milliseconds) for le in ("0.1", "0.5", "2.5", "5", "+Inf")
        }
        return [Sample({**where, "le": le}, count / seconds, 0.0) for le, count in counts.items()]

    def query_range(self, promql: str, **_: Any) -> list[Series]:
        raise NotImplementedError


def is_well(milliseconds: Sequence[float]) -> bool | None:
    thresholds = Thresholds(latency_ms=500)
    found = metrics.judge(Latencies(*milliseconds), "HighLatency", "shop", [POD], thresholds, timeout_seconds=1)
    return found.ok


@pytest.mark.parametrize(("slow", "of", "well"), [(1, 40, True), (2, 40, True), (5, 40, False), (2, 3, False)])
def test_few_requests(slow: int, of: int, *, well: bool) -> None:
    assert is_well([3000.0] * slow + [50.0] * (of - slow)) is well


@pytest.mark.parametrize(("slow", "well"), [(5, True), (30, False)])
def test_many_requests_are_judged_by_one_in_a_hundred(slow: int, *, well: bool) -> None:
    assert is_well([3000.0] * slow + [50.0] * (2000 - slow)) is well
