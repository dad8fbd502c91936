"""Micro-agents: one a candidate, arguing in parallel, turn by turn, until each is sure or the depth is reached.

An agent is its candidate, what it has found out and how sure it is. Each turn it looks at one more thing and moves its
confidence by the weight of what it found (log-odds, so that evidence adds up and never reaches certainty). After
each turn all of them see what the others have come to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import connections

from healing import telemetry
from healing.actions import guardrails
from healing.actions.base import Plan
from healing.metacognition.candidates import Candidate
from healing.metacognition.case import Case
from healing.policies.spec import Risk

#: Sure enough either way: an agent stops arguing.
_SURE = 0.95
_HOPELESS = 0.05


@dataclass(frozen=True, slots=True)
class Argument:
    """One thing that speaks for (positive weight) or against a strategy."""

    topic: str
    text: str
    weight: float = 0.0
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Agent:
    """``plans`` are filled by the first turn; ``problem`` says why the strategy cannot be carried out at all."""

    candidate: Candidate
    confidence: float
    plans: list[Plan] = field(default_factory=list)
    refusals: list[guardrails.Refusal] = field(default_factory=list)
    problem: str = ""
    turns: int = 0
    arguments: list[dict[str, Any]] = field(default_factory=list)

    @property
    def risk(self) -> Risk:
        """Of its riskiest step."""
        return max((plan.risk for plan in self.plans), key=lambda risk: risk.rank, default=Risk.LOW)

    @property
    def is_reversible(self) -> bool:
        """Whether every step can be undone."""
        return all(plan.reversible for plan in self.plans)

    @property
    def is_settled(self) -> bool:
        """Whether more arguing would not change anything."""
        return bool(self.problem) or not _HOPELESS < self.confidence < _SURE

    def hear(self, arguments: list[Argument]) -> None:
        """Take one turn's arguments in."""
        self.turns += 1
        log_odds = math.log(self.confidence / (1 - self.confidence))
        for argument in arguments:
            log_odds += argument.weight
            self.arguments.append(
                {
                    "turn": self.turns,
                    "topic": argument.topic,
                    "text": argument.text,
                    "weight": round(argument.weight, 2),
                    "data": argument.data,
                }
            )
        self.confidence = min(max(1 / (1 + math.exp(-log_odds)), 0.01), 0.99)


#: What happens in one turn: ``(case, agent, what the others have come to)`` -> arguments. Runs in a thread.
Turn = Callable[[Case, Agent, list[Agent]], list[Argument]]


def first_confidence(candidate: Candidate, case: Case) -> float:
    """How likely it heals before anything is argued: less so where it builds on a diagnosis that is unsure."""
    prior = candidate.prior * (0.4 + 0.6 * case.finding.confidence) if candidate.for_cause else candidate.prior
    return min(max(prior, 0.02), 0.97)


def deliberate(
    case: Case, candidates: list[Candidate], turns: list[Turn], depth: int, on_turn: Callable[[int, list[Agent]], None]
) -> list[Agent]:
    """Let the agents argue: at most ``depth`` turns, all of one turn at once. The first turn is never left out.

    ``on_turn`` is called after each turn, in the caller's thread. Time that runs out ends the arguing.
    """
    agents = [Agent(candidate, first_confidence(candidate, case)) for candidate in candidates]
    if not agents:
        return []
    with ThreadPoolExecutor(max_workers=len(agents), thread_name_prefix="micro-agent") as pool:
        for number, turn in enumerate(turns[: max(depth, 1)]):
            speaking = [agent for agent in agents if not agent.is_settled or number == 0]
            if not speaking or (number > 0 and case.deadline.remaining_seconds() < 1.0):
                break
            speak = telemetry.with_context(partial(_take_turn, turn, case, agents))
            heard = list(pool.map(speak, speaking))
            for agent, arguments in zip(speaking, heard, strict=True):
                agent.hear(arguments)
            on_turn(number + 1, speaking)
    return agents


def _take_turn(turn: Turn, case: Case, agents: list[Agent], agent: Agent) -> list[Argument]:
    """In a thread of the pool, whose database connections nobody else would close."""
    try:
        return turn(case, agent, agents)
    finally:
        connections.close_all()
