"""The clocks people read: how long each of the four wound phases took, against its budget.

Time spent waiting for a person, for another event's healing, or for the cluster to carry out what it was told is kept
apart: it is shown beside the healing time, never inside it. How long it is watched afterwards (the stable period) is
ours.
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
    not: a page that ticks adds the time since ``running_since`` itself. ``stable_seconds`` are part of them;
    ``waited_seconds`` (for people), ``others_seconds`` (other events, limits) and ``cluster_seconds`` are not."""

    wound: Wound
    state: ClockState
    budget_seconds: float
    elapsed_seconds: float
    settled_seconds: float
    waited_seconds: float
    running_since: datetime | None
    waiting_since: datetime | None
    others_seconds: float = 0.0
    cluster_seconds: float = 0.0
    stable_seconds: float = 0.0

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
    settled = waited = others = cluster = stable = 0.0
    running_since = waiting_since = None
    for run in runs:
        if run.phase == Phase.AWAITING_APPROVAL:
            if run.finished_at is None:
                waiting_since = run.started_at
            else:
                waited += (run.finished_at - run.started_at).total_seconds()
            continue
        took = ((run.finished_at or now) - run.started_at).total_seconds()
        since, of_others, of_cluster = _not_ours(run, now)
        others += of_others
        cluster += of_cluster
        stable += float(run.result.get("stableSeconds", 0.0))
        ours = max(0.0, took - of_others - of_cluster)
        if since is not None:
            running_since = since
            ours = max(0.0, ours - _since(since, now))
        settled += ours
    return WoundClock(
        wound=wound,
        state=_state(wound, runs, event, current),
        budget_seconds=BUDGET_SECONDS[wound],
        elapsed_seconds=settled + _since(running_since, now),
        settled_seconds=settled,
        waited_seconds=waited + _since(waiting_since, now),
        running_since=running_since,
        waiting_since=waiting_since,
        others_seconds=others,
        cluster_seconds=cluster,
        stable_seconds=stable,
    )


def _not_ours(run: PhaseRun, now: datetime) -> tuple[datetime | None, float, float]:
    """Since when our own time runs in an open run (None: it does not), and the seconds of others and of the cluster.

    `healing.metacognition.waits` writes what is read here."""
    kept = run.result
    others, cluster = float(kept.get("othersSeconds", 0.0)), float(kept.get("clusterSeconds", 0.0))
    if run.finished_at is not None:
        return None, others, cluster
    if kept.get("waitingSince"):
        return None, others + _since(datetime.fromisoformat(kept["waitingSince"]), now), cluster
    if run.phase == Phase.VERIFYING and kept:
        if not kept.get("wellSince"):
            return None, others, _since(run.started_at, now)
        well = max(datetime.fromisoformat(kept["wellSince"]), run.started_at)
        return well, others, (well - run.started_at).total_seconds()
    return run.started_at, others, cluster


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
