"""Drain a node: cordon it, then evict pods from it as their disruption budgets allow."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from pydantic import Field

from healing.actions import operations
from healing.actions.base import Action, BlastRadius, CannotPlan, Change, Parameters, Plan
from healing.actions.cordon import cordon_body, cordoned_by, other_nodes, uncordon_body
from healing.actions.ownership import managed_by
from healing.actions.reading import Workload, condition, get, is_ready, workload_of_pod
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, Object, ObjectRef
from healing.ports.errors import NotFound


class DrainParameters(Parameters):
    """``pods``: ``namespace/name/uid`` of those that shall go; ``event`` is written on the node."""

    event: str = Field(min_length=1, max_length=63)
    pods: tuple[str, ...] = Field(min_length=1, max_length=30)


class Drain(Action[DrainParameters]):
    """Only the pods that were chosen: those of namespaces outside of the policy stay where they are."""

    name = ActionName.DRAIN
    title = "Drain the node"
    kinds = frozenset({"Node"})
    permissions: ClassVar = (("get", "Node"), ("list", "Node"), ("patch", "Node"), ("evict", "Pod"), ("list", "Pod"))
    parameters = DrainParameters

    def plan(self, cluster: Cluster, target: ObjectRef, parameters: DrainParameters, *, timeout_seconds: float) -> Plan:
        node = get(cluster, target, timeout_seconds=timeout_seconds)
        ref = ObjectRef.of(node, "Node")
        others = other_nodes(cluster, ref, timeout_seconds)
        pods = [ObjectRef("Pod", *_parts(text)) for text in parameters.pods]
        by = cordoned_by(node)
        is_ours = not node["spec"].get("unschedulable") or by == parameters.event
        cordon = cordon_body(parameters.event) if is_ours else {"spec": {"unschedulable": True}}
        works = condition(node, "Ready") == "True"
        return Plan(
            action=self.name,
            target=ref,
            generation=0,
            summary=f"Drain {ref}: {len(pods)} pod(s) move to {len(others)} other node(s), as budgets allow.",
            changes=(
                Change(ref, "spec.unschedulable", node["spec"].get("unschedulable"), True),
                *(Change(pod, "", "exists", "replaced") for pod in pods),
            ),
            operations=(operations.patch(ref, cordon), *(operations.evict(pod) for pod in pods)),
            pre_state={"uncordon": operations.patch(ref, uncordon_body()) if is_ours else None},
            risk=Risk.MEDIUM if works else Risk.LOW,
            risk_reason="Pods that serve are moved." if works else "The node does not work: nothing serves there.",
            reversible=True,
            undo_summary=f"{ref} takes pods again." if is_ours else "The pods stay where they are now.",
            blast_radius=_radius(cluster, node, pods, timeout_seconds),
            parameters=parameters.model_dump(mode="json", by_alias=True),
        )

    def undo(self, cluster: Cluster, plan: Plan, result: dict[str, Any], *, timeout_seconds: float) -> str:
        uncordon = plan.pre_state.get("uncordon")
        if uncordon and not operations.is_undone(cluster, uncordon, timeout_seconds=timeout_seconds):
            operations.send(cluster, uncordon, timeout_seconds=timeout_seconds)
        return plan.undo_summary


def _radius(cluster: Cluster, node: Object, pods: list[ObjectRef], timeout_seconds: float) -> BlastRadius:
    """Of the workload that would have the fewest ready replicas left; its pods elsewhere go on serving."""
    taken: Counter[ObjectRef] = Counter()
    workloads: dict[ObjectRef, Workload] = {}
    for ref in pods:
        try:
            pod = cluster.get("Pod", ref.namespace, ref.name, timeout_seconds=timeout_seconds)
        except NotFound:
            continue
        workload = workload_of_pod(cluster, pod, timeout_seconds=timeout_seconds)
        if workload is not None and is_ready(pod):
            workloads[workload.ref] = workload
            taken[workload.ref] += 1
    owners = sorted({managed_by(w.obj) for w in workloads.values()} | {managed_by(node)} - {""})
    worst = min(
        taken, key=lambda ref: (workloads[ref].ready - taken[ref]) / max(1, workloads[ref].desired), default=None
    )
    if worst is None:
        return BlastRadius(pods=len(pods), managed_by=", ".join(filter(None, owners)))
    workload = workloads[worst]
    return BlastRadius(
        pods=len(pods),
        ready_replicas=workload.ready,
        desired_replicas=workload.desired,
        remaining_ready=max(0, workload.ready - taken[worst]),
        managed_by=", ".join(filter(None, owners)),
    )


def in_words(pod: Object) -> str:
    """How `DrainParameters.pods` names a pod."""
    meta = pod["metadata"]
    return f"{meta['namespace']}/{meta['name']}/{meta['uid']}"


def _parts(text: str) -> tuple[str, str, str]:
    namespace, _, rest = text.partition("/")
    name, _, uid = rest.partition("/")
    if not (namespace and name and uid):
        raise CannotPlan(f"{text!r} names no pod: namespace/name/uid is needed.")
    return namespace, name, uid
