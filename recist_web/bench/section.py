"""What a section gets and what it gives back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

Size = Literal["full", "smoke"]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Number:
    """One measurement. ``value`` None: it could not be measured. ``at_most``: the target, in the same unit."""

    name: str
    value: float | None
    unit: str
    at_most: float | None = None

    @property
    def is_met(self) -> bool | None:
        """None: it has no target."""
        if self.at_most is None:
            return None
        return self.value is not None and self.value <= self.at_most

    def as_json(self) -> dict[str, Any]:
        value = None if self.value is None else float(f"{self.value:.4g}")
        return {"name": self.name, "value": value, "unit": self.unit, "atMost": self.at_most, "met": self.is_met}


@dataclass(slots=True)
class Result:
    """``parameters``: what was measured, with units in the names. ``failures``: what must never happen, and did."""

    numbers: list[Number] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bench:
    """``directory`` is the section's own, empty, and gone afterwards. ``say`` prints a line for whoever waits."""

    size: Size
    directory: Path
    say: Callable[[str], None]

    def pick(self, *, full: _T, smoke: _T) -> _T:
        """The one for the size of this run."""
        return full if self.size == "full" else smoke


class Section(Protocol):
    """A module of `recist_web.bench.sections`."""

    TITLE: str

    def run(self, bench: Bench) -> Result: ...


class CannotMeasureError(Exception):
    """What the section needs is not there; the message says what to do."""


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of the values do not exceed (nearest rank); None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def p50_p95(name: str, values: Sequence[float], unit: str = "s", *, p95_at_most: float | None = None) -> list[Number]:
    """Two numbers of many measurements."""
    return [
        Number(f"{name}, p50", quantile(values, 0.5), unit),
        Number(f"{name}, p95", quantile(values, 0.95), unit, p95_at_most),
    ]
