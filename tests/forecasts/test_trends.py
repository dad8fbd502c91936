"""Where series are heading: shapes with a known answer, and any series at all."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings, strategies as st

from knowledge.forecasts import Outlook, look_ahead, next_time

HORIZON = 86_400.0
STEP = 15.0


def outlook(shape: Callable[[float], float], *, n: int = 80, noise: float = 1.0, seed: int = 1) -> Outlook:
    rng = random.Random(seed)
    points = [(1e9 + i * STEP, shape(i * STEP) + rng.gauss(0, noise)) for i in range(n)]
    return look_ahead(points, 100.0, horizon_seconds=HORIZON, least_rise=2.0)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("slope", [0.005, 0.02, 0.03, 0.04])
def test_a_leak_is_foretold_when_it_will_be(slope: float, seed: int) -> None:
    found = outlook(lambda s: 40 + slope * s, seed=seed)
    really = (100 - 40) / slope - 79 * STEP
    if really > found.span_seconds:
        assert found.breach is None
        assert "further than" in found.reason
        return
    assert found.breach is not None, found.reason
    assert found.breach.seconds == pytest.approx(really, rel=0.15)
    assert found.breach.earliest_seconds <= found.breach.seconds
    assert found.breach.latest_seconds is None or found.breach.latest_seconds >= found.breach.seconds


def test_intervals_hold_what_they_say() -> None:
    """Of 90 % intervals about 90 % contain the truth; far fewer would be a false promise."""
    inside, known, slope = 0, 0, 0.03
    for seed in range(100):
        found = outlook(lambda s: 40 + slope * s, seed=seed, noise=2.0)
        really = 60 / slope - 79 * STEP
        if found.breach is None:
            continue
        known += 1
        late = found.breach.latest_seconds
        inside += found.breach.earliest_seconds <= really and (late is None or really <= late)
    assert known >= 95
    assert inside >= 0.82 * known


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(lambda s: 60.0, id="level"),
        pytest.param(lambda s: 50 + 25 * math.sin(2 * math.pi * s / 300), id="waves"),
        pytest.param(lambda s: 50 - 25 * math.cos(2 * math.pi * s / 2400), id="half a wave"),
        pytest.param(lambda s: 40 + 40 * (1 - math.exp(-s / 300)), id="a cache that fills"),
        pytest.param(lambda s: 80 - 0.02 * s, id="falling"),
        pytest.param(lambda s: 40 + (30 if s > 600 else 0), id="a step"),
        pytest.param(lambda s: 30 + 0.05 * (s % 300), id="a sawtooth that is emptied in time"),
    ],
)
def test_what_is_no_trend_is_not_warned_of(shape: Callable[[float], float], seed: int) -> None:
    found = outlook(shape, seed=seed)
    assert found.breach is None, found


def test_a_trend_below_a_season_is_seen() -> None:
    found = outlook(lambda s: 30 + 0.02 * s + 10 * math.sin(2 * math.pi * s / 200), n=120)
    assert found.season_seconds == pytest.approx(200, rel=0.1)
    assert found.breach is not None, found.reason
    # the crest of the season reaches the limit before the trend does
    assert found.breach.seconds < (100 - 30) / 0.02 - 119 * STEP


@pytest.mark.parametrize("seed", range(6))
def test_a_leak_that_begins_in_the_window_is_seen_from_where_it_begins(seed: int) -> None:
    """Level for 14 minutes, then a leak of 6: over all 20 it would seem slow, and its limit far."""
    found = outlook(lambda s: 40 + 0.1 * max(0.0, s - 825), seed=seed)
    assert found.span_seconds == pytest.approx(360, abs=60)
    assert found.slope_per_second == pytest.approx(0.1, rel=0.1)
    assert found.breach is not None, found.reason
    assert found.breach.seconds == pytest.approx(240, rel=0.15)


def test_only_what_follows_a_restart_counts() -> None:
    found = outlook(lambda s: 40 + 0.04 * s if s < 600 else 20 + 0.04 * (s - 600))
    assert found.samples == 40
    assert found.level == pytest.approx(20 + 0.04 * (79 * STEP - 600), abs=2)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 4e9, allow_nan=False), st.one_of(st.floats(allow_nan=True, allow_infinity=True, width=32))
        ),
        max_size=60,
    ),
    st.floats(1e-3, 1e15),
)
def test_any_series_has_an_answer(points: list[tuple[float, float]], limit: float) -> None:
    found = look_ahead(points, limit, horizon_seconds=HORIZON)
    assert 0.0 <= found.confidence <= 1.0
    if found.breach is not None:
        assert 0.0 <= found.breach.earliest_seconds <= found.breach.seconds
        assert found.breach.latest_seconds is None or found.breach.latest_seconds >= found.breach.seconds
        assert found.breach.seconds <= HORIZON


def test_regular_restarts_have_a_next_time() -> None:
    due = next_time([0.0, 300.0, 605.0, 898.0], now=1000.0)
    assert due is not None
    assert due.every_seconds == pytest.approx(300, rel=0.05)
    assert due.earliest_seconds <= due.seconds <= due.latest_seconds
    assert due.seconds == pytest.approx(198, abs=15)


@pytest.mark.parametrize("times", [[], [5.0], [0.0, 300.0], [0.0, 10.0, 900.0, 905.0, 2400.0]])
def test_chance_has_no_next_time(times: list[float]) -> None:
    assert next_time(times, now=2500.0) is None


def test_what_should_have_happened_long_ago_is_over() -> None:
    assert next_time([0.0, 300.0, 600.0], now=5000.0) is None


def test_restarts_that_come_faster_are_said_to() -> None:
    due = next_time([0.0, 800.0, 1400.0, 1800.0, 2000.0], now=2010.0)
    assert due is not None
    assert due.accelerates
    assert due.every_seconds == 200.0
