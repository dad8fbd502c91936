"""Cordon a node: no new pods on it."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from healing.actions import operations
from healing.actions.base import Action, BlastRadius, CannotPlan, Change, Parameters, Plan
from healing.actions.ownership import managed_by
from healing.actions.reading import condition, get
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, Object, ObjectRef

#: On a node that we cordoned; its value is the event.
CORDONED_BY = "recist.io/cordoned-by"


class CordonParameters(Parameters):
    """``event`` is written on the node, so that everyone sees whose cordon it is."""

    event: str = Field(min_length=1, max_length=63)


class Cordon(Action[CordonParameters]):
    """Never the last node that could take pods."""

    name = ActionName.CORDON
    title = "Cordon the node"
    kinds = frozenset({"Node"})
    permissions: ClassVar = (("get", "Node"), ("list", "Node"), ("patch", "Node"))
    parameters = CordonParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: CordonParameters, *, timeout_seconds: float
    ) -> Plan:
        node = get(cluster, target, timeout_seconds=timeout_seconds)
        ref = ObjectRef.of(node, "Node")
        by = cordoned_by(node)
        if node["spec"].get("unschedulable") and by != parameters.event:
            raise CannotPlan(f"{ref} is cordoned already.")
        others = other_nodes(cluster, ref, timeout_seconds)
        return Plan(
            action=self.name,
            target=ref,
            generation=0,
            summary=f"Cordon {ref}: no new pods on it; {len(others)} other node(s) take them.",
            changes=(Change(ref, "spec.unschedulable", None, True),),
            operations=(operations.patch(ref, cordon_body(parameters.event)),),
            pre_state={"undo": [operations.patch(ref, uncordon_body())]},
            risk=Risk.LOW,
            risk_reason="Pods that run on it stay.",
            reversible=True,
            undo_summary=f"{ref} takes pods again.",
            blast_radius=BlastRadius(managed_by=managed_by(node)),
            parameters=parameters.model_dump(by_alias=True),
        )


def cordon_body(by: str) -> dict[str, Any]:
    """The merge patch that cordons a node; ``by``: the event that does; empty: somebody else."""
    return {"spec": {"unschedulable": True}, "metadata": {"annotations": {CORDONED_BY: by or None}}}


def uncordon_body() -> dict[str, Any]:
    """The inverse of `cordon_body`."""
    return {"spec": {"unschedulable": None}, "metadata": {"annotations": {CORDONED_BY: None}}}


def cordoned_by(node: Object) -> str:
    """The event that cordoned it; empty: none of ours."""
    return str((node["metadata"].get("annotations") or {}).get(CORDONED_BY, ""))


def other_nodes(cluster: Cluster, ref: ObjectRef, timeout_seconds: float) -> list[Object]:
    """The nodes that take pods beside this one; `CannotPlan` where there is none."""
    others = [
        node
        for node in cluster.list("Node", timeout_seconds=timeout_seconds).items
        if node["metadata"]["name"] != ref.name
        and condition(node, "Ready") == "True"
        and not node["spec"].get("unschedulable")
    ]
    if not others:
        raise CannotPlan(f"{ref} is the only node that takes pods.")
    return others
