"""Who may decide about an event, and whose word counts for a question."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User

from healing.access import Capability, Role, why_not
from healing.actions import guardrails
from healing.faults import SignalSource
from healing.models import Approval, ApprovalVote, HealingEvent
from healing.policies.spec import PolicySpec, Risk

APPROVER_GROUP = str(Role.APPROVER)
GROUP_PREFIX = "group:"

Person = AbstractBaseUser | AnonymousUser


def why_not_at(user: Person, capability: Capability, event: HealingEvent) -> str:
    """As `healing.access.why_not`, at the event's place."""
    return why_not(user, capability, cluster=event.cluster, namespace=event.target_namespace)


def why_not_decide(user: Person, event: HealingEvent, policy: PolicySpec | None = None) -> str:
    """Why this person may not approve, reject or override here; empty: they may."""
    refusal = why_not_at(user, Capability.DECIDE, event)
    if refusal:
        return refusal
    named = (policy or guardrails.current_policy(event)[0]).approval.approvers
    if not named or _is_named(user, named):
        return ""
    return f"The policy {event.policy_name} names who decides here, and you are not among them. Ask {_people(named)}."


def why_not_approve(user: Person, approval: Approval, policy: PolicySpec | None = None) -> str:
    """As `why_not_decide`; and nobody's word counts for what they started or wrote themselves."""
    event = approval.event
    policy = policy or guardrails.current_policy(event)[0]
    refusal = why_not_decide(user, event, policy)
    if refusal or policy.approval.self_approval:
        return refusal
    if user.pk is not None and user.pk == approval.strategy.author_id:
        return "You chose or edited this plan yourself: somebody else has to approve it. You can reject it."
    if is_triggered_by(user, event):
        return (
            "You reported this fault yourself: somebody else has to approve what is done about it. You can reject it."
        )
    return ""


def is_triggered_by(user: Person, event: HealingEvent) -> bool:
    """Whether this person's report started the event."""
    first = event.signals[0] if event.signals else {}
    if first.get("source") != SignalSource.PERSON or not isinstance(user, User):
        return False
    return bool((first.get("data") or {}).get("reportedBy") == user.get_username())


def required(approval: Approval, policy: PolicySpec) -> int:
    """How many different people have to agree: what was asked for, or more if the policy asks for more by now."""
    return max(approval.required, policy.approval.required_approvals.of(Risk(approval.risk)))


def counted_votes(approval: Approval, policy: PolicySpec) -> list[ApprovalVote]:
    """Who agrees with this very plan and may still say so, first come first."""
    votes = approval.votes.select_related("user").filter(digest=approval.digest)
    return [vote for vote in votes if vote.user is not None and not why_not_approve(vote.user, approval, policy)]


def _is_named(user: Person, named: Sequence[str]) -> bool:
    if not isinstance(user, User):
        return False
    groups = [name.removeprefix(GROUP_PREFIX) for name in named if name.startswith(GROUP_PREFIX)]
    return user.get_username() in named or (bool(groups) and user.groups.filter(name__in=groups).exists())


def _people(named: Sequence[str]) -> str:
    shown = [name.replace(GROUP_PREFIX, "somebody of the group ") for name in named[:5]]
    return " or ".join([*shown, *(["one of the others"] if len(named) > 5 else [])])
