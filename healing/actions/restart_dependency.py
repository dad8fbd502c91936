"""Restart a workload that the faulty one depends on."""

from __future__ import annotations

import dataclasses

from healing.actions.base import Plan
from healing.actions.restart import Restart, RestartParameters
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, ObjectRef


class RestartDependency(Restart):
    """A restart, with the risk of touching what others use too. The target is the dependency itself."""

    name = ActionName.RESTART_DEPENDENCY
    title = "Restart the dependency"

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: RestartParameters, *, timeout_seconds: float
    ) -> Plan:
        plan = super().plan(cluster, target, parameters, timeout_seconds=timeout_seconds)
        nothing_to_lose = plan.blast_radius.ready_replicas == 0
        return dataclasses.replace(
            plan,
            risk=Risk.LOW if nothing_to_lose else Risk.MEDIUM,
            risk_reason=("No replica of it serves now." if nothing_to_lose else "Others may use the same dependency."),
        )
