"""The micro-agents' argument as people follow one: who said what, what it moved, what tipped it, what memory did.

The numbers are those of the decision: an argument's weight is in log-odds, so the chance that it leaves behind can be
computed back from the chance at the end (healing/metacognition/agents.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from healing.dashboard import words
from healing.dashboard.plans import ArgumentView, StrategyView
from healing.models import StrategyState

_LEAST, _MOST = 0.01, 0.99
#: A smaller weight moves nothing that anybody would see.
_FELT = 0.05
MEMORY_TOPICS = frozenset({"memory", "history"})
_VOICES = {"memory": "book", "history": "book", "language model": "robot", "limits": "shield", "dry run": "cluster"}


@dataclass(frozen=True, slots=True)
class Turn:
    """One argument and the chance of healing before and after it, 0..1."""

    argument: ArgumentView
    before: float
    after: float

    @property
    def icon(self) -> str:
        """Whose voice it is."""
        return _VOICES.get(self.argument.topic, "spark" if self.argument.side == "neutral" else "pulse")

    @property
    def moved(self) -> str:
        """``46 % → 57 %``; empty where nothing was moved."""
        if self.argument.side == "neutral":
            return ""
        before, after = words.percent(self.before), words.percent(self.after)
        return f"{before} → {after}" if before != after else after


@dataclass(frozen=True, slots=True)
class Round:
    """What one micro-agent said in one turn."""

    number: int
    turns: list[Turn]


@dataclass(frozen=True, slots=True)
class Speech:
    """All that one strategy's micro-agent said."""

    strategy: StrategyView
    start: float
    rounds: list[Round]

    @property
    def speaks_for(self) -> float:
        """Sum of what speaks for it."""
        return sum(a.weight for a in self.strategy.arguments if a.weight > 0)

    @property
    def speaks_against(self) -> float:
        """Sum of what speaks against it, as a positive number."""
        return -sum(a.weight for a in self.strategy.arguments if a.weight < 0)


@dataclass(frozen=True, slots=True)
class Debate:
    """Of one attempt; the strategies as they were ranked. ``tipped`` and ``memory`` are sentences."""

    attempt: int
    speeches: list[Speech]
    tipped: list[str]
    memory: list[str]

    @property
    def at(self) -> datetime | None:
        """When it was over."""
        return max((s.strategy.row.created_at for s in self.speeches if s.strategy.row.created_at), default=None)


def debates(strategies: Sequence[StrategyView]) -> list[Debate]:
    """One for each attempt, the newest first."""
    attempts: dict[int, list[StrategyView]] = {}
    for strategy in strategies:
        attempts.setdefault(strategy.row.attempt, []).append(strategy)
    return [_debate(number, found) for number, found in sorted(attempts.items(), reverse=True)]


def _debate(attempt: int, strategies: list[StrategyView]) -> Debate:
    first = next((s for s in strategies if s.row.state not in (StrategyState.PROPOSED, StrategyState.REFUSED)), None)
    ordered = sorted(strategies, key=lambda s: (s is not first, -s.row.score, s.row.pk))
    return Debate(attempt, [_speech(s) for s in ordered], _tipped(ordered, first), _memory(ordered, first))


def _speech(strategy: StrategyView) -> Speech:
    log_odds = _log_odds(strategy.row.confidence) - sum(a.weight for a in strategy.arguments)
    start = _chance(log_odds)
    rounds: list[Round] = []
    for argument in strategy.arguments:
        before = _chance(log_odds)
        log_odds += argument.weight
        if not rounds or rounds[-1].number != argument.turn:
            rounds.append(Round(argument.turn, []))
        rounds[-1].turns.append(Turn(argument, before, _chance(log_odds)))
    return Speech(strategy, start, rounds)


def _tipped(ordered: list[StrategyView], first: StrategyView | None) -> list[str]:
    """What speaks most for the winner, and most against the one it beat."""
    if first is None:
        return []
    said = []
    best = max(first.arguments, key=lambda a: a.weight, default=None)
    if best is not None and best.weight >= _FELT:
        said.append(_("For “%(title)s”: %(text)s (%(weight)s).") % _quoted(first, best))
    second = next((s for s in ordered if s is not first and s.row.state != StrategyState.REFUSED), None)
    if second is None:
        return said
    worst = min(second.arguments, key=lambda a: a.weight, default=None)
    if worst is not None and worst.weight <= -_FELT:
        said.append(_("Against “%(title)s”: %(text)s (%(weight)s).") % _quoted(second, worst))
    if second.row.score < first.row.score:
        text = _("In the end it was worth %(first)s against %(second)s.")
        said.append(text % {"first": f"{first.row.score:.2f}", "second": f"{second.row.score:.2f}"})
    return said


def _quoted(strategy: StrategyView, argument: ArgumentView) -> dict[str, str]:
    return {"title": strategy.row.title, "text": _clause(argument.text), "weight": f"{argument.weight:+.2f}"}


def _memory(ordered: list[StrategyView], first: StrategyView | None) -> list[str]:
    """What memory said, and whether the order would be another without it."""
    moved = {id(s): sum(a.weight for a in s.arguments if a.topic in MEMORY_TOPICS) for s in ordered}
    if not any(abs(weight) >= _FELT for weight in moved.values()):
        return []
    said = [
        _("“%(title)s”: %(text)s.") % _quoted(s, a)
        for s in ordered
        for a in s.arguments
        if a.topic in MEMORY_TOPICS and abs(a.weight) >= _FELT
    ]
    able = [s for s in ordered if s.row.state != StrategyState.REFUSED]
    if first is None or len(able) < 2:
        return said
    without = {id(s): _chance(_log_odds(s.row.confidence) - moved[id(s)]) for s in able}
    best = max(able, key=lambda s: without[id(s)])
    then = words.percent(without[id(first)])
    if best is first:
        text = _("It did not decide: without it “%(title)s” would still be likeliest, %(then)s not %(now)s.")
        values = {"title": first.row.title, "then": then, "now": words.percent(first.row.confidence)}
    else:
        text = _("It decided: without it “%(title)s” would be likeliest (%(theirs)s, %(then)s for this one).")
        values = {"title": best.row.title, "theirs": words.percent(without[id(best)]), "then": then}
    return [*said, text % values]


def _clause(text: str) -> str:
    """A sentence without its full stop, to stand before brackets."""
    return " ".join(text.split()).rstrip(".")


def _log_odds(chance: float) -> float:
    chance = min(max(chance, _LEAST), _MOST)
    return math.log(chance / (1 - chance))


def _chance(log_odds: float) -> float:
    return 1 / (1 + math.exp(-max(-50.0, min(50.0, log_odds))))
