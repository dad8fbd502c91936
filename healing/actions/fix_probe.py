"""Fix a probe: ask what the container really serves, or ask as an earlier revision did."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from healing.actions import revisions, template_fix
from healing.actions.base import Action, CannotPlan, Parameters, Plan
from healing.actions.reading import WORKLOAD_KINDS, Workload
from healing.policies.spec import ActionName
from healing.ports.cluster import Cluster, ObjectRef

_HANDLERS = ("httpGet", "tcpSocket", "grpc")
_TIMES = ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold")


class FixProbeParameters(Parameters):
    """``fromRevision``: the probe of that revision; or what to set: ``port``, ``path``, ``scheme``, times in seconds.

    Times are bounded: a probe that never gives up is no probe."""

    container: str = Field(min_length=1, max_length=63)
    probe: Literal["livenessProbe", "readinessProbe", "startupProbe"]
    from_revision: int = Field(0, ge=0)
    port: int | None = Field(None, ge=1, le=65_535)
    path: str | None = Field(None, max_length=500, pattern="^/")
    scheme: Literal["HTTP", "HTTPS"] | None = None
    initial_delay_seconds: int | None = Field(None, ge=0, le=600)
    period_seconds: int | None = Field(None, ge=1, le=120)
    timeout_seconds: int | None = Field(None, ge=1, le=30)
    failure_threshold: int | None = Field(None, ge=1, le=60)

    @model_validator(mode="after")
    def _one_way(self) -> FixProbeParameters:
        values = self.model_dump(exclude={"container", "probe", "from_revision"}, exclude_none=True)
        if bool(self.from_revision) == bool(values):
            raise ValueError("either fromRevision or values to set are needed")
        return self


class FixProbe(Action[FixProbeParameters]):
    """Only what is named changes."""

    name = ActionName.FIX_PROBE
    title = "Correct the probe"
    kinds = WORKLOAD_KINDS
    permissions: ClassVar = template_fix.PERMISSIONS
    parameters = FixProbeParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: FixProbeParameters, *, timeout_seconds: float
    ) -> Plan:
        workload = template_fix.read(cluster, target, timeout_seconds)
        workload.container(parameters.container)
        after = revisions.without_hash(workload.template)
        container = next(c for c in after["spec"]["containers"] if c["name"] == parameters.container)
        if parameters.from_revision:
            _take(cluster, workload, container, parameters, timeout_seconds)
            how = f"as in revision {parameters.from_revision}"
        else:
            _set(container, parameters, workload)
            values = parameters.model_dump(
                by_alias=True, exclude_none=True, exclude={"container", "probe", "from_revision"}
            )
            how = "with " + ", ".join(f"{key} {value}" for key, value in values.items())
        return template_fix.plan(
            cluster,
            workload,
            after,
            action=self.name,
            summary=f"Let {parameters.probe} of {parameters.container} in {workload.ref} ask {how}.",
            undo_summary=f"{workload.ref} has its former {parameters.probe} again.",
            parameters=parameters.model_dump(mode="json", by_alias=True),
            timeout_seconds=timeout_seconds,
        )


def _take(
    cluster: Cluster,
    workload: Workload,
    container: dict[str, Any],
    parameters: FixProbeParameters,
    timeout_seconds: float,
) -> None:
    former = template_fix.source(cluster, workload, parameters.from_revision, timeout_seconds)
    found = next((c for c in former.template["spec"]["containers"] if c["name"] == parameters.container), None)
    if found is None:
        raise CannotPlan(f"Revision {former.number} has no container {parameters.container}.")
    if parameters.probe in found:
        container[parameters.probe] = copy.deepcopy(found[parameters.probe])
    else:
        container.pop(parameters.probe, None)


def _set(container: dict[str, Any], parameters: FixProbeParameters, workload: Workload) -> None:
    probe = container.get(parameters.probe)
    if not probe:
        raise CannotPlan(f"Container {parameters.container} of {workload.ref} has no {parameters.probe}.")
    handler = next((probe[name] for name in _HANDLERS if probe.get(name)), None)
    for field in ("port", "path", "scheme"):
        value = getattr(parameters, field)
        if value is None:
            continue
        if handler is None or (field != "port" and not probe.get("httpGet")):
            raise CannotPlan(f"{parameters.probe} of {parameters.container} has no {field}: it runs a command.")
        handler[field] = value
    values = parameters.model_dump(by_alias=True)
    probe.update({name: values[name] for name in _TIMES if values[name] is not None})
