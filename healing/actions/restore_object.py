"""Restore an object: put it back to a state in which it is known to have been, or take it away where it is new."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, model_validator

from healing.actions import manifests, operations
from healing.actions.base import Action, BlastRadius, CannotPlan, Change, Parameters, Plan
from healing.actions.ownership import autoscaler_of, blast_radius, managed_by
from healing.actions.reading import WORKLOAD_KINDS, Workload, get
from healing.actions.template_patch import pause_steps
from healing.models import KnownState
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, Object, ObjectRef

#: Who may talk to whom, and who may use how much, is decided by other people than those who run the workload.
_DECIDED_BY_OTHERS = frozenset({"NetworkPolicy", "ResourceQuota", "LimitRange"})
#: Only what restricts or steers others can be taken away: nothing is lost with it but the restriction.
REMOVABLE = frozenset(
    {"NetworkPolicy", "ResourceQuota", "LimitRange", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
)


class RestoreObjectParameters(Parameters):
    """One of: ``state``, the row of a `KnownState` to go back to; ``lastApplied``, what kubectl applied last;
    ``remove``: the object was made shortly before the fault and goes again. ``event`` marks what an undo makes anew."""

    state: int = Field(0, ge=0)
    last_applied: bool = False
    remove: bool = False
    event: str = Field("", max_length=63)

    @model_validator(mode="after")
    def _one_way(self) -> RestoreObjectParameters:
        if sum((bool(self.state), self.last_applied, self.remove)) != 1:
            raise ValueError("exactly one of state, lastApplied and remove is needed")
        if self.remove and not self.event:
            raise ValueError("remove needs the event's name, so that an undo can be recognised")
        return self


class RestoreObject(Action[RestoreObjectParameters]):
    """Field by field; what is not different stays as it is. Replicas that an autoscaler owns are not touched."""

    name = ActionName.RESTORE_OBJECT
    title = "Put it back to how it was"
    kinds = frozenset(manifests.PARTS)
    permissions: ClassVar = (
        *((verb, kind) for kind in sorted(manifests.PARTS) for verb in ("get", "list", "patch")),
        *((verb, kind) for kind in sorted(REMOVABLE) for verb in ("create", "delete")),
    )
    parameters = RestoreObjectParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: RestoreObjectParameters, *, timeout_seconds: float
    ) -> Plan:
        live = get(cluster, target, timeout_seconds=timeout_seconds)
        ref = ObjectRef.of(live, target.kind)
        if parameters.remove:
            return self._removal(live, ref, parameters)
        now = manifests.manifest_of(live, ref.kind)
        then, source = _former(live, ref, parameters)
        different = manifests.differences(now, then)
        radius = BlastRadius(managed_by=managed_by(live))
        if ref.kind in WORKLOAD_KINDS:
            workload = Workload.of(live, ref.kind)
            different = _without_owned_replicas(cluster, workload, different, timeout_seconds)
            radius = blast_radius(
                cluster, workload, remaining_ready=_remaining(workload, different), timeout_seconds=timeout_seconds
            )
        if not different:
            raise CannotPlan(f"{ref} is as it was ({source}).")
        steps = manifests.assign(live, {path: value for path, (_, value) in different.items()})
        back = _back(live, then, different)
        if ref.kind in WORKLOAD_KINDS:
            # Our own pause is lifted in the same write, or what is restored would wait for ever.
            paused_by = Workload.of(live, ref.kind).paused_by_event
            steps += pause_steps(paused_by, pause=False)
            back += pause_steps(paused_by, pause=True)
        risk, reason = _risk(ref, radius)
        fields = ", ".join(manifests.in_words(path) for path in list(different)[:4])
        return Plan(
            action=self.name,
            target=ref,
            generation=0,
            summary=f"Put {fields} of {ref} back to {source}.",
            changes=tuple(
                Change(ref, manifests.in_words(path), before, after) for path, (before, after) in different.items()
            ),
            operations=(operations.patch(ref, steps, "json"),),
            pre_state={"undo": [operations.patch(ref, back, "json")]},
            risk=risk,
            risk_reason=reason,
            reversible=True,
            undo_summary=f"{ref} is again as it was found: {fields}.",
            blast_radius=radius,
            parameters=parameters.model_dump(by_alias=True),
        )

    def _removal(self, live: Object, ref: ObjectRef, parameters: RestoreObjectParameters) -> Plan:
        if ref.kind not in REMOVABLE:
            raise CannotPlan(f"A {ref.kind} is never taken away: what it holds would be lost.")
        manifest = manifests.manifest_of(live, ref.kind)
        when = live["metadata"].get("creationTimestamp", "an unknown time")
        return Plan(
            action=self.name,
            target=ref,
            generation=0,
            summary=f"Take {ref} away, which was made at {when}.",
            changes=(Change(ref, "", manifest, None),),
            operations=(operations.delete(ref),),
            pre_state={
                "manifest": manifest,
                "undo": [operations.create(ref.kind, manifests.for_creation(manifest, parameters.event))],
            },
            risk=Risk.HIGH,
            risk_reason="Somebody made it on purpose: only a person can say whether it may go.",
            reversible=True,
            undo_summary=f"{ref} is there again.",
            blast_radius=BlastRadius(managed_by=managed_by(live)),
            parameters=parameters.model_dump(by_alias=True),
        )


def _former(live: Object, ref: ObjectRef, parameters: RestoreObjectParameters) -> tuple[Object, str]:
    """The manifest to go back to, and in words what it is."""
    if parameters.last_applied:
        applied = manifests.applied(live, ref.kind)
        if applied is None:
            raise CannotPlan(f"{ref} is as it was last applied, or nobody applied it.")
        return applied, "what was last applied"
    row = KnownState.objects.filter(pk=parameters.state, kind=ref.kind, uid=ref.uid).first()
    if row is None:
        raise CannotPlan(f"That state of {ref} is not remembered any more.")
    return row.state, f"how it was seen at {row.last_seen_at:%Y-%m-%d %H:%M:%S} UTC"


def _back(live: Object, then: Object, different: dict[tuple[str, ...], Any]) -> list[dict[str, Any]]:
    """The steps that undo it, as they will be right when it is done: what was added is removed again."""
    steps: list[dict[str, Any]] = []
    for path, (before, _) in different.items():
        parent = path[:-1]
        if before is not None:
            steps.append({"op": "add", "path": manifests.pointer(path), "value": before})
        elif len(path) > 1 and manifests.at(live, parent) is None:
            step = {"op": "remove", "path": manifests.pointer(parent)}
            steps += [] if step in steps else [step]
        else:
            steps.append({"op": "remove", "path": manifests.pointer(path)})
    return steps


def _without_owned_replicas(
    cluster: Cluster, workload: Workload, different: dict[tuple[str, ...], Any], timeout_seconds: float
) -> dict[tuple[str, ...], Any]:
    path = ("spec", "replicas")
    if path in different and autoscaler_of(cluster, workload, timeout_seconds=timeout_seconds):
        return {other: values for other, values in different.items() if other != path}
    return different


def _remaining(workload: Workload, different: dict[tuple[str, ...], Any]) -> int:
    """Ready replicas that surely remain meanwhile."""
    remaining = workload.ready_while_rolling() if ("spec", "template") in different else workload.ready
    fewer = different.get(("spec", "replicas"))
    return min(remaining, int(fewer[1] or 0)) if fewer else remaining


def _risk(ref: ObjectRef, radius: BlastRadius) -> tuple[Risk, str]:
    if ref.kind in _DECIDED_BY_OTHERS:
        return Risk.MEDIUM, f"A {ref.kind} is often changed on purpose, by people who do not run the workload."
    if ref.kind in WORKLOAD_KINDS and radius.ready_replicas:
        return Risk.MEDIUM, "Replicas serve now."
    return Risk.LOW, "It was like that before, and worked."
