"""Whether a fault is news, given the events its workload has had. Pure.

An event that ended leaves the fault standing more often than not: a person declined, or has taken over. The same
standing fault must not open event after event; a new one must.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from healing.lifecycle import Outcome

#: The very same fault (symptom, pod, generation) is brought up again after a person has left it alone this long.
SAME_FAULT_AFTER = timedelta(hours=6)
#: The same symptom at the same generation on another pod.
SAME_SYMPTOM_AFTER = timedelta(minutes=10)
#: Longest wait after events that healed nothing, which doubles with each.
LONGEST_COOLDOWN = timedelta(hours=1)
#: How far back events count for that.
LOOK_BACK = timedelta(hours=6)

_SETTLED = frozenset({Outcome.HEALED, Outcome.RECOVERED})


@dataclass(frozen=True, slots=True)
class PastEvent:
    """A finished event of the same fingerprint. ``signals`` as `HealingEvent.signals`."""

    finished_at: datetime
    outcome: str
    signals: Sequence[Mapping[str, Any]]

    def has(self, symptom: str, **data: Any) -> bool:
        """Whether it saw this symptom with these values in its data."""
        return any(
            signal.get("symptom") == symptom
            and all((signal.get("data") or {}).get(name) == value for name, value in data.items())
            for signal in self.signals
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fault that would open an event. ``standing_since=None``: for an unknown time."""

    symptom: str
    instance: str
    moment: str
    generation: int
    standing_since: datetime | None


@dataclass(frozen=True, slots=True)
class Decision:
    """``wait_seconds``: when to ask again, where ``is_news`` is false."""

    is_news: bool
    reason: str = ""
    wait_seconds: float = 0.0


def judge(candidate: Candidate, past: Sequence[PastEvent], now: datetime, cooldown_seconds: float) -> Decision:
    """``past``: newest first."""
    if not past:
        return Decision(True)
    latest = past[0]
    same = latest.has(candidate.symptom, instance=candidate.instance)
    same_symptom = same or latest.has(candidate.symptom, generation=candidate.generation)
    has_been_away = candidate.standing_since is not None and candidate.standing_since > latest.finished_at
    if latest.outcome in _SETTLED:
        if candidate.moment and latest.has(candidate.symptom, instance=candidate.instance, moment=candidate.moment):
            return _wait("this occurrence has been dealt with", now + timedelta(minutes=5), now)
        return _until(latest.finished_at + timedelta(seconds=cooldown_seconds), now, "the cooldown is not over")
    if not has_been_away and same:
        return _until(latest.finished_at + SAME_FAULT_AFTER, now, f"the same fault was {latest.outcome}")
    if not has_been_away and same_symptom:
        return _until(latest.finished_at + SAME_SYMPTOM_AFTER, now, f"the same symptom was {latest.outcome}")
    in_vain = 0
    for event in past:
        if event.outcome in _SETTLED or now - event.finished_at > LOOK_BACK:
            break
        in_vain += 1
    cooldown = min(timedelta(seconds=cooldown_seconds) * 2 ** max(0, in_vain - 1), LONGEST_COOLDOWN)
    return _until(latest.finished_at + cooldown, now, "the cooldown is not over")


def _until(moment: datetime, now: datetime, reason: str) -> Decision:
    return Decision(True) if now >= moment else _wait(reason, moment, now)


def _wait(reason: str, until: datetime, now: datetime) -> Decision:
    return Decision(False, reason, max(0.5, (until - now).total_seconds()))
