"""A language model may speak against strategies, never for one, and never choose."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from healing.metacognition import critique, decision
from healing.metacognition.critique import Critique, read
from tests.metacognition.test_arguing import agent, case, policy

KEYS = {"rollback", "restart"}


def said(*objections: tuple[str, object]) -> str:
    return json.dumps(
        {"objections": [{"strategy": k, "objection": "It may hurt.", "gravity": g} for k, g in objections]}
    )


def test_the_gravest_objection_to_a_strategy_counts() -> None:
    found, struck = read(said(("rollback", 0.2), ("rollback", 0.7), ("restart", 1)), KEYS)
    assert found == {"rollback": ("It may hurt.", 0.7), "restart": ("It may hurt.", 1.0)}
    assert struck == []


def test_strategies_that_nobody_proposed_are_struck_out() -> None:
    found, struck = read(said(("format-all-disks", 0.0), ("restart", 0.4)), KEYS)
    assert set(found) == {"restart"}
    assert "format-all-disks" in struck[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "It is fine.",
        "[1, 2]",
        '{"objections": 3}',
        said(("restart", -1.0)),
        said(("restart", 1.5)),
        said(("restart", "0.5")),
        '{"objections": [{"strategy": "restart", "objection": "x", "gravity": NaN}]}',
        "[" * 100_000,
    ],
)
def test_nonsense_says_nothing(text: str) -> None:
    found, struck = read(text, KEYS)
    assert found == {}
    assert struck


@given(st.floats(0.0, 1.0), st.floats(0.02, 0.98))
def test_no_objection_ever_makes_a_strategy_likelier(gravity: float, confidence: float) -> None:
    arguing = agent(confidence)
    heard = Critique("test/model", {"rollback": ("x", gravity)})
    before = decision.score(arguing)
    arguing.hear(heard.of(arguing))
    assert decision.score(arguing) <= before + 1e-9


def test_who_only_comes_first_by_a_models_objections_needs_a_person() -> None:
    rollback, restart = agent(0.8), agent(0.7, key="restart")
    first = decision.best_of([rollback, restart])
    assert first is rollback
    rollback.hear(Critique("test/model", {"rollback": ("no!", 1.0)}).of(rollback))
    found = decision.decide(
        case(), [rollback, restart], policy(approval={"mode": "never"}), first_before_critique=first
    )
    assert found.chosen is restart
    assert any("Without the language model's objections 'rollback'" in reason for reason in found.ask)
    assert not found.by_policy


def test_an_objection_may_hold_back_what_would_have_been_done_unasked() -> None:
    alone = agent(0.55)
    assert decision.decide(case(), [alone], policy()).ask == ()
    alone.hear(Critique("test/model", {"rollback": ("It is the wrong object.", 1.0)}).of(alone))
    assert any("nothing is done unasked" in r for r in decision.decide(case(), [alone], policy()).ask)


def test_only_where_it_is_not_clear_the_model_is_asked() -> None:
    assert critique._is_clear(case(0.9), [agent(0.9), agent(0.5, key="restart")])
    assert not critique._is_clear(case(0.9), [agent(0.9), agent(0.85, key="restart")])
    assert not critique._is_clear(case(0.5), [agent(0.9)])
