"""Whole lives of a quota, looked at every minute as the product does: seasons are no trend, what fills is foretold."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from healing.forecasting import fill
from healing.forecasting.model import MINUTES
from healing.ports.metrics import Sample, Series
from healing.queries import trends

LABELS = {"namespace": "shop", "resourcequota": "objects", "resource": "count/configmaps"}
LIMIT, EPOCH, LOOK_SECONDS, HOURS = 100.0, 1_790_000_000, 60, 3600.0

#: what is used, by seconds of the life
Used = Callable[[float], float]


@dataclass(frozen=True)
class Life:
    """A metrics server that knows one quota from ``born_at`` on; negative: it was there before the first look."""

    used: Used
    born_at: float = 0.0

    def query(self, promql: str, *, at: datetime | None = None, timeout_seconds: float | None = None) -> list[Sample]:
        return [Sample(LABELS, LIMIT, 0.0)] if promql == trends.QUOTA_HARD.text(where='namespace=~"shop"') else []

    def query_range(
        self, promql: str, *, start: datetime, end: datetime, step_seconds: float, timeout_seconds: float | None = None
    ) -> list[Series]:
        if 'type="used"' not in promql:
            return []
        first, last = start.timestamp() - EPOCH, end.timestamp() - EPOCH
        times = [first + n * step_seconds for n in range(int((last - first) / step_seconds) + 1)]
        points = tuple((EPOCH + t, self.used(t // 15 * 15)) for t in times if t >= self.born_at)
        return [Series(LABELS, points)] if points else []

    def warned_at(self, until_seconds: float) -> Iterator[int]:
        """Seconds of the looks that would warn."""
        for at in range(LOOK_SECONDS, int(until_seconds), LOOK_SECONDS):
            if self.used(at) >= 0.98 * LIMIT:
                return
            if fill.look(self, ["shop"], MINUTES, datetime.fromtimestamp(EPOCH + at, UTC)):
                yield at


def tide(period: float, low: float, high: float) -> Used:
    return lambda t: round(low + (high - low) * (1 - math.cos(2 * math.pi * t / period)) / 2)


def teeth(period: float, low: float, high: float) -> Used:
    """Fills, and is cleaned up at once."""
    return lambda t: round(low + (high - low) * (t % period) / period)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("shape", [tide, teeth])
@pytest.mark.parametrize("known", [False, True], ids=["from its first day", "known"])
def test_what_comes_and_goes_is_no_trend(
    shape: Callable[[float, float, float], Used],
    seed: int,
    known: bool,  # noqa: FBT001
) -> None:
    rng = random.Random(f"{shape.__name__} {seed}")
    period, low, high = rng.uniform(480, 3600), rng.uniform(5, 25), rng.uniform(45, 75)
    life = Life(shape(period, low, high), -4 * period if known else 0.0)
    assert list(life.warned_at(3 * period)) == []


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("born_at", "least_lead"),
    [pytest.param(0.0, 0.15, id="from its first day"), pytest.param(-10 * HOURS, 0.3, id="level for hours before")],
)
def test_what_fills_is_foretold(born_at: float, least_lead: float, seed: int) -> None:
    rng = random.Random(f"fills {seed}")
    seconds, low = rng.uniform(600, 3600), rng.uniform(5, 30)
    life = Life(lambda t: low + (LIMIT - low) * max(0.0, t) / seconds, born_at)
    warned = list(life.warned_at(seconds))
    assert len(warned) >= 2
    assert seconds - warned[1] >= least_lead * seconds  # people see it with the second look


@pytest.mark.parametrize("seed", range(4))
def test_a_tooth_that_is_not_cleaned_up_is_foretold(seed: int) -> None:
    rng = random.Random(f"worse {seed}")
    period, high = rng.uniform(600, 1800), rng.uniform(40, 60)
    usual = teeth(period, 10, high)
    life = Life(lambda t: usual(t) if t < 0 else 10 + (high - 10) * t / period, -6 * period)
    full = 90 / (high - 10) * period
    warned = list(life.warned_at(full))
    assert len(warned) >= 2
    assert full - warned[1] >= 0.1 * full
