"""Counts finished events once, into `EventFigures`: what the Insight page and its API add up."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Max, Prefetch, QuerySet

from healing import shared_clock
from healing.clocks import wound_clocks
from healing.lifecycle import Wound
from healing.models import (
    ActionRun,
    ActionState,
    Approval,
    ApprovalState,
    EventFigures,
    HealingEvent,
    Involvement,
    PhaseRun,
    Strategy,
    StrategyState,
    Takeover,
    TakeoverEnd,
)

#: Clocks of different machines differ, and what is committed late may have ended before what is counted already.
LOOK_BACK = timedelta(hours=1)
CHUNK = 500
#: A person said what is to happen.
DECIDED = (
    ApprovalState.APPROVED,
    ApprovalState.REJECTED,
    ApprovalState.OVERRIDDEN,
    ApprovalState.EDITED,
    ApprovalState.TAKEN,
)
_COLUMNS = (
    "cluster",
    "target_namespace",
    "cause",
    "policy_name",
    "source",
    "outcome",
    "phase",
    "detected_at",
    "healed_at",
    "finished_at",
    "waited_seconds",
)


def count_finished(most: int = 5000) -> int:
    """Count what has ended since the last time, the oldest first, at most so many; returns how many there were."""
    done = 0
    while done < most:
        events = list(_uncounted().order_by("finished_at", "pk")[:CHUNK])
        if not events:
            break
        # Two may count at once: the unique event keeps it at one row each.
        EventFigures.objects.bulk_create([figures_of(event) for event in events], ignore_conflicts=True)
        done += len(events)
    return done


def _uncounted() -> QuerySet[HealingEvent]:
    newest = EventFigures.objects.aggregate(at=Max("finished_at"))["at"]
    events = HealingEvent.objects.filter(finished_at__isnull=False, figures=None)
    if newest is not None:
        events = events.filter(finished_at__gte=newest - LOOK_BACK)
    runs = PhaseRun.objects.only("event_id", "phase", "state", "started_at", "finished_at", "result")
    return events.only(*_COLUMNS).prefetch_related(
        Prefetch("phase_runs", runs),
        Prefetch("approvals", Approval.objects.only("event_id", "state", "decided_by_name")),
        Prefetch("takeovers", Takeover.objects.only("event_id", "end")),
        Prefetch("strategies", Strategy.objects.only("event_id", "state")),
        Prefetch("actions", ActionRun.objects.only("event_id", "strategy_id", "state", "applied_at")),
    )


def figures_of(event: HealingEvent) -> EventFigures:
    """The event in numbers (not saved). It has to have ended."""
    end = event.finished_at or shared_clock.now()
    clocks = {clock.wound: clock for clock in wound_clocks(event, list(event.phase_runs.all()), end)}
    seconds = {
        wound: round(clock.elapsed_seconds, 3) if clock.state in ("done", "failed") else None
        for wound, clock in clocks.items()
    }
    actions = list(event.actions.all())
    total = ((event.healed_at or end) - event.detected_at).total_seconds() - event.waited_seconds
    return EventFigures(
        event=event,
        cluster=event.cluster,
        namespace=event.target_namespace,
        cause=event.cause,
        policy_name=event.policy_name,
        source=event.source,
        outcome=event.outcome,
        involvement=_involvement(event),
        acted=any(action.strategy_id is not None and action.applied_at is not None for action in actions),
        detected_at=event.detected_at,
        finished_at=end,
        containment_seconds=seconds[Wound.CONTAINMENT],
        diagnosis_seconds=seconds[Wound.DIAGNOSIS],
        metacognition_seconds=seconds[Wound.METACOGNITION],
        knowledge_seconds=seconds[Wound.KNOWLEDGE],
        total_seconds=round(max(0.0, total), 3),
        waited_seconds=round(event.waited_seconds, 3),
        undone=sum(strategy.state == StrategyState.UNDONE for strategy in event.strategies.all()),
        undo_failed=sum(action.state == ActionState.UNDO_FAILED for action in actions),
    )


def _involvement(event: HealingEvent) -> Involvement:
    if any(takeover.end != TakeoverEnd.RELEASED for takeover in event.takeovers.all()):
        return Involvement.HAND
    if any(approval.state in DECIDED and approval.decided_by_name for approval in event.approvals.all()):
        return Involvement.DECIDED
    return Involvement.NONE
