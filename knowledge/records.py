"""What goes into the memory and comes out of it: plain data, light to import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

TrialOutcome = Literal["succeeded", "failed", "undone", "refused"]
#: Where a recollection was found.
Range = Literal["local", "global"]


@dataclass(frozen=True, slots=True)
class TriedStrategy:
    """A strategy of an event. ``refused`` ones never ran and count in no statistics; ``undone`` counts as failed."""

    strategy: str  # the key, e.g. rollback
    outcome: TrialOutcome
    title: str = ""
    reason: str = ""
    actions: tuple[str, ...] = ()
    duration_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Experience:
    """An event, as it is to be remembered. ``text`` must be redacted already; it is what is embedded.

    ``ttl_days``: it is forgotten that long after it was last seen. ``max_local_events``: how many of its namespace stay
    in the fast local range.
    """

    event_ref: str
    symptom: str
    text: str
    outcome: str
    occurred_at: datetime
    cluster: str = "default"
    namespace: str = ""
    fingerprint: str = ""
    cause: str = ""
    confidence: float | None = None
    target: Mapping[str, Any] = field(default_factory=dict)
    topology: Mapping[str, Any] = field(default_factory=dict)
    strategies: Sequence[TriedStrategy] = ()
    outcome_reason: str = ""
    person_changed: str = ""
    duration_seconds: float | None = None
    ttl_days: int = 90
    max_local_events: int = 200


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one person says of an entry, the newest on each question."""

    about: Literal["cause", "fix"]
    is_right: bool
    by: str
    at: datetime
    corrected_cause: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Recollection:
    """A past event, or a note, that resembles the present one. ``similarity`` is the cosine, -1..1."""

    ref: str
    event_ref: str
    similarity: float
    cluster: str
    namespace: str
    symptom: str
    cause: str
    target: Mapping[str, Any]
    strategies: tuple[TriedStrategy, ...]
    outcome: str
    duration_seconds: float | None
    occurred_at: datetime
    text: str
    kind: str = "event"
    title: str = ""
    fingerprint: str = ""
    diagnosed_cause: str = ""
    range: Range = "global"
    occurrences: int = 1
    last_seen_at: datetime | None = None
    imported_from: str = ""
    is_flagged: bool = False
    judgements: tuple[Judgement, ...] = ()

    @property
    def worked(self) -> str:
        """The strategy that healed it, or empty; nothing where a person says that the fix was wrong."""
        if any(j.about == "fix" and not j.is_right for j in self.judgements):
            return ""
        return next((s.strategy for s in self.strategies if s.outcome == "succeeded"), "")

    @property
    def failed(self) -> list[str]:
        """Strategies that did not help."""
        found = [s.strategy for s in self.strategies if s.outcome in ("failed", "undone")]
        if any(j.about == "fix" and not j.is_right for j in self.judgements):
            found += [s.strategy for s in self.strategies if s.outcome == "succeeded"]
        return list(dict.fromkeys(found))
