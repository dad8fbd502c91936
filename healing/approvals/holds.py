"""Stop a question's clock for a while: somebody is looking. Bounded, with a name and a reason."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User

from healing import engine
from healing.access import Capability
from healing.approvals import permissions
from healing.approvals.errors import DecisionError, Held, NotAllowed
from healing.approvals.service import Case, opened, person_note, record_decision
from healing.audit import Actor
from healing.models import Approval

#: All holds of one question together: nobody can put it off for ever.
MAX_HELD_SECONDS = 2 * 3600.0
MIN_SECONDS = 60


def hold(approval_id: int, *, by: User, seconds: int, reason: str, actor: Actor | None = None) -> Approval:
    """Nobody can let it run until the hold ends, and it does not expire meanwhile."""
    if not reason.strip():
        raise DecisionError("Say why you hold it: others wait for you.")
    with opened(approval_id) as case:
        approval, now = case.approval, case.now
        if refusal := permissions.why_not_at(by, Capability.OPERATE, case.event):
            raise NotAllowed(refusal)
        if approval.is_held(now):
            raise Held(approval)
        left = MAX_HELD_SECONDS - approval.held_seconds
        if left < MIN_SECONDS:
            raise DecisionError(
                "It was held for two hours in all, which is as long as it can be. Decide, or take over."
            )
        if seconds < MIN_SECONDS or seconds > left:
            raise DecisionError(f"It can be held for 1 to {left // 60:.0f} minutes; that would be {seconds / 60:.0f}.")
        approval.held_until = now + timedelta(seconds=seconds)
        approval.held_by, approval.held_by_name, approval.hold_reason = by, str(by), reason
        approval.held_seconds += seconds
        approval.expires_at += timedelta(seconds=seconds)
        approval.save()
        message = f"{by} holds this until {approval.held_until:%H:%M} UTC: {reason}"
        engine.add_note(case.event.pk, person_note("held", message, by, approval, reason))
        record_decision("approval.held", case, by, actor, reason, seconds=seconds)
        return approval


def end_hold(approval_id: int, *, by: User, actor: Actor | None = None) -> Approval:
    """Before its time: by who holds it, or by anybody who may decide."""
    with opened(approval_id) as case:
        approval = case.approval
        if not approval.is_held(case.now):
            raise DecisionError("Nobody holds it.")
        if approval.held_by_id != by.pk and (refusal := permissions.why_not_decide(by, case.event, case.policy)):
            raise NotAllowed(refusal)
        _end(case)
        message = f"{by} ended the hold."
        engine.add_note(case.event.pk, person_note("hold-ended", message, by, approval, ""))
        record_decision("approval.released", case, by, actor, "")
        return approval


def _end(case: Case) -> None:
    approval = case.approval
    assert approval.held_until is not None
    unused = approval.held_until - case.now
    approval.expires_at -= unused
    approval.held_seconds -= unused.total_seconds()
    approval.held_until = None
    approval.save()
