"""Scale: set the number of replicas."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from healing.actions import capacity, operations
from healing.actions.base import Action, CannotPlan, Change, Parameters, Plan
from healing.actions.ownership import blast_radius
from healing.actions.reading import Workload
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, ObjectRef


class ScaleParameters(Parameters):
    """Absolute, so that doing it twice is doing it once."""

    replicas: int = Field(ge=0, le=1000)


class Scale(Action[ScaleParameters]):
    """More or fewer replicas; guardrails refuse where an autoscaler owns the number."""

    name = ActionName.SCALE
    title = "Change the number of replicas"
    kinds = frozenset({"Deployment", "StatefulSet"})
    permissions: ClassVar = tuple((verb, kind) for kind in sorted(kinds) for verb in ("get", "patch"))
    parameters = ScaleParameters

    def plan(self, cluster: Cluster, target: ObjectRef, parameters: ScaleParameters, *, timeout_seconds: float) -> Plan:
        workload = Workload.read(cluster, target, timeout_seconds=timeout_seconds)
        before, after = workload.desired, parameters.replicas
        if before == after:
            raise CannotPlan(f"{target} has {after} replicas already.")
        if after > before:
            capacity.check_quota(
                cluster,
                workload.ref.namespace,
                capacity.times(capacity.pod_needs(workload.template["spec"]), after - before),
                pods=after - before,
                timeout_seconds=timeout_seconds,
            )
        remaining = min(workload.ready, after)
        return Plan(
            action=self.name,
            target=workload.ref,
            generation=workload.generation,
            summary=f"Scale {workload.ref} from {before} to {after} replicas.",
            changes=(Change(workload.ref, "spec.replicas", before, after),),
            operations=(operations.patch(workload.ref, {"spec": {"replicas": after}}),),
            pre_state={"replicas": before, "undo": [operations.patch(workload.ref, {"spec": {"replicas": before}})]},
            risk=Risk.LOW if after > before else Risk.MEDIUM,
            risk_reason="Adds replicas, takes none away." if after > before else "Takes replicas away.",
            reversible=True,
            undo_summary=f"{workload.ref} has {before} replicas again.",
            blast_radius=blast_radius(
                cluster, workload, remaining_ready=remaining, pods=abs(after - before), timeout_seconds=timeout_seconds
            ),
            parameters=parameters.model_dump(by_alias=True),
        )
