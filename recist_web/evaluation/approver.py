"""A person's stand-in: reads what waits for a decision, and approves it the way the dashboard does."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser

from healing.approvals import service
from healing.models import Approval, ApprovalState
from recist_web.people import APPROVERS, ensure_roles

log = structlog.get_logger(__name__)

NAME = "evaluator"
#: how long the stand-in takes to read a plan
READING_SECONDS = 1.0


def ensure_evaluator() -> AbstractBaseUser:
    """The user that approves. It cannot sign in."""
    groups = ensure_roles()
    user_model = get_user_model()
    user = user_model.objects.filter(username=NAME).first()
    if user is None:
        user = user_model.objects.create_user(NAME)
        user.groups.add(groups[APPROVERS])
    return user


class Approver:
    """``leaves``: called with the cluster's name and the event's target; true: this one is not to be approved."""

    def __init__(self, user: AbstractBaseUser, leaves: Callable[[str, dict[str, str]], bool]) -> None:
        self._user = user
        self._leaves = leaves

    def look(self, clusters: Collection[str]) -> int:
        """Approve what has waited long enough to be read. Returns how many."""
        read_by = datetime.now(UTC) - timedelta(seconds=READING_SECONDS)
        waiting = Approval.objects.filter(
            state=ApprovalState.OPEN, event__cluster__in=clusters, created_at__lte=read_by
        ).select_related("event")
        return sum(self._decide(approval) for approval in waiting)

    def _decide(self, approval: Approval) -> bool:
        event = approval.event
        target: dict[str, Any] = {
            "kind": event.target_kind,
            "namespace": event.target_namespace,
            "name": event.target_name,
        }
        if self._leaves(event.cluster, target):
            return False
        try:
            service.approve(
                approval.pk, by=self._user, digest=approval.digest, comment="approved by the evaluation's stand-in"
            )
        except service.DecisionError as error:
            log.info("not approved", event_name=event.name, reason=str(error))
            return False
        return True
