"""Update resources: give a container other requests and limits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from healing.actions import capacity, operations, quantities, template_fix
from healing.actions.base import Action, CannotPlan, Parameters, Plan
from healing.actions.ownership import blast_radius
from healing.actions.reading import WORKLOAD_KINDS, Workload
from healing.actions.template_patch import diff, merged, repause_body, unpause_body, unpause_changes
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, ObjectRef

#: Nobody's limit is raised beyond this times what it is: who needs more has another problem.
MAX_FACTOR = 4.0

Quantities = dict[Literal["cpu", "memory"], str]


class UpdateResourcesParameters(Parameters):
    """``limits`` and ``requests`` as in a container's spec; what is not named stays. Or ``fromRevision``: those that
    the container had in that revision, and no others."""

    container: str = ""
    limits: Quantities = Field(default_factory=dict)
    requests: Quantities = Field(default_factory=dict)
    from_revision: int = Field(0, ge=0)

    @field_validator("limits", "requests")
    @classmethod
    def _are_quantities(cls, value: Quantities) -> Quantities:
        for text in value.values():
            if quantities.parse(text) <= 0:
                raise ValueError("must be more than nothing")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> UpdateResourcesParameters:
        if bool(self.from_revision) == bool(self.limits or self.requests):
            raise ValueError("name either values or the revision they come from")
        return self


class UpdateResources(Action[UpdateResourcesParameters]):
    """Requests follow a raised limit only where asked; a limit never falls below its request."""

    name = ActionName.UPDATE_RESOURCES
    title = "Change requests and limits"
    kinds = WORKLOAD_KINDS
    permissions: ClassVar = (
        *template_fix.PERMISSIONS,
        ("list", "ResourceQuota"),
        ("list", "LimitRange"),
        ("list", "Node"),
    )
    parameters = UpdateResourcesParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: UpdateResourcesParameters, *, timeout_seconds: float
    ) -> Plan:
        workload = template_fix.read(cluster, target, timeout_seconds)
        container = workload.container(parameters.container)
        before = container.get("resources") or {}
        wanted = _wanted(cluster, workload, container["name"], parameters, timeout_seconds)
        after = {
            part: {**(before.get(part) or {}), **wanted.get(part, {})}
            for part in ("limits", "requests")
            if wanted.get(part) or before.get(part)
        }
        changes = diff(workload.ref, f"spec.template.spec.containers[{container['name']}].resources", before, after)
        if not changes:
            raise CannotPlan(f"Container {container['name']} of {target} has these resources already.")
        known = bool(parameters.from_revision)
        _check_bounds(container["name"], before, after, may_grow=known)
        self._check_room(cluster, workload, container, after, timeout_seconds)
        undo = {part: {k: (before.get(part) or {}).get(k) for k in after.get(part, {})} for part in after}
        return Plan(
            action=self.name,
            target=workload.ref,
            generation=workload.generation,
            summary=f"Container {container['name']} of {workload.ref}: {_in_words(changes)}"
            + (f", as in revision {parameters.from_revision}" if known else "")
            + ".",
            changes=(*changes, *unpause_changes(workload)),
            operations=(
                operations.patch(
                    workload.ref, merged(_body(container["name"], after), unpause_body(workload)), "strategic"
                ),
            ),
            pre_state={
                "resources": before,
                "undo": [
                    operations.patch(
                        workload.ref, merged(_body(container["name"], undo), repause_body(workload)), "strategic"
                    )
                ],
            },
            risk=Risk.LOW if known or workload.ready == 0 else Risk.MEDIUM,
            risk_reason=(
                "The values were in use before."
                if known
                else "No replica serves now; nothing can be lost."
                if workload.ready == 0
                else "The values are new; all pods are replaced."
            ),
            reversible=True,
            undo_summary=f"Container {container['name']} of {workload.ref} has its former resources again.",
            blast_radius=blast_radius(
                cluster, workload, remaining_ready=workload.ready_while_rolling(), timeout_seconds=timeout_seconds
            ),
            parameters=parameters.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        )

    def _check_room(
        self,
        cluster: Cluster,
        workload: Workload,
        container: dict[str, Any],
        resources: dict[str, Any],
        timeout_seconds: float,
    ) -> None:
        namespace = workload.ref.namespace
        old, new = capacity.container_needs(container.get("resources")), capacity.container_needs(resources)
        more = {name: value - old.get(name, Decimal(0)) for name, value in new.items()}
        capacity.check_quota(
            cluster, namespace, capacity.times(more, workload.desired), timeout_seconds=timeout_seconds
        )
        pod = capacity.pod_needs(workload.template["spec"])
        whole = {name: pod.get(name, Decimal(0)) + value for name, value in more.items()}
        capacity.check_limit_range(cluster, namespace, resources, pod=whole, timeout_seconds=timeout_seconds)
        capacity.check_nodes(cluster, whole, timeout_seconds=timeout_seconds)


def _wanted(
    cluster: Cluster, workload: Workload, name: str, parameters: UpdateResourcesParameters, timeout_seconds: float
) -> dict[str, Quantities]:
    if not parameters.from_revision:
        return {"limits": parameters.limits, "requests": parameters.requests}
    revision = template_fix.source(cluster, workload, parameters.from_revision, timeout_seconds)
    former: dict[str, Any] = next((c for c in revision.template["spec"]["containers"] if c["name"] == name), {})
    resources = former.get("resources") or {}
    if not resources:
        raise CannotPlan(f"Container {name} had no requests and limits in revision {revision.number}.")
    return {
        part: {key: str(value) for key, value in (resources.get(part) or {}).items() if key in ("cpu", "memory")}
        for part in ("limits", "requests")
    }


def _check_bounds(name: str, before: dict[str, Any], after: dict[str, Any], *, may_grow: bool) -> None:
    limits, requests = after.get("limits", {}), after.get("requests", {})
    for resource in requests.keys() & limits.keys():
        if quantities.parse(requests[resource]) > quantities.parse(limits[resource]):
            raise CannotPlan(f"Container {name} would request more {resource} than its limit.")
    for resource, text in limits.items():
        former = (before.get("limits") or {}).get(resource)
        if (
            not may_grow
            and former is not None
            and quantities.parse(text) > quantities.parse(former) * Decimal(MAX_FACTOR)
        ):
            raise CannotPlan(
                f"{resource} of container {name} would grow from {former} to {text}: more than {MAX_FACTOR:g} times."
            )


def _body(container: str, resources: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": container, "resources": resources}]}}}}


def _in_words(changes: list[Any]) -> str:
    return ", ".join(f"{c.path.rsplit('resources.', 1)[-1]} {c.before or 'none'} → {c.after}" for c in changes)
