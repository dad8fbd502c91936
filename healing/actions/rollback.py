"""Rollback: give a workload the template of its last good revision."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from healing.actions import revisions, template_fix
from healing.actions.base import Action, CannotPlan, Parameters, Plan
from healing.actions.reading import WORKLOAD_KINDS, Workload
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, ObjectRef


class RollbackParameters(Parameters):
    """Without ``toRevision`` the last good one is found; ``avoidRevisions`` are known to be bad."""

    to_revision: int = Field(0, ge=0, description="0: find the last good one.")
    avoid_revisions: tuple[int, ...] = ()


class Rollback(Action[RollbackParameters]):
    """As ``kubectl rollout undo``, to the last good revision and not blindly to the one before."""

    name = ActionName.ROLLBACK
    title = "Roll back to the last good revision"
    kinds = WORKLOAD_KINDS
    permissions: ClassVar = (*template_fix.PERMISSIONS, ("list", "Event"), ("get", "ConfigMap"))
    parameters = RollbackParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: RollbackParameters, *, timeout_seconds: float
    ) -> Plan:
        workload = template_fix.read(cluster, target, timeout_seconds)
        good = self._good(cluster, workload, parameters, timeout_seconds)
        return template_fix.plan(
            cluster,
            workload,
            good.revision.template,
            action=self.name,
            summary=(
                f"Roll {workload.ref} back from revision {good.current.number} to revision "
                f"{good.revision.number}: {good.reason}."
            ),
            found={
                "fromRevision": good.current.number,
                "toRevision": good.revision.number,
                "isServing": good.is_serving,
                "livedSeconds": good.lived_seconds,
            },
            risk=_risk(workload, good),
            undo_summary=f"{workload.ref} has the template of revision {good.current.number} again.",
            parameters=parameters.model_dump(mode="json", by_alias=True),
            timeout_seconds=timeout_seconds,
        )

    def _good(
        self, cluster: Cluster, workload: Workload, parameters: RollbackParameters, timeout_seconds: float
    ) -> revisions.GoodRevision:
        if not parameters.to_revision:
            return revisions.last_good(
                cluster, workload, avoid=parameters.avoid_revisions, timeout_seconds=timeout_seconds
            )
        kept = revisions.of_workload(cluster, workload, timeout_seconds=timeout_seconds)
        now = revisions.current(workload, kept)
        for revision in kept:
            if revision.number == parameters.to_revision:
                if revisions.same_template(revision.template, now.template):
                    raise CannotPlan(f"Revision {revision.number} has the template that {workload.ref} has now.")
                return revisions.judged(revision, now, kept)
        raise CannotPlan(f"{workload.ref} has no revision {parameters.to_revision} any more.")


def _risk(workload: Workload, good: revisions.GoodRevision) -> tuple[Risk, str]:
    if workload.ref.kind != "Deployment":
        return Risk.MEDIUM, f"The pods of a {workload.ref.kind} are replaced in place."
    if good.is_serving:
        return Risk.LOW, "Pods of that revision serve right now."
    if workload.ready == 0:
        return Risk.LOW, "No replica serves now; nothing can be lost."
    return Risk.MEDIUM, "Pods that serve now are replaced by an earlier revision."
