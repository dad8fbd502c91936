"""Every limit on what automation may do, in one place; checked when planning and again right before sending.

A limit that is reached is a `Refusal`: it says which limit, what it was about and how to lift it. Three kinds: what
nobody may do under this policy, what needs a person's approval, and what only has to wait.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from django.db import connection

from healing import shared_clock, telemetry
from healing.actions import brakes, fresh_edits, restarts, room, template_patch, temporary
from healing.actions.base import Plan
from healing.actions.limits import LIMITS, Kind, Refusal, Refused
from healing.actions.reading import WORKLOAD_KINDS, workload_of_pod
from healing.actions.situation import Situation, current_policy, situation_of
from healing.models import HealingEvent
from healing.policies.spec import CONTAINMENT_ACTIONS, SYSTEM_NAMESPACES, ActionName
from healing.ports.cluster import Cluster, ObjectRef
from healing.ports.errors import NotFound

__all__ = [
    "LIMITS",
    "Kind",
    "Refusal",
    "Refused",
    "Situation",
    "check",
    "current_policy",
    "gate",
    "of_fresh_edits",
    "situation_of",
]

#: These end something of ours: no limit on doing things may keep us from undoing them.
_ENDS_OUR_OWN = frozenset({ActionName.RELEASE, ActionName.RESUME_ROLLOUT, ActionName.UNCORDON})
#: These take pods away and change nothing else: the same program starts anew.
_CHANGES_NOTHING = restarts.RESTARTS | {ActionName.EVICT, ActionName.RELEASE, ActionName.DELETE_STUCK_POD}
#: Taken in PostgreSQL by whoever is about to act, until that is written down.
_LOCK = 0x4EC15701
#: A cooldown that is over soon is waited for; for a longer one a person is asked.
_WAITS_AT_MOST_SECONDS = 60.0


def gate(event: HealingEvent, plan: Plan, *, is_approved: bool) -> None:
    """Called in the transaction that writes down that the plan is sent now. Raises `Refused`.

    Workers of one cluster pass one after another, and each reads what those before it have written: two of them never
    pass the same limit. What was thrown in since the plan was checked (the kill switch, a pause, another policy) holds
    here too, for every step of a strategy."""
    _wait_for_turn(event.cluster)
    situation = situation_of(event, shared_clock.now(), is_approved=is_approved, target=plan.target)
    found = [*_of_brakes(situation), *_of_policy(plan, situation), *_of_frequency(situation)]
    refusals = _counted([r for r in found if not (r.kind is Kind.ASK and is_approved)])
    if refusals:
        raise Refused(refusals)


def _wait_for_turn(cluster: str) -> None:
    # SQLite has one writer at a time (its transactions begin IMMEDIATE).
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK, zlib.crc32(cluster.encode()) - 2**31])


def check(
    plan: Plan, situation: Situation, cluster: Cluster, *, among: Sequence[Plan] = (), timeout_seconds: float
) -> list[Refusal]:
    """All limits that this plan reaches; empty: go ahead. ``among``: all plans of its strategy, where there are more: a
    restart that has a correction read is another thing than one alone. Raises `healing.ports.errors`."""
    if plan.action in _ENDS_OUR_OWN and situation.is_containment:
        return []
    found = [
        *_of_brakes(situation),
        *_of_policy(plan, situation),
        *_of_scope(plan, situation, cluster, timeout_seconds),
    ]
    is_mere = all(one.action in _CHANGES_NOTHING for one in (plan, *among))
    found += _of_health(plan, situation, is_mere=is_mere)
    if is_mere:
        found += restarts.refusals(plan, cluster, timeout_seconds=timeout_seconds)
    found += [*_of_nodes(plan, cluster, timeout_seconds), *_of_owners(plan, situation), *_of_frequency(situation)]
    found += of_fresh_edits(plan, situation, cluster, timeout_seconds=timeout_seconds)
    return _counted([r for r in found if not (r.kind is Kind.ASK and situation.is_approved)])


def _counted(refusals: list[Refusal]) -> list[Refusal]:
    for refusal in refusals:
        telemetry.count("recist_guardrail_refusals_total", refusal.limit, str(refusal.kind))
    return refusals


def _of_brakes(situation: Situation) -> list[Refusal]:
    """What stops automation as a whole."""
    limits, found = situation.policy.limits, []
    halt = brakes.halt_of(situation.cluster)
    if halt is not None:
        by = f" by {halt.created_by}" if halt.created_by else ""
        message = f"Automation was halted{by}: {halt.reason}"
        found.append(Refusal("halt", Kind.FORBID, message, "lift the halt in the admin site or by the API"))
    if situation.frozen is not None:
        window, ends = situation.frozen
        message = f"Changes are frozen until {ends:%Y-%m-%d %H:%M %Z} ({window})."
        found.append(Refusal("freezeWindows", Kind.ASK, message, "approve it, or change limits.freezeWindows"))
    if limits.circuit_breaker_failures and situation.failed_healings >= limits.circuit_breaker_failures:
        message = f"The last {situation.failed_healings} healings of this workload failed."
        lift = "approve it, or reset its circuit breaker once you have looked at it"
        found.append(Refusal("circuitBreakerFailures", Kind.ASK, message, lift))
    if limits.storm_faults and situation.faults_at_once >= limits.storm_faults:
        message = f"{situation.faults_at_once} different things are at fault in the cluster at once."
        found.append(Refusal("stormFaults", Kind.ASK, message, "approve it, or raise limits.stormFaults"))
    return found


def _of_policy(plan: Plan, situation: Situation) -> list[Refusal]:
    policy = situation.policy
    found = []
    if situation.policy_problem:
        found.append(
            Refusal("policy", Kind.FORBID, f"The {situation.policy_problem}.", "restore it or heal this by hand")
        )
    if policy.paused:
        found.append(Refusal("paused", Kind.FORBID, "The policy is paused.", "set paused to false"))
    if policy.autonomy == "observe":
        found.append(
            Refusal(
                "autonomy",
                Kind.FORBID,
                "ReCiSt only observes here: so the policy says, or it is the cluster's first day.",
                "set the policy's autonomy to propose or heal",
            )
        )
    elif policy.autonomy == "propose":
        kind = Kind.FORBID if situation.is_containment else Kind.ASK
        found.append(Refusal("autonomy", kind, "The policy only proposes.", "approve it, or set autonomy to heal"))
    if not _is_allowed(plan.action, situation):
        found.append(
            Refusal(
                "allowedActions",
                Kind.FORBID,
                f"The policy does not allow {plan.action}.",
                f"add {plan.action} to allowedActions",
            )
        )
    return found


def _is_allowed(action: ActionName, situation: Situation) -> bool:
    policy = situation.policy
    if action in policy.allowed_actions or action in _ENDS_OUR_OWN:
        return True
    if action not in CONTAINMENT_ACTIONS or not situation.is_containment:
        return False
    if action is ActionName.CORDON:
        return policy.containment.cordon_nodes
    if action is ActionName.PAUSE_ROLLOUT:
        return policy.containment.pause_rollouts
    return policy.containment.mode != "off"


def _of_scope(plan: Plan, situation: Situation, cluster: Cluster, timeout_seconds: float) -> list[Refusal]:
    target, policy = plan.target, situation.policy
    if target.kind == "Node":
        # Nodes have no namespace, and cordoning them has its own switch; the pods that are moved have one.
        namespaces = [str(pod).partition("/")[0] for pod in plan.parameters.get("pods", ())]
    else:
        namespaces = [target.namespace]
    for namespace in dict.fromkeys(namespaces):
        if namespace in policy.target_namespaces:
            continue
        system = " (a namespace of the cluster itself)" if target.namespace in SYSTEM_NAMESPACES else ""
        return [
            Refusal(
                "targetNamespaces",
                Kind.FORBID,
                f"Namespace {target.namespace}{system} is not covered by the policy.",
                f"add {target.namespace} to targetNamespaces",
            )
        ]
    if not policy.target_labels or plan.action in _ENDS_OUR_OWN:  # an isolated pod has lost its labels to us
        return []
    live = _labels_of(target, cluster, timeout_seconds)
    if live is None or policy.target_labels.items() <= live.items():
        return []
    wanted = ", ".join(f"{key}={value}" for key, value in policy.target_labels.items())
    return [
        Refusal("targetLabels", Kind.FORBID, f"{target} does not have the labels {wanted}.", "label it, or the policy")
    ]


def _labels_of(target: ObjectRef, cluster: Cluster, timeout_seconds: float) -> dict[str, str] | None:
    """Of the workload that the target is or belongs to; None where labels of workloads do not apply."""
    if target.kind not in WORKLOAD_KINDS | {"Pod"}:
        return None
    try:
        obj = cluster.get(target.kind, target.namespace, target.name, timeout_seconds=timeout_seconds)
    except NotFound:
        return None
    if target.kind == "Pod":
        workload = workload_of_pod(cluster, obj, timeout_seconds=timeout_seconds)
        obj = workload.obj if workload else obj
    return obj["metadata"].get("labels") or {}


def _of_health(plan: Plan, situation: Situation, *, is_mere: bool) -> list[Refusal]:
    radius, limits = plan.blast_radius, situation.policy.limits
    found = []
    ready, remaining = radius.ready_replicas, radius.remaining_ready
    if ready is not None and remaining is not None and remaining < ready:
        desired = radius.desired_replicas or ready
        percent = 100 * remaining // max(desired, 1)
        if remaining == 0 and not limits.allow_last_replica:
            replaces = plan.action in template_patch.CORRECTIONS or (plan.action in restarts.RESTARTS and not is_mere)
            is_only_one = desired == 1 and replaces and not situation.is_containment
            found.append(_last_replica(plan, is_only_one=is_only_one))
        elif remaining and percent < limits.min_healthy_percent:
            found.append(
                Refusal(
                    "minHealthyPercent",
                    Kind.FORBID,
                    f"{remaining} of {desired} replicas would remain ready ({percent} %).",
                    f"minHealthyPercent is {limits.min_healthy_percent}",
                )
            )
    if plan.action is ActionName.REBIND_VOLUME:
        message = f"{plan.target} gets another volume: which one its data lies on is a person's decision."
        found.append(Refusal("keepsData", Kind.ASK, message, "approve it"))
    # The API server holds evictions to the budget; what replaces ready pods in another way is held to it here.
    is_evicted = plan.action in (ActionName.EVICT, ActionName.ISOLATE)
    fewer = ready is not None and remaining is not None and remaining < ready
    takes_a_ready_pod = ready != remaining if is_evicted else fewer
    if takes_a_ready_pod and radius.disruptions_allowed == 0:
        found.append(
            Refusal(
                "PodDisruptionBudget",
                Kind.FORBID if is_evicted else Kind.ASK,
                f"{radius.disruption_budget}.",
                "wait until more replicas are ready, or change the budget",
            )
        )
    return found


def _last_replica(plan: Plan, *, is_only_one: bool) -> Refusal:
    """Never the last one. Of a workload that has but one replica none can remain while it is corrected, though: whether
    the interruption is worth that, a person says."""
    if is_only_one:
        message = f"{plan.target} has one replica only: nothing of it serves while it is corrected."
        return Refusal(
            "allowLastReplica", Kind.ASK, message, "approve it, set limits.allowLastReplica, or add a replica"
        )
    message = f"No ready replica of {plan.target} would remain."
    return Refusal("allowLastReplica", Kind.FORBID, message, "set limits.allowLastReplica, or add a replica")


def _of_nodes(plan: Plan, cluster: Cluster, timeout_seconds: float) -> list[Refusal]:
    """A cordon takes capacity away, too: from what waits for a place, and from what is made anew next."""
    if plan.action is not ActionName.CORDON:
        return []
    try:
        words = room.after_cordon(cluster, plan.target, timeout_seconds=timeout_seconds)
    except NotFound:
        return []
    if not words:
        return []
    message = f"Without {plan.target} {words}."
    return [Refusal("room", Kind.ASK, message, "make room on other nodes, or cordon it by hand")]


def _of_owners(plan: Plan, situation: Situation) -> list[Refusal]:
    radius = plan.blast_radius
    found = []
    if plan.action is ActionName.SCALE and radius.autoscaler:
        found.append(
            Refusal(
                "autoscaler",
                Kind.FORBID,
                f"The replicas of {plan.target} belong to an autoscaler ({radius.autoscaler}).",
                "change the autoscaler's bounds",
            )
        )
    lasts_for_a_time = temporary.of(plan.parameters) and situation.policy.git_ops.temporary_changes
    overruled = temporary.overruled_lately(situation.cluster, plan.target) if radius.managed_by else None
    if radius.managed_by and (overruled or not lasts_for_a_time):
        message = f"{plan.target} is managed by {radius.managed_by}, which may put this change back."
        if overruled:
            message = f"{plan.target} is managed by {radius.managed_by}, and a change of it was put back already."
        lift = "approve it as a stopgap, and make the same change at its source"
        found.append(Refusal("gitops", Kind.ASK, message, lift))
    return found


def of_fresh_edits(plan: Plan, situation: Situation, cluster: Cluster, *, timeout_seconds: float) -> list[Refusal]:
    """Who has just edited the target may be about to put it right. Containment does not wait: it only stops what
    fails. Raises `healing.ports.errors`."""
    if situation.is_containment or situation.is_approved:
        return []
    now = shared_clock.now()
    edit = fresh_edits.on(cluster, plan.target, now, timeout_seconds=timeout_seconds)
    if edit is None:
        return []
    age = edit.age_seconds(now)
    left = fresh_edits.HOLD_SECONDS - age
    message = f"{edit.ref} was edited by hand ({edit.tool}) {age:.0f} s ago: whoever did may still be at it."
    lift = f"it goes on in {left:.0f} s, or when approved"
    return [Refusal("freshEdit", Kind.WAIT, message, lift, wait_seconds=left)]


def _of_frequency(situation: Situation) -> list[Refusal]:
    limits = situation.policy.limits
    found: list[Refusal] = []
    if situation.is_containment:
        return found
    if situation.actions_last_hour >= limits.max_actions_per_workload_and_hour:
        found.append(
            Refusal(
                "maxActionsPerWorkloadAndHour",
                Kind.ASK,
                f"{situation.actions_last_hour} strategies were carried out here in the last hour.",
                "approve it, or raise limits.maxActionsPerWorkloadAndHour",
            )
        )
    since = situation.seconds_since_action
    if since is not None and since < limits.cooldown_seconds:
        left = limits.cooldown_seconds - since
        found.append(
            Refusal(
                "cooldownSeconds",
                Kind.WAIT if left <= _WAITS_AT_MOST_SECONDS else Kind.ASK,
                f"An action was carried out here {since:.0f} s ago.",
                f"wait {left:.0f} s, approve it, or lower limits.cooldownSeconds",
                wait_seconds=left,
            )
        )
    if situation.healings_before >= limits.max_concurrent_healings:
        found.append(
            Refusal(
                "maxConcurrentHealings",
                Kind.WAIT,
                f"{situation.healings_before} other workloads are being healed.",
                "it goes on when one of them is done; or raise limits.maxConcurrentHealings",
                # Whoever stands further back in the line has longer until their turn, and looks less often.
                wait_seconds=2.0 * (situation.healings_before // limits.max_concurrent_healings),
            )
        )
    return found
