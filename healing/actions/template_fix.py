"""What actions share that correct a part of a workload's template and leave the rest as it is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from healing.actions import operations, revisions, template_patch
from healing.actions.base import CannotPlan, Plan
from healing.actions.ownership import blast_radius
from healing.actions.reading import Workload
from healing.actions.template_patch import diff, replace_template, unpause_changes
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, ObjectRef

PERMISSIONS = (*template_patch.PERMISSIONS, *revisions.PERMISSIONS)


def read(cluster: Cluster, target: ObjectRef, timeout_seconds: float) -> Workload:
    """The workload; `CannotPlan` where somebody paused its rollout."""
    workload = Workload.read(cluster, target, timeout_seconds=timeout_seconds)
    if workload.is_paused and not workload.paused_by_event:
        raise CannotPlan(f"Somebody paused the rollout of {target}: resume it first.")
    return workload


def source(cluster: Cluster, workload: Workload, number: int, timeout_seconds: float) -> revisions.Revision:
    """The revision of that number; 0: the last good one. Raises `CannotPlan`."""
    if not number:
        return revisions.last_good(cluster, workload, timeout_seconds=timeout_seconds).revision
    for revision in revisions.of_workload(cluster, workload, timeout_seconds=timeout_seconds):
        if revision.number == number:
            return revision
    raise CannotPlan(f"{workload.ref} has no revision {number} any more.")


def plan(
    cluster: Cluster,
    workload: Workload,
    after: dict[str, Any],
    *,
    action: ActionName,
    summary: str,
    undo_summary: str,
    parameters: dict[str, Any],
    found: Mapping[str, Any] = MappingProxyType({}),
    risk: tuple[Risk, str] | None = None,
    timeout_seconds: float,
) -> Plan:
    """The plan that gives the workload that template; `CannotPlan` where it has it already. ``found``: what to keep of
    the state found, beside what undoes it. ``risk``: with its reason; without it the risk of replacing the pods."""
    before = revisions.without_hash(workload.template)
    if after == before:  # the mere order of named items counts too: init containers run one after another
        raise CannotPlan(f"{workload.ref} is like that already.")
    paused_by = workload.paused_by_event
    level, reason = risk or _risk(workload)
    return Plan(
        action=action,
        target=workload.ref,
        generation=workload.generation,
        summary=summary,
        changes=(*diff(workload.ref, "spec.template", before, after), *unpause_changes(workload)),
        operations=(operations.patch(workload.ref, replace_template(after, paused_by, pause=False), "json"),),
        pre_state={
            **found,
            "undo": [operations.patch(workload.ref, replace_template(before, paused_by, pause=True), "json")],
        },
        risk=level,
        risk_reason=reason,
        reversible=True,
        undo_summary=undo_summary,
        blast_radius=blast_radius(
            cluster, workload, remaining_ready=workload.ready_while_rolling(), timeout_seconds=timeout_seconds
        ),
        parameters=parameters,
    )


def _risk(workload: Workload) -> tuple[Risk, str]:
    if workload.ready == 0:
        return Risk.LOW, "No replica serves now; nothing can be lost."
    if workload.ref.kind == "Deployment" and workload.ready_while_rolling() > 0:
        return Risk.LOW, "Pods are replaced one after another; those that serve go only when new ones are ready."
    return Risk.MEDIUM, "Pods that serve now are replaced in place."
