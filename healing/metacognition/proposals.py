"""Plans as strategies keep them, the digest approvals are bound to, and the question to people."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from healing.actions.base import Plan
from healing.models import Approval, ApprovalState, HealingEvent, Strategy
from healing.policies.spec import PolicySpec, Risk


def steps_of(plans: Sequence[Plan]) -> list[dict[str, Any]]:
    """As `Strategy.steps` keeps them."""
    return [
        {
            "action": str(plan.action),
            "target": plan.target.as_json(),
            "parameters": plan.parameters,
            "plan": plan.as_json(),
            "digest": plan.digest,
        }
        for plan in plans
    ]


def digest_of(steps: list[dict[str, Any]]) -> str:
    """What approvals are bound to: what would be sent, to whom, in which order."""
    return hashlib.sha256("/".join(step["digest"] for step in steps).encode()).hexdigest()


def ask(event: HealingEvent, strategy: Strategy, policy: PolicySpec, reason: str, now: datetime) -> Approval:
    """A new question about the strategy's plan; one that was open is out of date."""
    event.approvals.filter(state=ApprovalState.OPEN).update(state=ApprovalState.STALE, decided_at=now)
    return Approval.objects.create(
        event=event,
        strategy=strategy,
        digest=strategy.digest,
        risk=strategy.risk,
        reason=reason,
        required=policy.approval.required_approvals.of(Risk(strategy.risk)),
        created_at=now,
        expires_at=now + timedelta(seconds=policy.approval.expire_after_seconds),
    )
