"""Agents, decisions and the causes table: no cluster."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, strategies as st

from healing.actions import guardrails
from healing.actions.base import Plan
from healing.deadline import Deadline
from healing.diagnosis.catalogue import CAUSES
from healing.findings import DOUBTED, Finding
from healing.metacognition import causes, decision
from healing.metacognition.agents import Agent, Argument, Turn, deliberate, first_confidence
from healing.metacognition.candidates import Candidate
from healing.metacognition.case import Case
from healing.metacognition.strategies import STRATEGIES, Blueprint
from healing.policies.spec import ActionName, PolicySpec, Risk
from healing.ports import ObjectRef

TARGET = ObjectRef("Deployment", "shop", "api")


def policy(**spec: Any) -> PolicySpec:
    return PolicySpec.model_validate({"targetNamespaces": ["shop"], **spec})


def case(confidence: float = 0.9, seconds: float = 10, facts: dict[str, Any] | None = None, **spec: Any) -> Case:
    finding = Finding("BadRollout", TARGET, confidence, "", facts=facts or {})
    event = SimpleNamespace(source="watch")
    made = SimpleNamespace(event=event, finding=finding, policy=policy(**spec), deadline=Deadline.after(seconds))
    return cast("Case", made)


def plan(risk: Risk = Risk.LOW, *, reversible: bool = True) -> Plan:
    return Plan(ActionName.RESTART, TARGET, 1, "s", (), (), {}, risk, "", reversible, "", parameters={})


def candidate(key: str = "rollback", prior: float = 0.5, seconds: float = 20) -> Candidate:
    return Candidate(key, "causes", prior, Blueprint(key, "", (), restores=True, seconds=seconds))


def agent(confidence: float, risk: Risk = Risk.LOW, *, reversible: bool = True, key: str = "rollback") -> Agent:
    return Agent(candidate(key), confidence, plans=[plan(risk, reversible=reversible)])


UNSURE = st.floats(0.02, 0.98)


@given(UNSURE, UNSURE)
def test_more_confidence_is_never_worth_less(one: float, two: float) -> None:
    low, high = sorted((one, two))
    assert decision.score(agent(low)) <= decision.score(agent(high))


@given(UNSURE)
def test_risk_and_what_cannot_be_undone_cost(confidence: float) -> None:
    scores = [decision.score(agent(confidence, risk)) for risk in (Risk.LOW, Risk.MEDIUM, Risk.HIGH)]
    assert scores == sorted(scores, reverse=True)
    assert decision.score(agent(confidence, Risk.HIGH, reversible=False)) <= scores[-1]
    assert all(0 <= score <= 1 for score in scores)


@given(st.lists(st.floats(-5, 5), max_size=30))
def test_arguments_add_up_and_never_reach_certainty(weights: list[float]) -> None:
    arguing = agent(0.5)
    arguing.hear([Argument("t", "x", weight) for weight in weights])
    assert 0 < arguing.confidence < 1
    assert (arguing.confidence >= 0.5) == (sum(weights) >= 0) or abs(sum(weights)) < 1e-9
    assert [a["turn"] for a in arguing.arguments] == [1] * len(weights)


def test_a_refused_agent_is_never_chosen() -> None:
    refused, poor = agent(0.9), agent(0.3, key="restart")
    refused.problem = "no"
    chosen = decision.decide(case(), [refused, poor], policy()).chosen
    assert chosen is poor
    assert decision.decide(case(), [refused], policy()).chosen is None


@pytest.mark.parametrize(
    ("risk", "spec", "asks"),
    [
        (Risk.LOW, {}, False),
        (Risk.MEDIUM, {}, True),
        (Risk.MEDIUM, {"approval": {"autoApproveMaxRisk": "medium"}}, False),
        (Risk.HIGH, {"approval": {"autoApproveMaxRisk": "medium"}}, True),
        (Risk.HIGH, {"approval": {"mode": "never"}}, False),
        (Risk.LOW, {"approval": {"mode": "always"}}, True),
        (Risk.LOW, {"autonomy": "propose", "approval": {"mode": "never"}}, True),
    ],
)
def test_who_is_asked(risk: Risk, spec: dict[str, Any], *, asks: bool) -> None:
    found = decision.decide(case(), [agent(0.97, risk)], policy(**spec))
    assert bool(found.ask) is asks


def test_below_the_threshold_a_person_is_asked_even_if_the_policy_never_asks() -> None:
    found = decision.decide(case(), [agent(0.35)], policy(approval={"mode": "never"}))
    assert found.chosen is not None
    assert any("nothing is done unasked" in reason for reason in found.ask)


def test_an_uncertain_diagnosis_asks() -> None:
    found = decision.decide(case(confidence=0.3), [agent(0.97)], policy(approval={"mode": "never"}))
    assert any("not certain" in reason for reason in found.ask)


def test_a_cause_that_a_language_model_doubts_asks() -> None:
    doubted = case(facts={DOUBTED: "DiskFull of Node node-1"})
    found = decision.decide(doubted, [agent(0.97)], policy(approval={"mode": "never"}))
    assert found.chosen is not None
    assert "DiskFull of Node node-1" in found.ask[0]


def test_what_only_a_person_may_allow_asks() -> None:
    arguing = agent(0.97)
    arguing.refusals.append(guardrails.Refusal("gitops", guardrails.Kind.ASK, "Argo CD owns it.", "approve it"))
    found = decision.decide(case(), [arguing], policy(approval={"mode": "never"}))
    assert found.ask == ("Argo CD owns it.",)


def say(text: str, weight: float = 0.0) -> Turn:
    return lambda _case, _agent, _agents: [Argument(text, text, weight)]


def run(turns: list[Turn], depth: int, *, seconds: float = 10) -> tuple[list[Agent], list[int]]:
    seen: list[int] = []
    found = deliberate(
        case(seconds=seconds), [candidate("a"), candidate("b", 0.6)], turns, depth, lambda n, _: seen.append(n)
    )
    return found, seen


def test_depth_bounds_the_turns_but_never_the_first() -> None:
    turns = [say("one"), say("two"), say("three"), say("four")]
    for depth, expected in ((0, 1), (1, 1), (3, 3), (10, 4)):
        agents, seen = run(turns, depth)
        assert [a.turns for a in agents] == [expected] * 2
        assert seen == list(range(1, expected + 1))


def test_who_is_sure_stops_arguing() -> None:
    agents, seen = run([say("one", 5.0), say("two")], 4)
    assert [a.turns for a in agents] == [1, 1]
    assert seen == [1]


def test_late_turns_are_left_out_when_time_is_up_but_the_limits_are_always_checked() -> None:
    agents, _ = run([say("limits"), say("two")], 4, seconds=0.0)
    assert [a.turns for a in agents] == [1, 1]


def test_every_strategy_of_the_table_exists() -> None:
    named = {key for fixes in (*causes.FIXES.values(), causes.GENERIC, causes.ALWAYS) for key, _ in fixes}
    named |= {key for keys in causes.STRATEGIES_OF_ACTION.values() for key in keys}
    assert named <= set(STRATEGIES)


def test_every_cause_of_the_table_is_in_the_catalogue() -> None:
    assert set(causes.FIXES) <= set(CAUSES)


@pytest.mark.parametrize("code", sorted(CAUSES))
def test_every_cause_that_can_be_acted_on_has_candidates(code: str) -> None:
    entry = CAUSES[code]
    found = causes.fixes_for(code, entry.actions)
    assert len(found) >= 2
    assert len({key for key, _ in found}) == len(found)
    if entry.actions and code not in causes.FIXES:
        known = [key for action in entry.actions for key in causes.STRATEGIES_OF_ACTION.get(action, ())]
        assert not known or {key for key, _ in found} & set(known)


def test_an_unknown_cause_gets_what_may_always_be_tried() -> None:
    assert {key for key, _ in causes.fixes_for("Novel", ())} >= {"rollback", "restart"}


def test_an_unknown_cause_is_not_doubted_twice() -> None:
    """What may help whatever the cause is, is no less likely to because the cause is not known."""
    for key, prior in causes.fixes_for("Unknown", (), is_known=False):
        generic = Candidate(key, "causes", prior, Blueprint(key, "", (), restores=False, seconds=20), for_cause=False)
        assert first_confidence(generic, case(confidence=0.2)) == prior
        assert first_confidence(candidate(key, prior), case(confidence=0.2)) < prior
    best = max(prior for _, prior in causes.UNKNOWN)
    assert decision.score(agent(best, Risk.MEDIUM)) > decision.FLOOR


def test_a_decision_says_what_it_weighs_in_numbers_and_words() -> None:
    found = decision.weigh(agent(0.8, Risk.MEDIUM))
    assert found.worth == pytest.approx(found.benefit - found.harm - found.delay)
    shown = decision.decide(case(), [agent(0.8, Risk.MEDIUM), agent(0.3, key="restart")], policy()).reason
    for part in ("benefit 0.80", "for being wrong (risk medium, can be undone)", "20 s until it shows", "next is"):
        assert part in shown


def test_a_decision_knows_whether_the_policy_or_doubt_asks() -> None:
    assert decision.decide(case(), [agent(0.97, Risk.MEDIUM)], policy()).by_policy
    doubtful = decision.decide(case(confidence=0.3), [agent(0.97)], policy())
    assert doubtful.ask
    assert not doubtful.by_policy


def test_what_the_target_is_itself_needs_no_dependency() -> None:
    own = dict(causes.fixes_for("SlowDependency", (), is_own=True))
    assert own["restart"] == dict(causes.FIXES["SlowDependency"])["restart-dependency"]
    assert not any(key.endswith("-dependency") for key in own)
