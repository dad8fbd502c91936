"""The clocks people read: how long each of the four wound phases took, against its budget.

Time spent waiting for a person is kept apart: it is shown beside the healing time, never inside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from healing.lifecycle import BUDGET_SECONDS, WOUND_OF_PHASE, Phase, Wound
from healing.models import HealingEvent, PhaseRun, PhaseRunState

ClockState = Literal["ahead", "running", "waiting", "done", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class WoundClock:
    """One phase's clock. ``elapsed_seconds`` includes the open run up to the time asked for; ``settled_seconds`` does
    not: a page that ticks adds the time since ``running_since`` itself."""

    wound: Wound
    state: ClockState
    budget_seconds: float
    elapsed_seconds: float
    settled_seconds: float
    waited_seconds: float
    running_since: datetime | None
    waiting_since: datetime | None

    @property
    def over_budget(self) -> bool:
        """Whether it took longer than planned."""
        return self.elapsed_seconds > self.budget_seconds


def wound_clocks(event: HealingEvent, runs: Iterable[PhaseRun], now: datetime) -> list[WoundClock]:
    """The four clocks in order. ``runs`` are all phase runs of the event."""
    by_wound: dict[Wound, list[PhaseRun]] = {wound: [] for wound in Wound}
    for run in runs:
        by_wound[WOUND_OF_PHASE[Phase(run.phase)]].append(run)
    current = WOUND_OF_PHASE.get(Phase(event.phase))
    return [_clock(wound, by_wound[wound], event, current, now) for wound in Wound]


def _clock(wound: Wound, runs: list[PhaseRun], event: HealingEvent, current: Wound | None, now: datetime) -> WoundClock:
    settled = waited = 0.0
    running_since = waiting_since = None
    for run in runs:
        is_wait = run.phase == Phase.AWAITING_APPROVAL
        if run.finished_at is None and is_wait:
            waiting_since = run.started_at
        elif run.finished_at is None:
            running_since = run.started_at
        elif is_wait:
            waited += (run.finished_at - run.started_at).total_seconds()
        else:
            settled += (run.finished_at - run.started_at).total_seconds()
    return WoundClock(
        wound=wound,
        state=_state(wound, runs, event, current),
        budget_seconds=BUDGET_SECONDS[wound],
        elapsed_seconds=settled + _since(running_since, now),
        settled_seconds=settled,
        waited_seconds=waited + _since(waiting_since, now),
        running_since=running_since,
        waiting_since=waiting_since,
    )


def _state(wound: Wound, runs: list[PhaseRun], event: HealingEvent, current: Wound | None) -> ClockState:
    if wound == current:
        return "waiting" if event.phase == Phase.AWAITING_APPROVAL else "running"
    if not runs:
        order = list(Wound)
        ahead = current is not None and order.index(wound) > order.index(current)
        return "ahead" if ahead else "skipped"
    return "failed" if runs[-1].state == PhaseRunState.FAILED else "done"


def _since(start: datetime | None, now: datetime) -> float:
    return max(0.0, (now - start).total_seconds()) if start else 0.0


def healing_seconds(event: HealingEvent, clocks: Iterable[WoundClock], now: datetime) -> float:
    """From detection to the end (or now), without the time people took."""
    waited = sum(clock.waited_seconds for clock in clocks)
    end = event.finished_at or now
    return max(0.0, (end - event.detected_at).total_seconds() - waited)
