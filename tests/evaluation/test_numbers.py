"""Intervals, quantiles and the split: what the sums are made with."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from recist_web.environment import PROJECT_DIR
from recist_web.evaluation.intervals import Proportion, Times, quantile, wilson
from recist_web.evaluation.split import assign, opened

COUNTS = st.integers(0, 400).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [  # as published tables have them (Newcombe 1998, Brown, Cai and DasGupta 2001)
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_is_what_is_published(count: int, of: int, low: float, high: float) -> None:
    assert wilson(count, of) == pytest.approx((low, high), abs=5e-5)


@given(COUNTS)
def test_wilson_holds_the_share_and_stays_within_zero_and_one(counts: tuple[int, int]) -> None:
    count, of = counts
    low, high = wilson(count, of)
    assert 0.0 <= low <= high <= 1.0
    if of:
        assert low <= count / of <= high


@given(COUNTS)
def test_wilson_solves_its_own_equation(counts: tuple[int, int]) -> None:
    """Each end is a share from which what was seen is 1.96 standard errors away."""
    count, of = counts
    if not of:
        return
    z = 1.959963984540054
    for end in wilson(count, of):
        if 0 < end < 1:
            distance = abs(count / of - end)
            assert distance == pytest.approx(z * math.sqrt(end * (1 - end) / of), abs=1e-9)


@given(COUNTS)
def test_wilson_mirrors(counts: tuple[int, int]) -> None:
    count, of = counts
    low, high = wilson(count, of)
    assert wilson(of - count, of) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@given(st.integers(1, 100), st.integers(1, 50))
def test_more_of_the_same_narrows_it(of: int, times: int) -> None:
    low, high = wilson(of // 2, of)
    narrower = wilson(of // 2 * times, of * times)
    assert narrower[1] - narrower[0] <= high - low + 1e-12


@pytest.mark.parametrize(("count", "of"), [(-1, 3), (4, 3), (1, 0)])
def test_what_is_no_proportion_is_refused(count: int, of: int) -> None:
    with pytest.raises(ValueError, match="no proportion"):
        wilson(count, of)


def test_nothing_counted_is_no_share() -> None:
    assert Proportion(0, 0).as_json() == {"count": 0, "of": 0, "proportion": None, "low": 0.0, "high": 1.0}


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1.0))
def test_a_quantile_is_one_of_the_values_and_enough_are_below(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(1 for value in values if value <= found) >= share * len(values) - 1e-9


def test_times_against_a_budget() -> None:
    found = Times((1.0, 2.0, 9.0), 5.0).as_json()
    assert (found["p50"], found["p95"], found["max"]) == (2.0, 9.0, 9.0)
    assert found["withinBudget"]["count"] == 2  # type: ignore[index]
    assert Times(()).as_json()["p50"] is None


NAMES = st.dictionaries(st.text("abcdef-", min_size=1, max_size=12), st.sampled_from(["x", "y", "z"]), max_size=60)


@given(NAMES, st.integers(0, 1000))
def test_each_stratum_is_halved_and_always_the_same_way(strata: dict[str, str], seed: int) -> None:
    sides = assign(strata, seed)
    assert sides == assign(dict(reversed(strata.items())), seed)
    assert sides.keys() == strata.keys()
    for stratum in set(strata.values()):
        members = [sides[name] for name, of in strata.items() if of == stratum]
        assert abs(members.count("dev") - members.count("sealed")) <= 1


@given(NAMES, st.integers(0, 1000))
def test_a_stratum_more_moves_nobody_else(strata: dict[str, str], seed: int) -> None:
    before = assign(strata, seed)
    after = assign({**strata, "new-one": "w"}, seed)
    assert {name: after[name] for name in before} == before


@given(NAMES, st.integers(0, 1000), st.data())
def test_what_was_opened_is_dev_for_ever(strata: dict[str, str], seed: int, data: st.DataObject) -> None:
    known = frozenset(data.draw(st.sets(st.sampled_from(sorted(strata)))) if strata else ())
    sides = assign(strata, seed, known)
    assert all(sides[name] == "dev" for name in known)
    for stratum in set(strata.values()):
        members = [sides[name] for name, of in strata.items() if of == stratum]
        seen = sum(1 for name in known if strata[name] == stratum)
        assert members.count("sealed") >= min(len(members) - seen, len(members) // 2)


def test_what_is_listed_as_opened_exists() -> None:
    bundled = {path.stem for path in (PROJECT_DIR / "healing/sandbox/scenarios/evaluation").glob("*.yaml")}
    assert opened() <= bundled


def test_another_seed_deals_differently() -> None:
    strata = {f"scenario-{n}": "x" for n in range(40)}
    assert assign(strata, 1) != assign(strata, 2)
