"""Proportions with their uncertainty, and quantiles of times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: of the standard normal distribution: two-sided 95 %
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Proportion:
    """``count`` of ``of``; ``low`` and ``high`` are the Wilson 95 % interval (0 and 1 where there is nothing)."""

    count: int
    of: int

    @property
    def value(self) -> float | None:
        """None: nothing was counted."""
        return self.count / self.of if self.of else None

    @property
    def low(self) -> float:
        return wilson(self.count, self.of)[0]

    @property
    def high(self) -> float:
        return wilson(self.count, self.of)[1]

    def as_json(self) -> dict[str, float | int | None]:
        value = self.value
        return {
            "count": self.count,
            "of": self.of,
            "proportion": None if value is None else round(value, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
        }


def wilson(count: int, of: int, z: float = _Z) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927); (0, 1) of nothing. ValueError unless 0 <= count <= of."""
    if not 0 <= count <= of:
        raise ValueError(f"{count} of {of} is no proportion")
    if of == 0:
        return 0.0, 1.0
    share = count / of
    squared = z * z / of
    middle = (share + squared / 2) / (1 + squared)
    half = z / (1 + squared) * math.sqrt(share * (1 - share) / of + squared / (4 * of))
    # At the ends the interval touches 0 and 1 exactly; floating point would miss it by a hair.
    low = 0.0 if count == 0 else max(0.0, middle - half)
    high = 1.0 if count == of else min(1.0, middle + half)
    return low, high


@dataclass(frozen=True, slots=True)
class Times:
    """A list of durations in seconds, summed up; ``budget_seconds``: what each of them should stay within."""

    seconds: tuple[float, ...]
    budget_seconds: float | None = None

    @property
    def within_budget(self) -> Proportion | None:
        if self.budget_seconds is None:
            return None
        return Proportion(sum(1 for s in self.seconds if s <= self.budget_seconds), len(self.seconds))

    def as_json(self) -> dict[str, object]:
        within = self.within_budget
        return {
            "n": len(self.seconds),
            "p50": _rounded(quantile(self.seconds, 0.5)),
            "p95": _rounded(quantile(self.seconds, 0.95)),
            "max": _rounded(max(self.seconds, default=None)),
            "budgetSeconds": self.budget_seconds,
            "withinBudget": within.as_json() if within is not None else None,
        }


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of the values do not exceed (nearest rank); None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
