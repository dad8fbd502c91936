"""What the decision card shows to one reader: who has approved, who has it in hand, what this person may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.utils.translation import gettext as _, ngettext

from healing.access import Capability, grants_of
from healing.access.roles import refusal
from healing.actions import guardrails
from healing.approvals import permissions
from healing.approvals.holds import MAX_HELD_SECONDS, MIN_SECONDS
from healing.lifecycle import TRANSITIONS, Phase
from healing.models import Approval, ApprovalState, ApprovalVote, HealingEvent, Takeover
from healing.policies.spec import Risk

_HOLD_CHOICES_MINUTES = (10, 30, 60, 120)


@dataclass(frozen=True, slots=True)
class DecisionView:
    """Empty reasons mean: this person may. ``has_approved``: this reader's own yes is among the votes."""

    why_not_decide: str
    why_not_approve: str
    why_not_operate: str
    votes: Sequence[ApprovalVote] = ()
    required: int = 1
    is_held: bool = False
    may_end_hold: bool = False
    hold_minutes: Sequence[int] = ()
    takeover: Takeover | None = None
    may_end_takeover: bool = False
    can_be_taken: bool = False
    has_approved: bool = False

    @property
    def progress(self) -> str:
        """ "1 of 2, waiting for a second person"; empty where one is enough."""
        if self.required <= 1:
            return ""
        missing = self.required - len(self.votes)
        values = {"given": len(self.votes), "required": self.required, "count": missing}
        if self.required == 2 and missing == 1:
            return _("%(given)s of %(required)s, waiting for a second person") % values
        text = ngettext(
            "%(given)s of %(required)s, %(count)s more are needed",
            "%(given)s of %(required)s, %(count)s more are needed",
            missing,
        )
        return text % values


def decision_view(event: HealingEvent, approvals: Sequence[Approval], user: User, now: datetime) -> DecisionView:
    """A handful of queries while somebody is asked, two otherwise."""
    grants = grants_of(user)
    place = {"cluster": event.cluster, "namespace": event.target_namespace}
    may = {capability: grants.may(capability, **place) for capability in (Capability.DECIDE, Capability.OPERATE)}
    operate = "" if may[Capability.OPERATE] else refusal(grants, Capability.OPERATE, **place)
    takeover = event.takeovers.filter(ended_at=None).first()
    takeable = takeover is None and (
        event.phase == Phase.AWAITING_APPROVAL or Phase.AWAITING_APPROVAL in TRANSITIONS[Phase(event.phase)]
    )
    approval = next((a for a in approvals if a.state == ApprovalState.OPEN), None)
    if approval is None:
        decide = "" if may[Capability.DECIDE] else refusal(grants, Capability.DECIDE, **place)
        mine = takeover is not None and (takeover.by_id == user.pk or not decide)
        return DecisionView(
            decide, decide, operate, takeover=takeover, may_end_takeover=mine, can_be_taken=takeable and not operate
        )
    policy, _found = guardrails.current_policy(event)
    approval.event = event
    decide = permissions.why_not_decide(user, event, policy)
    approve = permissions.why_not_approve(user, approval, policy)
    votes = permissions.counted_votes(approval, policy)
    required = max(approval.required, policy.approval.required_approvals.of(Risk(approval.risk)))
    has_approved = not approve and any(vote.user_id == user.pk for vote in votes)
    if has_approved:
        approve = _("You have approved this already; somebody else has to as well.")
    held = approval.is_held(now)
    left = MAX_HELD_SECONDS - approval.held_seconds
    return DecisionView(
        why_not_decide=decide,
        why_not_approve=approve,
        why_not_operate=operate,
        votes=votes,
        required=required,
        is_held=held,
        may_end_hold=held and (approval.held_by_id == user.pk or not decide),
        hold_minutes=[m for m in _HOLD_CHOICES_MINUTES if MIN_SECONDS <= m * 60 <= left],
        takeover=takeover,
        can_be_taken=takeable and not operate,
        has_approved=has_approved,
    )
