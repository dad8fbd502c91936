"""What the limits need to know besides the plan: read from the database, once a look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Max, Q, QuerySet

from healing.actions import brakes
from healing.lifecycle import Phase
from healing.models import ActionRun, ActionState, HealingEvent, Policy
from healing.policies import first_day
from healing.policies.spec import PolicySpec
from healing.ports.cluster import ObjectRef

#: Written down as sent, and nobody knows yet whether it has arrived.
_IS_BEING_SENT = Q(state=ActionState.APPLYING, event__finished_at=None)


@dataclass(frozen=True, slots=True)
class Situation:
    """What the limits need to know besides the plan; read from the database once (see `situation_of`)."""

    #: as it is now, which may be stricter or laxer than when the event was opened
    policy: PolicySpec
    #: why there is no policy any more; empty: there is
    policy_problem: str
    event_namespace: str
    #: events of the policy that are being healed before this one
    healings_before: int
    #: strategies carried out for this workload in the last hour
    actions_last_hour: int
    #: since an action of another event on this workload
    seconds_since_action: float | None
    is_approved: bool = False
    is_containment: bool = False
    cluster: str = ""
    #: the freeze window that it is in, and when it ends
    frozen: tuple[str, datetime] | None = None
    #: healings of this workload that failed one after another
    failed_healings: int = 0
    #: different faults in the cluster at the same time
    faults_at_once: int = 0


def situation_of(
    event: HealingEvent,
    now: datetime,
    *,
    is_approved: bool = False,
    is_containment: bool = False,
    target: ObjectRef | None = None,
) -> Situation:
    """Read what the limits need to know. ``target``: what would be acted on, where it is known; what others do to it
    counts as well as what was done for the event's own."""
    policy, problem = current_policy(event)
    begun = ActionRun.objects.filter(
        event=event, strategy__attempt=event.attempt, state__in=(ActionState.APPLYING, ActionState.APPLIED)
    ).exists()
    on_workload = _strategies_on(event, target)
    last = on_workload.exclude(event=event).aggregate(last=Max("applied_at"))["last"]
    if on_workload.exclude(event=event).filter(_IS_BEING_SENT).exists():
        last = now
    return Situation(
        policy=policy,
        policy_problem=problem,
        event_namespace=event.target_namespace,
        # What has begun is carried through: these limits are about beginning.
        healings_before=0 if begun else _healings_before(event),
        actions_last_hour=0
        if begun
        else on_workload.filter(Q(applied_at__gte=now - timedelta(hours=1)) | _IS_BEING_SENT)
        .exclude(event=event, strategy__attempt=event.attempt)
        .values("strategy")
        .distinct()
        .count(),
        seconds_since_action=max(0.0, (now - last).total_seconds()) if last and not begun else None,
        is_approved=is_approved,
        is_containment=is_containment,
        cluster=event.cluster,
        frozen=brakes.frozen_until(policy, now),
        failed_healings=0 if is_containment else brakes.failed_healings(event, now),
        faults_at_once=0 if is_containment else brakes.faults_at_once(event, now),
    )


def _strategies_on(event: HealingEvent, target: ObjectRef | None) -> QuerySet[ActionRun]:
    """Actions of strategies for the event's workload, or on the target itself."""
    here = Q(
        event__target_kind=event.target_kind,
        event__target_namespace=event.target_namespace,
        event__target_name=event.target_name,
    )
    if target is not None:
        named = {"target__kind": target.kind, "target__name": target.name}
        here |= Q(**named, target__namespace=target.namespace) if target.namespace else Q(**named)
    rows = ActionRun.objects.filter(here, event__cluster=event.cluster, strategy__isnull=False)
    return rows.filter(Q(applied_at__isnull=False) | _IS_BEING_SENT)


def _healings_before(event: HealingEvent) -> int:
    """Events of the policy that are being healed, or are to be before this one: of those that are about to act the
    oldest goes first, so that they do not all wait for each other."""
    has_begun = Q(
        phase=Phase.HEALING,
        actions__strategy__attempt=F("attempt"),
        actions__state__in=(ActionState.APPLYING, ActionState.APPLIED),
    )
    before = HealingEvent.objects.filter(
        Q(phase=Phase.VERIFYING) | Q(phase=Phase.HEALING, pk__lt=event.pk) | has_begun,
        cluster=event.cluster,
        policy=event.policy,
    )
    return before.exclude(pk=event.pk).distinct().count()


def current_policy(event: HealingEvent) -> tuple[PolicySpec, str]:
    """The event's policy as it is now, and what is wrong with it (the snapshot stands in for one that is gone)."""
    row = Policy.objects.filter(pk=event.policy_id).first() if event.policy_id else None
    if row is None:
        problem = f"policy {event.policy_name} was deleted" if event.policy_name else ""
        return event.policy_spec, problem
    return first_day.effective(row, row.parsed()), "" if row.enabled else f"policy {row} is switched off"
