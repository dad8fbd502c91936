"""Pause a rollout that fails, while pods of the former revision still serve."""

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


class PauseRolloutParameters(Parameters):
    """``event`` is written beside the pause, so that everyone sees whose it is."""

    event: str = Field(min_length=1, max_length=63)


class PauseRollout(Action[PauseRolloutParameters]):
    """As ``kubectl rollout pause``. A rollback of ours lifts the pause in the same write."""

    name = ActionName.PAUSE_ROLLOUT
    title = "Pause the rollout"
    kinds = frozenset({"Deployment"})
    permissions: ClassVar = (("get", "Deployment"), ("patch", "Deployment"))
    parameters = PauseRolloutParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: PauseRolloutParameters, *, timeout_seconds: float
    ) -> Plan:
        workload = Workload.read(cluster, target, timeout_seconds=timeout_seconds)
        if workload.is_paused and workload.paused_by_event != parameters.event:
            raise CannotPlan(f"The rollout of {target} is paused already.")
        return Plan(
            action=self.name,
            target=workload.ref,
            generation=workload.generation,
            summary=f"Pause the rollout of {workload.ref}: {workload.ready} pod(s) go on serving.",
            changes=(Change(workload.ref, "spec.paused", None, True),),
            operations=(operations.patch(workload.ref, pause_body(parameters.event)),),
            pre_state={"undo": [operations.patch(workload.ref, resume_body())]},
            risk=Risk.LOW,
            risk_reason="Pods that serve stay as they are.",
            reversible=True,
            undo_summary=f"The rollout of {workload.ref} goes on.",
            blast_radius=blast_radius(
                cluster, workload, remaining_ready=workload.ready, pods=0, timeout_seconds=timeout_seconds
            ),
            parameters=parameters.model_dump(by_alias=True),
        )
