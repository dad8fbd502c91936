"""From rows to what the API answers with."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from healing.api.schemas import (
    ActionItem,
    ApprovalItem,
    EventDetail,
    EventItem,
    ObjectName,
    PhaseItem,
    StrategyItem,
    TimelineItem,
)
from healing.dashboard.event_view import EventView
from healing.models import Approval, HealingEvent


def event_item(event: HealingEvent) -> EventItem:
    """An event for a list."""
    return EventItem(**_common(event))


def event_detail(view: EventView) -> EventDetail:
    """An event with everything that belongs to it."""
    event = view.event
    return EventDetail(
        **_common(event),
        signals=event.signals,
        cause_object=event.cause_object,
        diagnosis=event.diagnosis,
        story=view.story,
        phases=[
            PhaseItem(
                phase=clock.wound,
                state=clock.state,
                elapsed_seconds=round(clock.elapsed_seconds, 3),
                waited_seconds=round(clock.waited_seconds, 3),
                budget_seconds=clock.budget_seconds,
                over_budget=clock.over_budget,
            )
            for clock in view.clocks
        ],
        healing_seconds=round(view.healing_seconds, 3),
        timeline=[TimelineItem.model_validate(entry) for entry in view.timeline],
        strategies=[StrategyItem.model_validate(s.row) for s in view.strategies],
        approvals=[approval_item(approval) for approval in view.approvals],
        actions=[ActionItem.model_validate(action) for action in view.actions],
        knowledge_ref=event.knowledge_ref,
    )


def approval_item(approval: Approval) -> ApprovalItem:
    """An approval with the names of its event and strategy."""
    return ApprovalItem(
        id=approval.pk,
        event=approval.event.name,
        strategy_id=approval.strategy_id,
        strategy=approval.strategy.title,
        digest=approval.digest,
        risk=approval.risk,
        reason=approval.reason,
        state=approval.state,
        created_at=approval.created_at,
        expires_at=approval.expires_at,
        decided_at=approval.decided_at,
        decided_by=approval.decided_by_name,
        comment=approval.comment,
        required=approval.required,
        approved_by=[vote.name for vote in approval.votes.all()],
        held_until=approval.held_until,
        held_by=approval.held_by_name,
        hold_reason=approval.hold_reason,
    )


def _common(event: HealingEvent) -> dict[str, Any]:
    return {
        "name": event.name,
        "cluster": event.cluster,
        "target": ObjectName(kind=event.target_kind, namespace=event.target_namespace, name=event.target_name),
        "symptom": event.symptom,
        "message": event.message,
        "severity": event.severity,
        "phase": event.phase,
        "status": event.status,
        "cause": event.cause,
        "confidence": event.confidence,
        "outcome": event.outcome,
        "outcome_reason": event.outcome_reason,
        "occurrences": event.occurrences,
        "detected_at": event.detected_at,
        "finished_at": event.finished_at,
        "waited_seconds": event.waited_seconds,
        "policy": event.policy_name,
        "page": reverse("dashboard:event", args=[event.name]),
    }
