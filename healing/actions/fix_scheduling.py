"""Fix scheduling: selectors, affinity, tolerations and spread go back to those of a revision that found its nodes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from healing.actions import revisions, template_fix
from healing.actions.base import Action, CannotPlan, Parameters, Plan
from healing.actions.reading import WORKLOAD_KINDS, condition, list_if_allowed
from healing.policies.spec import ActionName
from healing.ports.cluster import Cluster, ObjectRef

_FIELDS = (
    "nodeSelector",
    "affinity",
    "tolerations",
    "topologySpreadConstraints",
    "nodeName",
    "schedulerName",
    "priorityClassName",
    "priority",
    "hostNetwork",
    "runtimeClassName",
)


class FixSchedulingParameters(Parameters):
    """``fromRevision``: 0 is the last good one."""

    from_revision: int = Field(0, ge=0)


class FixScheduling(Action[FixSchedulingParameters]):
    """Image, configuration and resources stay. Nothing is made up: what no revision had is a person's to say."""

    name = ActionName.FIX_SCHEDULING
    title = "Restore where pods may run"
    kinds = WORKLOAD_KINDS
    permissions: ClassVar = (*template_fix.PERMISSIONS, ("list", "Node"))
    parameters = FixSchedulingParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: FixSchedulingParameters, *, timeout_seconds: float
    ) -> Plan:
        workload = template_fix.read(cluster, target, timeout_seconds)
        former = template_fix.source(cluster, workload, parameters.from_revision, timeout_seconds)
        after = with_placement_of(revisions.without_hash(workload.template), former.template)
        selector = after["spec"].get("nodeSelector") or {}
        nodes = list_if_allowed(cluster, "Node", "", timeout_seconds=timeout_seconds)
        if nodes and not any(_takes(node, selector) for node in nodes):
            raise CannotPlan(f"No ready node has the labels that revision {former.number} asks for.")
        return template_fix.plan(
            cluster,
            workload,
            after,
            action=self.name,
            summary=f"Let pods of {workload.ref} run where those of revision {former.number} ran.",
            undo_summary=f"{workload.ref} has its selectors, affinity and tolerations of before again.",
            parameters=parameters.model_dump(mode="json", by_alias=True),
            timeout_seconds=timeout_seconds,
        )


def with_placement_of(template: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """``template`` with what decides about nodes in ``source``: the pod's fields, and host ports of its containers."""
    result = copy.deepcopy(dict(template))
    spec, former = result["spec"], source["spec"]
    for field in _FIELDS:
        if field in former:
            spec[field] = copy.deepcopy(former[field])
        else:
            spec.pop(field, None)
    by_name = {c["name"]: c for c in former.get("containers") or ()}
    for container in spec.get("containers") or ():
        kept = {p["containerPort"]: p for p in by_name.get(container["name"], {}).get("ports") or ()}
        for port in container.get("ports") or ():
            if port["containerPort"] in kept:
                before = kept[port["containerPort"]].get("hostPort")
                port.pop("hostPort", None)
                port.update({"hostPort": before} if before else {})
    return result


def _takes(node: Mapping[str, Any], selector: Mapping[str, str]) -> bool:
    own = node["metadata"].get("labels") or {}
    return condition(node, "Ready") == "True" and selector.items() <= own.items()
