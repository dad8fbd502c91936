"""How often a strategy worked, said honestly."""

from __future__ import annotations

from dataclasses import dataclass

#: Weight of what happened in other namespaces, against what happened here.
ELSEWHERE_WEIGHT = 0.3
#: A prior of one success and one failure: nothing known is one half, one success is two thirds.
PRIOR = 1.0


@dataclass(frozen=True, slots=True)
class SuccessCount:
    """Trials of one strategy for one cause, in this namespace and in all others."""

    here_succeeded: int = 0
    here_tried: int = 0
    elsewhere_succeeded: int = 0
    elsewhere_tried: int = 0

    @property
    def tried(self) -> int:
        """All trials."""
        return self.here_tried + self.elsewhere_tried

    @property
    def probability(self) -> float:
        """Mean of the Beta posterior over the chance that it works here; 0.5 when nothing is known."""
        succeeded = self.here_succeeded + ELSEWHERE_WEIGHT * self.elsewhere_succeeded
        tried = self.here_tried + ELSEWHERE_WEIGHT * self.elsewhere_tried
        return (succeeded + PRIOR) / (tried + 2 * PRIOR)

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
