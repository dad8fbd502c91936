"""Changes of what Argo CD or Flux owns: only for a time, and never against them.

Their repository says what an object looks like. A change beside it can help until somebody has made it there as well,
so where the policy allows it, it is made with an end: marked on the object, written down with its time, and put back by
upkeep (`healing.containment.expiry`). If the tool puts it back before, that is its word: it is said, and the same
object is not changed unasked again for a day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from pydantic import Field

from healing import shared_clock
from healing.actions import operations
from healing.actions.base import CannotPlan, Parameters, Plan
from healing.actions.ownership import has_taken_back, is_gitops
from healing.models import ActionRun, ActionState, HealingEvent
from healing.policies.spec import ActionName, PolicySpec
from healing.ports.cluster import Cluster, ObjectRef
from healing.ports.errors import NotFound

#: Beside its own parameters every action takes this one.
PARAMETER = "temporary"
#: On the object, while the change lasts: whose it is, and until when.
CHANGED_BY = "recist.io/temporary-change"
CHANGED_UNTIL = "recist.io/temporary-until"
#: In an action's result: who put it back before its time.
OVERRULED_BY = "overruledBy"
SOMEBODY = "somebody"
#: So long a tool's word holds.
_HOLDS = timedelta(days=1)
#: These have an end of their own, or end something.
_OTHERWISE_BOUND = frozenset(
    {
        ActionName.ISOLATE,
        ActionName.RELEASE,
        ActionName.CORDON,
        ActionName.UNCORDON,
        ActionName.RESUME_ROLLOUT,
        ActionName.DRAIN,
    }
)


class Temporary(Parameters):
    """``until``: ISO 8601 with its zone; part of the plan, so that what a person approves says when it ends."""

    event: str = Field(min_length=1, max_length=63)
    until: datetime


def of(parameters: Mapping[str, Any]) -> Temporary | None:
    """What a plan's parameters say about it. Raises `pydantic.ValidationError`."""
    value = parameters.get(PARAMETER)
    return Temporary.model_validate(value) if value else None


def planned(plan: Plan, event: HealingEvent, policy: PolicySpec) -> Plan:
    """The plan with an end, where its target is owned by a GitOps tool, the policy allows that, and the tool has not
    put a change of ours back lately; else as it is."""
    if not policy.git_ops.temporary_changes or of(plan.parameters) or not _may_be(plan):
        return plan
    if overruled_lately(event.cluster, plan.target):
        return plan
    until = shared_clock.now() + timedelta(seconds=policy.git_ops.expire_after_seconds)
    return added(plan, Temporary(event=event.name, until=until.replace(microsecond=0)))


def added(plan: Plan, temporary: Temporary) -> Plan:
    """The plan, with marks on its target that say whose it is and until when. Raises `CannotPlan` when that is over."""
    until = temporary.until
    if until <= shared_clock.now():
        raise CannotPlan(f"The change was to last until {until:%H:%M} UTC, and that is over.")
    if not _may_be(plan):
        raise CannotPlan(f"It cannot be made for a time only: {plan.summary}")
    marks = {CHANGED_BY: temporary.event, CHANGED_UNTIL: until.isoformat()}
    steps, undo = plan.operations, plan.undo_operations
    is_marked_already = plan.action is ActionName.PAUSE_ROLLOUT  # says itself whose it is
    if not is_marked_already and all(
        operations.addresses(step, plan.target) and step["verb"] == "patch" for step in steps
    ):
        # Before the change: it moves the object's generation on, to which each write is bound.
        steps = (operations.hint(_annotate(plan.target, marks), settled=plan.target), *steps)
        undo = (_annotate(plan.target, dict.fromkeys(marks)), *undo)
    owner = plan.blast_radius.managed_by
    return replace(
        plan,
        summary=f"{plan.summary} Only until {until:%Y-%m-%d %H:%M} UTC, then it is put back by itself: {owner} keeps "
        f"{plan.target.name} as its repository says.",
        operations=steps,
        pre_state={**plan.pre_state, "undo": list(undo)},
        parameters={**plan.parameters, PARAMETER: temporary.model_dump(mode="json", by_alias=True)},
    )


def is_overruled(cluster: Cluster, plan: Plan, *, timeout_seconds: float) -> bool:
    """Whether a change that was made is not there any more. Raises `healing.ports.errors`."""
    return any(
        not operations.is_hint(step) and not operations.is_done(cluster, step, timeout_seconds=timeout_seconds)
        for step in plan.operations
        if step["verb"] == "patch"
    )


def who_overruled(cluster: Cluster, plan: Plan, applied_at: datetime, *, timeout_seconds: float) -> str:
    """The owning tool, where the object's managed fields show that it has written since; else `SOMEBODY`."""
    ref = plan.target
    try:
        live = cluster.get(ref.kind, ref.namespace, ref.name, timeout_seconds=timeout_seconds)
    except NotFound:
        return SOMEBODY
    paths = [change.path for change in plan.changes if change.path and str(change.object) == str(ref)]
    return plan.blast_radius.managed_by if has_taken_back(live, paths, applied_at) else SOMEBODY


def overruled_lately(cluster: str, target: ObjectRef) -> ActionRun | None:
    """A change of ours to this object that was put back before its time, within the last day."""
    since = shared_clock.now() - _HOLDS
    rows = on_target(cluster, target).filter(undone_at__gte=since, state=ActionState.UNDONE)
    return rows.filter(result__has_key=OVERRULED_BY).order_by("-undone_at").first()


def on_target(cluster: str, target: ObjectRef) -> QuerySet[ActionRun]:
    """What was done to an object of this name, by any event of the cluster."""
    named = {"target__kind": target.kind, "target__name": target.name}
    if target.namespace:
        named["target__namespace"] = target.namespace
    return ActionRun.objects.filter(event__cluster=cluster, **named)


def mark_overruled(row: ActionRun, by: str) -> bool:
    """Write down that it was put back by others. False: somebody else has just done so."""
    result = {**row.result, OVERRULED_BY: by}
    changed = ActionRun.objects.filter(pk=row.pk, state=row.state).update(
        state=ActionState.UNDONE, undone_at=shared_clock.now(), result=result
    )
    return bool(changed)


def _may_be(plan: Plan) -> bool:
    """Whether it is a change that can be put back, of what a GitOps tool owns."""
    owner = plan.blast_radius.managed_by
    return is_gitops(owner) and plan.reversible and bool(plan.undo_operations) and plan.action not in _OTHERWISE_BOUND


def _annotate(target: ObjectRef, marks: Mapping[str, str | None]) -> operations.Operation:
    return operations.patch(target, {"metadata": {"annotations": dict(marks)}})
