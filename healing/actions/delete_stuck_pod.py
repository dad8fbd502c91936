"""Delete a stuck pod: one that should be gone and is not, or one of a StatefulSet that keeps a corrected template from
being rolled out (its controller waits for it to become ready, which it never does)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

from healing import shared_clock
from healing.actions import operations
from healing.actions.base import Action, BlastRadius, CannotPlan, Change, Parameters, Plan
from healing.actions.ownership import managed_by
from healing.actions.reading import condition, controller_of, failing_reasons, is_ready, workload_of_pod
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, Object, ObjectRef
from healing.ports.errors import Forbidden, NotFound

#: A pod ends a little later than it should; only one that is long past it is stuck.
_PATIENCE = timedelta(seconds=30)


class DeleteStuckPodParameters(Parameters):
    """None."""


class DeleteStuckPod(Action[DeleteStuckPodParameters]):
    """Never one that serves. Without its node's word only where that cannot make two of what must be one."""

    name = ActionName.DELETE_STUCK_POD
    title = "Delete the stuck pod"
    kinds = frozenset({"Pod"})
    permissions: ClassVar = (("get", "Pod"), ("delete", "Pod"), ("get", "Node"))
    parameters = DeleteStuckPodParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: DeleteStuckPodParameters, *, timeout_seconds: float
    ) -> Plan:
        try:
            pod = cluster.get("Pod", target.namespace, target.name, timeout_seconds=timeout_seconds)
        except NotFound as error:
            raise CannotPlan(f"{target} is gone.") from error
        ref, owner = ObjectRef.of(pod, "Pod"), controller_of(pod)
        if target.uid and ref.uid != target.uid:
            raise CannotPlan(f"{target} is gone; another pod has its name now.")
        if owner is None:
            raise CannotPlan(f"{ref} has no controller: once it is gone, nobody makes it anew.")
        if is_ready(pod):
            raise CannotPlan(f"{ref} is ready.")
        is_ending = "deletionTimestamp" in pod["metadata"]
        if is_ending:
            risk, reason = _ending(cluster, pod, ref, owner, timeout_seconds)
        else:
            risk, reason = _failing(pod, ref, owner)
        workload = None if is_ending else workload_of_pod(cluster, pod, timeout_seconds=timeout_seconds)
        return Plan(
            action=self.name,
            target=ref,
            generation=0,
            summary=f"Delete {ref}{' without waiting for its node' if is_ending else ''}; {owner.kind} {owner.name} "
            "makes a new one.",
            changes=(Change(ref, "", "exists", "replaced"),),
            operations=(operations.force_delete(ref) if is_ending else operations.delete(ref),),
            pre_state={"node": pod["spec"].get("nodeName", ""), "isEnding": is_ending},
            risk=risk,
            risk_reason=reason,
            reversible=True,
            undo_summary="Nothing to put back: the controller has made a new pod.",
            blast_radius=BlastRadius(pods=1, managed_by=managed_by(workload.obj) if workload else ""),
            parameters={},
        )


def is_stuck(pod: Object, now: datetime) -> bool:
    """Whether it should have been gone for a while. ``deletionTimestamp`` is when it should be gone."""
    due = pod["metadata"].get("deletionTimestamp")
    return bool(due) and now >= datetime.fromisoformat(due) + _PATIENCE


def _ending(
    cluster: Cluster, pod: Object, ref: ObjectRef, owner: ObjectRef, timeout_seconds: float
) -> tuple[Risk, str]:
    if not is_stuck(pod, shared_clock.now()):
        raise CannotPlan(f"{ref} is being deleted, and has still time to end.")
    if pod["metadata"].get("finalizers"):
        raise CannotPlan(f"{ref} is kept by finalizers: {', '.join(pod['metadata']['finalizers'])}.")
    node = pod["spec"].get("nodeName", "")
    if not node or not _may_still_run(cluster, node, timeout_seconds):
        return Risk.LOW, "Its node is gone, so nothing of it can run any more."
    if owner.kind == "StatefulSet":
        return Risk.HIGH, f"It may still run on node {node}: two pods would write to the same data."
    return Risk.MEDIUM, f"It may still run on node {node} for a while."


def _failing(pod: Object, ref: ObjectRef, owner: ObjectRef) -> tuple[Risk, str]:
    if owner.kind != "StatefulSet":
        raise CannotPlan(f"{ref} is not stuck: its {owner.kind} replaces it by itself.")
    reasons = failing_reasons(pod)
    if not reasons:
        raise CannotPlan(f"{ref} is not stuck: it is starting.")
    return Risk.LOW, f"It does not serve ({', '.join(sorted(reasons))})."


def _may_still_run(cluster: Cluster, node: str, timeout_seconds: float) -> bool:
    try:
        found = cluster.get("Node", "", node, timeout_seconds=timeout_seconds)
    except NotFound:
        return False
    except Forbidden:
        return True
    taints = {taint.get("key") for taint in found["spec"].get("taints") or ()}
    return "node.kubernetes.io/out-of-service" not in taints or condition(found, "Ready") == "True"
