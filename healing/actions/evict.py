"""Evict: take one pod away, as its disruption budgets allow; its controller makes a new one, maybe elsewhere."""

from __future__ import annotations

from typing import ClassVar

from healing.actions import operations
from healing.actions.base import Action, CannotPlan, Change, Parameters, Plan
from healing.actions.ownership import blast_radius_of_pod
from healing.actions.reading import controller_of, get, is_ready, workload_of_pod
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, ObjectRef


class EvictParameters(Parameters):
    """None."""


class Evict(Action[EvictParameters]):
    """Never for a pod without a controller: nobody would make it anew."""

    name = ActionName.EVICT
    title = "Replace the pod"
    kinds = frozenset({"Pod"})
    permissions: ClassVar = (("get", "Pod"), ("evict", "Pod"), ("list", "PodDisruptionBudget"))
    parameters = EvictParameters

    def plan(self, cluster: Cluster, target: ObjectRef, parameters: EvictParameters, *, timeout_seconds: float) -> Plan:
        pod = get(cluster, target, timeout_seconds=timeout_seconds)
        ref = ObjectRef.of(pod, "Pod")
        owner = controller_of(pod)
        if owner is None:
            raise CannotPlan(f"{ref} has no controller: once it is gone, nobody makes it anew.")
        if owner.kind in ("DaemonSet", "Node"):
            raise CannotPlan(f"{ref} belongs to its node ({owner.kind}); moving it makes no sense.")
        workload = workload_of_pod(cluster, pod, timeout_seconds=timeout_seconds)
        serves = is_ready(pod)
        ready = workload.ready if workload else None
        spared = workload is not None and workload.ready > 1 and (workload.ready - 1) * 2 >= workload.desired
        return Plan(
            action=self.name,
            target=ref,
            generation=0,
            summary=f"Evict {ref}; {owner.kind} {owner.name} makes a new one.",
            changes=(Change(ref, "", "exists", "replaced"),),
            operations=(operations.evict(ref),),
            pre_state={"node": pod["spec"].get("nodeName", ""), "isReady": serves},
            risk=Risk.MEDIUM if serves and not spared else Risk.LOW,
            risk_reason=(
                "The pod does not serve."
                if not serves
                else "At least half of the replicas go on serving."
                if spared
                else "The pod serves right now, and less than half of the replicas would remain."
            ),
            reversible=True,
            undo_summary="Nothing to put back: the controller has made a new pod of the same template.",
            blast_radius=blast_radius_of_pod(cluster, pod, workload, ready=ready, timeout_seconds=timeout_seconds),
            parameters={},
        )
