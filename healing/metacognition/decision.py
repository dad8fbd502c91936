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
class Weighing:
    """What a strategy is worth, part by part; all of them 0..1. ``benefit`` - ``harm`` - ``delay``."""

    benefit: float
    harm: float
    delay: float
    words: str

    @property
    def worth(self) -> float:
        return max(0.0, min(1.0, self.benefit - self.harm - self.delay))

    def as_json(self) -> dict[str, float | str]:
        """For the strategy's page."""
        numbers = {"benefit": self.benefit, "harm": self.harm, "delay": self.delay, "worth": self.worth}
        return {**{name: round(value, 3) for name, value in numbers.items()}, "words": self.words}


@dataclass(frozen=True, slots=True)
class Decision:
    """``chosen`` None: nothing can be done. ``ask``: why a person must agree; empty: nobody needs to. ``by_policy``:
    at least one of these reasons is the policy's, however sure we were."""

    chosen: Agent | None
    ask: tuple[str, ...]
    reason: str
    by_policy: bool = False


def weigh(agent: Agent) -> Weighing:
    """The benefit if it heals, less what it costs if it does not, and what the time until it shows costs."""
    seconds = agent.candidate.blueprint.seconds
    cost = _COST_IF_WRONG[agent.risk] * (_REVERSIBLE_COSTS if agent.is_reversible else 1.0)
    benefit, harm = agent.confidence, (1 - agent.confidence) * cost
    delay = _COST_OF_A_MINUTE * seconds / 60
    undo = "can" if agent.is_reversible else "cannot"
    words = (
        f"benefit {benefit:.2f} (how likely it heals), less {harm:.2f} for being wrong (risk {agent.risk}, {undo} be "
        f"undone), less {delay:.2f} for about {seconds:.0f} s until it shows"
    )
    return Weighing(benefit, harm, delay, words)


def score(agent: Agent) -> float:
    """0..1: what `weigh` comes to."""
    return weigh(agent).worth


def best_of(agents: Iterable[Agent]) -> Agent | None:
    """The strategy that is worth most; None: none can be carried out."""
    return max((agent for agent in agents if not agent.problem), key=score, default=None)


def decide(
    case: Case, agents: Iterable[Agent], policy: PolicySpec, *, first_before_critique: Agent | None = None
) -> Decision:
    """The best strategy that can be carried out, and whether a person has to be asked first.

    ``first_before_critique``: the best one before a language model was heard, which may hold back and not choose."""
    feasible = sorted((a for a in agents if not a.problem), key=score, reverse=True)
    if not feasible:
        return Decision(None, (), "No strategy can be carried out.")
    best = feasible[0]
    if score(best) < FLOOR:
        title, least = best.candidate.blueprint.title, f"{score(best):.2f}; below {FLOOR:g} nothing is even proposed"
        return Decision(None, (), f"No strategy is likely enough to help: the best, '{title}', is worth {least}.")
    by_policy, by_doubt = asked_by_policy(best, policy), asked_by_doubt(best, case, policy)
    if first_before_critique is not None and first_before_critique is not best:
        title = first_before_critique.candidate.blueprint.title
        by_doubt.append(f"Without the language model's objections '{title}' would come first.")
    weighing = weigh(best)
    text = f"'{best.candidate.blueprint.title}' is worth {weighing.worth:.2f}: {weighing.words}"
    if len(feasible) > 1:
        text += f"; next is '{feasible[1].candidate.blueprint.title}' with {score(feasible[1]):.2f}"
    return Decision(best, (*by_policy, *by_doubt), f"{text}.", by_policy=bool(by_policy))


def asked_by_policy(agent: Agent, policy: PolicySpec) -> list[str]:
    """Why the policy wants a person to agree, however sure we are; empty: it does not."""
    reasons = approval_needed(policy, agent.risk)
    return reasons + [r.message for r in agent.refusals if r.kind is guardrails.Kind.ASK and r.limit != "autonomy"]


def asked_by_doubt(agent: Agent, case: Case, policy: PolicySpec) -> list[str]:
    """Why we are not sure enough to do it unasked; empty: we are."""
    reasons = []
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
