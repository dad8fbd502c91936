"""Uncordon a node."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from healing.actions import operations
from healing.actions.base import Action, BlastRadius, CannotPlan, Change, Parameters, Plan
from healing.actions.cordon import cordon_body, cordoned_by, uncordon_body
from healing.actions.reading import condition, get
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, ObjectRef


class UncordonParameters(Parameters):
    """``event``: only a cordon of that event; empty: any cordon."""

    event: str = Field("", max_length=63)


class Uncordon(Action[UncordonParameters]):
    """Only for a node that is ready."""

    name = ActionName.UNCORDON
    title = "Uncordon the node"
    kinds = frozenset({"Node"})
    permissions: ClassVar = (("get", "Node"), ("patch", "Node"))
    parameters = UncordonParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: UncordonParameters, *, timeout_seconds: float
    ) -> Plan:
        node = get(cluster, target, timeout_seconds=timeout_seconds)
        ref = ObjectRef.of(node, "Node")
        by = cordoned_by(node)
        if not node["spec"].get("unschedulable"):
            raise CannotPlan(f"{ref} is not cordoned.")
        if parameters.event and by != parameters.event:
            raise CannotPlan(f"{ref} was cordoned by {by or 'somebody else'}.")
        if condition(node, "Ready") != "True":
            raise CannotPlan(f"{ref} is not ready.")
        return Plan(
            action=self.name,
            target=ref,
            generation=0,
            summary=f"Uncordon {ref}: it takes pods again.",
            changes=(Change(ref, "spec.unschedulable", True, None),),
            operations=(operations.patch(ref, uncordon_body()),),
            pre_state={"cordonedBy": by, "undo": [operations.patch(ref, cordon_body(by))]},
            risk=Risk.LOW if by else Risk.MEDIUM,
            risk_reason="The cordon is ours." if by else "Somebody cordoned it, for a reason we do not know.",
            reversible=True,
            undo_summary=f"{ref} is cordoned again.",
            blast_radius=BlastRadius(),
            parameters=parameters.model_dump(by_alias=True),
        )
