"""Resume a rollout: after the cause outside of the template was removed, or when the event is over."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from healing.actions import operations
from healing.actions.base import Action, CannotPlan, Change, Parameters, Plan
from healing.actions.ownership import blast_radius
from healing.actions.reading import Workload
from healing.actions.template_patch import pause_body, resume_body
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, ObjectRef


class ResumeRolloutParameters(Parameters):
    """``event``: only a pause of that event; empty: any pause."""

    event: str = Field("", max_length=63)


class ResumeRollout(Action[ResumeRolloutParameters]):
    """As ``kubectl rollout resume``."""

    name = ActionName.RESUME_ROLLOUT
    title = "Resume the rollout"
    kinds = frozenset({"Deployment"})
    permissions: ClassVar = (("get", "Deployment"), ("patch", "Deployment"))
    parameters = ResumeRolloutParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: ResumeRolloutParameters, *, timeout_seconds: float
    ) -> Plan:
        workload = Workload.read(cluster, target, timeout_seconds=timeout_seconds)
        paused_by = workload.paused_by_event
        if not workload.is_paused:
            raise CannotPlan(f"The rollout of {target} is not paused.")
        if parameters.event and paused_by != parameters.event:
            raise CannotPlan(f"The rollout of {target} was paused by {paused_by or 'somebody else'}.")
        return Plan(
            action=self.name,
            target=workload.ref,
            generation=workload.generation,
            summary=f"Resume the rollout of {workload.ref}.",
            changes=(Change(workload.ref, "spec.paused", True, None),),
            operations=(operations.patch(workload.ref, resume_body()),),
            pre_state={"pausedBy": paused_by, "undo": [operations.patch(workload.ref, pause_body(paused_by))]},
            risk=Risk.LOW if paused_by else Risk.MEDIUM,
            risk_reason="The pause is ours." if paused_by else "Somebody paused it, for a reason we do not know.",
            reversible=True,
            undo_summary=f"The rollout of {workload.ref} is paused again.",
            blast_radius=blast_radius(
                cluster,
                workload,
                remaining_ready=workload.ready_while_rolling(),
                timeout_seconds=timeout_seconds,
            ),
            parameters=parameters.model_dump(by_alias=True),
        )
