"""How much time is left, by the monotonic clock."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock of this process. Pass it down; ask `remaining_seconds` for every timeout."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """A deadline that many seconds from now."""
        return cls(time.monotonic() + seconds)

    def remaining_seconds(self, at_most: float = float("inf")) -> float:
        """Seconds left, never negative, capped at ``at_most``."""
        return max(0.0, min(self.at - time.monotonic(), at_most))

    @property
    def is_over(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self.at
