"""Restart: replace all pods of a workload, one after another, by pods of the same template."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from pydantic import Field

from healing.actions import operations
from healing.actions.base import Action, CannotPlan, Change, Parameters, Plan
from healing.actions.ownership import blast_radius
from healing.actions.reading import WORKLOAD_KINDS, Workload
from healing.actions.template_patch import PERMISSIONS
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, ObjectRef

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


def stamp() -> str:
    """Now, as ``kubectl rollout restart`` writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class RestartParameters(Parameters):
    """``at`` makes the plan repeatable: the same restart is the same annotation."""

    at: str = Field(default_factory=stamp, description="UTC time written into the template, ISO 8601.")


class Restart(Action[RestartParameters]):
    """As ``kubectl rollout restart``."""

    name = ActionName.RESTART
    title = "Restart all pods"
    kinds = WORKLOAD_KINDS
    permissions: ClassVar = PERMISSIONS
    parameters = RestartParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: RestartParameters, *, timeout_seconds: float
    ) -> Plan:
        workload = Workload.read(cluster, target, timeout_seconds=timeout_seconds)
        if workload.is_paused:
            raise CannotPlan(f"The rollout of {target} is paused: a restart would not begin.")
        if workload.desired == 0:
            raise CannotPlan(f"{target} is scaled to zero: there is nothing to restart.")
        before = (workload.template["metadata"].get("annotations") or {}).get(RESTARTED_AT)
        body = {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: parameters.at}}}}}
        remaining = workload.ready_while_rolling()
        loses_all = workload.ready > 0 and remaining == 0
        return Plan(
            action=self.name,
            target=workload.ref,
            generation=workload.generation,
            summary=f"Replace the pods of {workload.ref} one after another by new ones of the same template.",
            changes=(
                Change(workload.ref, f"spec.template.metadata.annotations[{RESTARTED_AT}]", before, parameters.at),
            ),
            operations=(operations.patch(workload.ref, body),),
            pre_state={"restartedAt": before},
            risk=Risk.MEDIUM if loses_all else Risk.LOW,
            risk_reason="No replica serves meanwhile." if loses_all else "Same template; ready replicas remain.",
            reversible=True,
            undo_summary="Nothing to put back: the new pods run the same template.",
            blast_radius=blast_radius(cluster, workload, remaining_ready=remaining, timeout_seconds=timeout_seconds),
            parameters=parameters.model_dump(by_alias=True),
        )
