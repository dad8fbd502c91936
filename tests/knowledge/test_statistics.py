"""Honest statistics: what counts more, what counts less, and what cannot dominate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from knowledge.statistics import SuccessCount, Tried, count

NOW = datetime(2026, 11, 1, tzinfo=UTC)
tried = st.builds(
    Tried,
    succeeded=st.booleans(),
    at=st.integers(0, 400).map(lambda days: NOW - timedelta(days=days)),
    is_here=st.booleans(),
    workload=st.sampled_from(["Deployment/a", "Deployment/b"]),
    weight=st.floats(0.1, 1),
)


def here(succeeded: bool, days: float = 0, **more: object) -> Tried:  # noqa: FBT001
    return Tried(succeeded, NOW - timedelta(days=days), is_here=True, **more)  # type: ignore[arg-type]


def test_nothing_known_is_one_half_and_says_so() -> None:
    assert (SuccessCount().probability, SuccessCount().log_odds, str(SuccessCount())) == (0.5, 0.0, "never tried")


def test_it_is_said_where_it_worked() -> None:
    trials = [here(n < 7) for n in range(9)] + [Tried(n < 2, NOW, is_here=False) for n in range(5)]
    assert str(count(trials, NOW)) == "worked 7 of 9 here, 2 of 5 elsewhere"


@given(st.lists(tried, max_size=30), tried)
def test_a_success_never_lowers_and_a_failure_never_raises_it(trials: list[Tried], one: Tried) -> None:
    before = count(trials, NOW)
    assert 0 < before.probability < 1
    good = count([*trials, Tried(True, one.at, one.is_here, workload=one.workload, weight=one.weight)], NOW)
    bad = count([*trials, Tried(False, one.at, one.is_here, workload=one.workload, weight=one.weight)], NOW)
    assert bad.probability <= before.probability + 1e-9
    assert good.probability >= before.probability - 1e-9
    assert good.probability > bad.probability


@given(st.lists(tried, max_size=30))
def test_one_more_entry_moves_it_by_less_than_a_third(trials: list[Tried]) -> None:
    before = count(trials, NOW).probability
    for succeeded in (True, False):
        after = count([*trials, here(succeeded, is_same_workload=True, workload="Deployment/c")], NOW).probability
        assert abs(after - before) < 1 / 3


def test_a_flood_from_elsewhere_does_not_outweigh_what_happened_here() -> None:
    ours = [here(False, is_same_workload=True, workload="Deployment/a") for _ in range(5)]
    flood = [Tried(True, NOW, is_here=False) for _ in range(10_000)]
    assert count([*ours, *flood], NOW).probability < 0.5


def test_one_noisy_workload_does_not_speak_for_the_namespace() -> None:
    noisy = [here(False, workload="Deployment/noisy") for _ in range(500)]
    others = [here(True, workload=f"Deployment/{n}") for n in range(12)]
    assert count([*noisy, *others], NOW).probability > 0.5


@pytest.mark.parametrize(("days", "share"), [(0, 1.0), (60, 0.5), (120, 0.25)])
def test_a_trial_weighs_half_after_its_half_life(days: int, share: float) -> None:
    assert count([here(True, days, is_same_workload=True)], NOW).good == pytest.approx(share)


def test_what_people_doubt_weighs_less() -> None:
    sure = count([here(True, is_same_workload=True)], NOW)
    doubted = count([here(True, is_same_workload=True, weight=0.25)], NOW)
    assert 0.5 < doubted.probability < sure.probability
    assert doubted.deviation > sure.deviation
