"""Have controllers try again to make pods that were refused, once the reason is gone.

After each refusal a controller waits twice as long as before, in the end for 16 minutes: what was healed would look
unhealed for as long. A change of the object itself is looked at without waiting, and the Deployment controller passes
annotations on to the ReplicaSet, so an annotation is enough. It changes no pod.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field

from healing.actions import operations
from healing.actions.base import Change, Parameters, Plan
from healing.actions.reading import WORKLOAD_KINDS, Workload, condition
from healing.ports.cluster import Cluster, ObjectRef
from healing.ports.errors import NotFound

#: Beside its own parameters every action takes this one.
PARAMETER = "retry"
RETRIED_AT = "recist.io/creation-retried-at"
#: What an action needs to be allowed for it.
PERMISSIONS = tuple((verb, kind) for kind in sorted(WORKLOAD_KINDS) for verb in ("get", "patch"))
_AT_MOST = 20


class Retry(Parameters):
    """``workloads``: as ``Deployment/namespace/name``. ``at`` makes the plan repeatable."""

    at: str = Field(min_length=1, max_length=40)
    workloads: tuple[str, ...] = Field(min_length=1, max_length=_AT_MOST)

    @property
    def refs(self) -> tuple[ObjectRef, ...]:
        """Those of kinds that have pods."""
        parts = [text.split("/") for text in self.workloads]
        return tuple(ObjectRef(*each) for each in parts if len(each) == 3 and each[0] in WORKLOAD_KINDS)


def of(parameters: Mapping[str, Any]) -> Retry | None:
    """What a plan's parameters say about it. Raises `pydantic.ValidationError`."""
    value = parameters.get(PARAMETER)
    return Retry.model_validate(value) if value else None


def refused_pods(
    cluster: Cluster, namespaces: Iterable[str], *, with_silent: bool, timeout_seconds: float
) -> list[ObjectRef]:
    """Deployments that say that their pods are refused; ``with_silent``: also workloads that only have fewer than they
    want, because controllers of other kinds do not say why. Raises `healing.ports.errors`."""
    found = [
        ObjectRef(kind, workload.ref.namespace, workload.ref.name)
        for namespace in dict.fromkeys(namespaces)
        for kind in (sorted(WORKLOAD_KINDS) if with_silent else ["Deployment"])
        for obj in cluster.list(kind, namespace, timeout_seconds=timeout_seconds).items
        if (workload := Workload.of(obj, kind)).desired
        and (condition(obj, "ReplicaFailure") == "True" or (with_silent and workload.total < workload.desired))
    ]
    return found[:_AT_MOST]


def added(cluster: Cluster, plan: Plan, retry: Retry, *, timeout_seconds: float) -> Plan:
    """The plan, and then the annotations. A workload that has gone is left out.

    Raises `healing.ports.errors`."""
    steps: list[operations.Operation] = []
    undo: list[operations.Operation] = []
    changes: list[Change] = []
    for named in retry.refs:
        try:
            live = cluster.get(named.kind, named.namespace, named.name, timeout_seconds=timeout_seconds)
        except NotFound:
            continue
        ref = ObjectRef.of(live, named.kind)
        before = (live["metadata"].get("annotations") or {}).get(RETRIED_AT)
        steps.append(operations.hint(_annotation(ref, retry.at), settled=plan.target))
        undo.append(_annotation(ref, before))
        changes.append(Change(ref, f"metadata.annotations[{RETRIED_AT}]", before, retry.at))
    if not steps:
        return plan
    names = ", ".join(f"{change.object.kind} {change.object.name}" for change in changes)
    pre_state = {**plan.pre_state}
    if plan.undo_operations:
        pre_state["undo"] = [*plan.undo_operations, *undo]
    return replace(
        plan,
        summary=f"{plan.summary} Then have the missing pods of {names} made without waiting for the next try.",
        changes=(*plan.changes, *changes),
        operations=(*plan.operations, *steps),
        pre_state=pre_state,
        parameters={**plan.parameters, PARAMETER: retry.model_dump(mode="json", by_alias=True)},
    )


def _annotation(ref: ObjectRef, value: str | None) -> operations.Operation:
    return operations.patch(ref, {"metadata": {"annotations": {RETRIED_AT: value}}})
