"""How much room a full volume gets."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from healing.actions import quantities
from healing.actions.expand_volume import most_of
from healing.metacognition.strategies.fixes import _size

GI = 2**30


@pytest.mark.parametrize(
    ("size", "volume", "wanted"),
    [
        (100 * GI, {}, 150 * GI),  # nobody knows the pace
        (
            100 * GI,
            {"used_bytes": 100 * GI, "growth_bytes_per_second": GI / 3600},
            150 * GI,
        ),  # 24Gi a day: half is more
        (100 * GI, {"used_bytes": 100 * GI, "growth_bytes_per_second": 3 * GI / 3600}, 172 * GI),
        (100 * GI, {"used_bytes": 100 * GI, "growth_bytes_per_second": GI}, 200 * GI),  # no end of it: twice is enough
        (GI // 8, {"used_bytes": GI // 8, "growth_bytes_per_second": 8 * 2**20}, GI // 8 + 10 * GI),
    ],
)
def test_what_lasts_a_day_as_far_as_it_may_grow(size: int, volume: dict[str, float], wanted: int) -> None:
    text, _ = _size(Decimal(size), volume)
    assert abs(quantities.parse(text) - wanted) <= 2**20


def test_a_person_reads_for_how_long_it_lasts() -> None:
    _, reason = _size(Decimal(GI // 8), {"growth_bytes_per_second": 8 * 2**20})
    assert "480Mi a minute" in reason
    assert "21 min" in reason


@given(st.integers(1, 2**50), st.floats(0, 1e15), st.floats(0, 1e12))
def test_it_always_grows_and_never_more_than_the_action_allows(size: int, used: float, pace: float) -> None:
    text, _ = _size(Decimal(size), {"used_bytes": used, "growth_bytes_per_second": pace})
    assert size < quantities.parse(text)
    assert quantities.parse(text) <= most_of(Decimal(size))
