"""Which warnings came true."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from recist_web.evaluation.intervals import Proportion


@dataclass(slots=True)
class Scores:
    """Counts over all worlds. A warning is right if its limit was reached within the world's life and not much later
    than foretold; it is wrong if the world went on past that and nothing happened."""

    worlds: int = 0
    foretold: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    warned: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    right: int = 0
    wrong: int = 0
    healthy: int = 0
    healthy_quiet: int = 0
    lead_seconds: list[float] = field(default_factory=list)
    inside_interval: int = 0
    intervals: int = 0
    misses: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For the results file."""
        wanted, had = sum(self.foretold.values()), sum(self.warned.values())
        return {
            "worlds": self.worlds,
            "recall": Proportion(had, wanted).as_json(),
            "recallByKind": {
                kind: Proportion(self.warned[kind], of).as_json() for kind, of in sorted(self.foretold.items())
            },
            "precision": Proportion(self.right, self.right + self.wrong).as_json(),
            "healthyWorldsLeftAlone": Proportion(self.healthy_quiet, self.healthy).as_json(),
            "insideInterval": Proportion(self.inside_interval, self.intervals).as_json(),
            "leadSeconds": _quantiles(self.lead_seconds),
            "misses": self.misses,
        }


def _quantiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    if not ordered:
        return {}
    return {
        "p50": round(ordered[len(ordered) // 2], 1),
        "p10": round(ordered[len(ordered) // 10], 1),
        "least": round(ordered[0], 1),
    }
