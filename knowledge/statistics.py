"""How often a strategy worked, said honestly: a Beta posterior over weighed trials.

A trial weighs less the older it is and the farther away it happened; what a person doubts weighs less still. No single
entry weighs more than one trial, no single workload and no other place more than a few, so that neither a bad entry nor
a flood of imported ones decides.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

#: A trial this old weighs half.
HALF_LIFE_DAYS = 60.0
#: Weight of a trial by where it happened.
WORKLOAD_WEIGHT, NAMESPACE_WEIGHT, ELSEWHERE_WEIGHT = 1.0, 0.7, 0.3
#: All trials of other namespaces together weigh at most so much; so do those of one workload.
MOST_ELSEWHERE, MOST_OF_A_WORKLOAD = 3.0, 6.0
#: A prior of one success and one failure: nothing known is one half, one success is two thirds.
PRIOR = 1.0


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial as statistics see it. ``weight``: 0..1, less where people doubt the entry."""

    succeeded: bool
    at: datetime
    is_here: bool
    is_same_workload: bool = False
    workload: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class SuccessCount:
    """Trials of one strategy for one cause: counted (for people), and weighed (for the decision).

    ``here``: this namespace; the ones of this workload are among them. ``good`` and ``bad`` are sums of weights.
    """

    here_succeeded: int = 0
    here_tried: int = 0
    elsewhere_succeeded: int = 0
    elsewhere_tried: int = 0
    workload_succeeded: int = 0
    workload_tried: int = 0
    good: float = 0.0
    bad: float = 0.0
    #: the newest trial of all, and whether it worked
    newest_at: datetime | None = None
    newest_succeeded: bool = False

    @property
    def tried(self) -> int:
        """All trials."""
        return self.here_tried + self.elsewhere_tried

    @property
    def succeeded(self) -> int:
        """All successes."""
        return self.here_succeeded + self.elsewhere_succeeded

    @property
    def probability(self) -> float:
        """Mean of the Beta posterior over the chance that it works here; 0.5 when nothing is known."""
        return (self.good + PRIOR) / (self.good + self.bad + 2 * PRIOR)

    @property
    def deviation(self) -> float:
        """Standard deviation of the same posterior: how little is known. 0.29 when nothing is."""
        a, b = self.good + PRIOR, self.bad + PRIOR
        return math.sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))

    @property
    def log_odds(self) -> float:
        """For (positive) or against the strategy; 0 when nothing is known."""
        return math.log((self.good + PRIOR) / (self.bad + PRIOR))

    def __str__(self) -> str:
        if not self.tried:
            return "never tried"
        parts = []
        if self.here_tried:
            parts.append(f"worked {self.here_succeeded} of {self.here_tried} here")
        if self.elsewhere_tried:
            verb = "" if parts else "worked "
            parts.append(f"{verb}{self.elsewhere_succeeded} of {self.elsewhere_tried} elsewhere")
        return ", ".join(parts)


def count(trials: Iterable[Tried], now: datetime) -> SuccessCount:
    """Weigh the trials as of ``now``."""
    trials = list(trials)
    here = [t for t in trials if t.is_here]
    elsewhere = [t for t in trials if not t.is_here]
    good = bad = 0.0
    by_workload: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for trial in here:
        place = WORKLOAD_WEIGHT if trial.is_same_workload else NAMESPACE_WEIGHT
        by_workload[trial.workload].append((place * _fresh(trial, now), trial.succeeded))
    for weights in by_workload.values():
        more_good, more_bad = _capped(weights, MOST_OF_A_WORKLOAD)
        good, bad = good + more_good, bad + more_bad
    more_good, more_bad = _capped([(ELSEWHERE_WEIGHT * _fresh(t, now), t.succeeded) for t in elsewhere], MOST_ELSEWHERE)
    newest = max((*here, *elsewhere), key=lambda t: t.at, default=None)
    return SuccessCount(
        here_succeeded=sum(t.succeeded for t in here),
        here_tried=len(here),
        elsewhere_succeeded=sum(t.succeeded for t in elsewhere),
        elsewhere_tried=len(elsewhere),
        workload_succeeded=sum(t.succeeded for t in here if t.is_same_workload),
        workload_tried=sum(t.is_same_workload for t in here),
        good=good + more_good,
        bad=bad + more_bad,
        newest_at=newest.at if newest else None,
        newest_succeeded=newest.succeeded if newest else False,
    )


def _fresh(trial: Tried, now: datetime) -> float:
    days = max(0.0, (now - trial.at).total_seconds() / 86_400)
    return float(min(1.0, max(0.0, trial.weight)) * 0.5 ** (days / HALF_LIFE_DAYS))


def _capped(weights: list[tuple[float, bool]], most: float) -> tuple[float, float]:
    total = sum(weight for weight, _ in weights)
    scale = min(1.0, most / total) if total else 0.0
    good = sum(weight for weight, succeeded in weights if succeeded)
    return good * scale, (total - good) * scale
