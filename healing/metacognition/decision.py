"""From arguments to a decision: benefit against risk, reversibility and time; and whether a person must agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from healing.actions import guardrails
from healing.faults import SignalSource
from healing.findings import DOUBTED
from healing.metacognition.agents import Agent
from healing.metacognition.case import Case
from healing.policies.spec import PolicySpec, Risk

#: What a wrong strategy costs, in parts of what a right one is worth.
_COST_IF_WRONG = {Risk.LOW: 0.1, Risk.MEDIUM: 0.3, Risk.HIGH: 0.6}
_REVERSIBLE_COSTS = 0.6
#: Each minute until it shows costs that much.
_COST_OF_A_MINUTE = 0.05
#: What is worth less is a shot in the dark: it is not even proposed, for people approve what is put before them.
FLOOR = 0.15


@dataclass(frozen=True, slots=True)
class Decision:
    """``chosen`` None: nothing can be done. ``ask``: why a person must agree; empty: nobody needs to."""

    chosen: Agent | None
    ask: tuple[str, ...]
    reason: str


def score(agent: Agent) -> float:
    """0..1: the benefit if it heals, less what it costs if it does not."""
    cost = _COST_IF_WRONG[agent.risk] * (_REVERSIBLE_COSTS if agent.is_reversible else 1.0)
    waiting = _COST_OF_A_MINUTE * agent.candidate.blueprint.seconds / 60
    return max(0.0, min(1.0, agent.confidence - (1 - agent.confidence) * cost - waiting))


def decide(case: Case, agents: Iterable[Agent], policy: PolicySpec) -> Decision:
    """The best strategy that can be carried out, and whether a person has to be asked first."""
    feasible = sorted((a for a in agents if not a.problem), key=score, reverse=True)
    if not feasible:
        return Decision(None, (), "No strategy can be carried out.")
    best = feasible[0]
    if score(best) < FLOOR:
        title, least = best.candidate.blueprint.title, f"{score(best):.2f}; below {FLOOR:g} nothing is even proposed"
        return Decision(None, (), f"No strategy is likely enough to help: the best, '{title}', is worth {least}.")
    ask = tuple(reasons_to_ask(best, case, policy))
    value = score(best)
    text = (
        f"'{best.candidate.blueprint.title}' is worth {value:.2f} (confidence {best.confidence:.0%}, risk {best.risk})"
    )
    if len(feasible) > 1:
        text += f"; next is '{feasible[1].candidate.blueprint.title}' with {score(feasible[1]):.2f}"
    return Decision(best, ask, f"{text}.")


def reasons_to_ask(agent: Agent, case: Case, policy: PolicySpec) -> list[str]:
    """Why a person must agree; empty: nobody needs to."""
    reasons = approval_needed(policy, agent.risk)
    reasons += [r.message for r in agent.refusals if r.kind is guardrails.Kind.ASK and r.limit != "autonomy"]
    if score(agent) < policy.decision_threshold:
        least = policy.decision_threshold
        reasons.append(f"The best strategy is worth {score(agent):.2f}; below {least:g} nothing is done unasked.")
    if case.event.source == SignalSource.FORECAST:
        reasons.append("It has not happened yet: what is done ahead of time is a person's decision.")
    if doubt := case.finding.facts.get(DOUBTED):
        reasons.append(f"The rules and the language model disagree about the cause; it suspects {doubt}.")
    if case.finding.confidence < policy.confidence_threshold:
        reasons.append(
            f"The cause is not certain: {case.finding.confidence:.0%}, below {policy.confidence_threshold:.0%}."
        )
    return reasons


def approval_needed(policy: PolicySpec, risk: Risk) -> list[str]:
    """What the policy says about approval for this risk."""
    if policy.autonomy == "propose":
        return ["The policy only proposes."]
    if policy.approval.mode == "always":
        return ["The policy asks a person about every strategy."]
    if policy.approval.mode == "riskBased" and risk.rank > policy.approval.auto_approve_max_risk.rank:
        return [f"Its risk is {risk}; up to {policy.approval.auto_approve_max_risk} nobody is asked."]
    return []
