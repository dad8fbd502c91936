"""A question about a real event, without a cluster: for rules of who decides what."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User

from healing.lifecycle import Phase
from healing.models import Approval, ApprovalState, HealingEvent, Policy
from tests.dashboard import cases, story
from tests.people import approver, person


@pytest.fixture
def alice(db: None) -> User:
    return approver("alice")


@pytest.fixture
def bob(db: None) -> User:
    return approver("bob")


@pytest.fixture
def olga(db: None) -> User:
    return person("olga", "operator")


Ask = Callable[..., Approval]


@pytest.fixture
def ask(db: None) -> Ask:
    """``ask(workload, risk=..., **approval)``: an event waits for people under a policy with these approval fields."""

    def make(workload: str = "orders", *, risk: str = "medium", **fields: object) -> Approval:
        policy = story.policy()
        policy.spec = {"targetNamespaces": ["shop"], "approval": fields}
        policy.save()
        now = datetime.now(UTC)
        event = story.play(cases.bad_rollout(now, workload), now, Phase.AWAITING_APPROVAL)
        approval = event.approvals.get(state=ApprovalState.OPEN)
        Approval.objects.filter(pk=approval.pk).update(risk=risk, required=2 if risk == "high" else 1)
        approval.strategy.risk = risk
        approval.strategy.save()
        return Approval.objects.get(pk=approval.pk)

    return make


def event_of(approval: Approval) -> HealingEvent:
    return HealingEvent.objects.get(pk=approval.event_id)


def set_policy(**approval: object) -> None:
    row = Policy.objects.get()
    row.spec = {**row.spec, "approval": approval}
    row.save()
