"""Recreate an object that was deleted, as it was last seen. Secrets are never kept, so they cannot be made anew."""

from __future__ import annotations

import copy
from typing import ClassVar

from pydantic import Field

from healing.actions import manifests, operations, retrying
from healing.actions.base import Action, BlastRadius, CannotPlan, Change, Parameters, Plan
from healing.actions.ownership import managed_by
from healing.actions.reading import WORKLOAD_KINDS
from healing.models import KnownState
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, Object, ObjectRef
from healing.ports.errors import NotFound

RECREATABLE = frozenset(manifests.PARTS)

_MEANT = "Whoever deletes a workload often means it: only a person can say whether it shall be there again."
_RISKS = {
    "PersistentVolumeClaim": "The new volume is empty: what was on the old one has to come from a backup.",
    **dict.fromkeys(WORKLOAD_KINDS, _MEANT),
}


class RecreateMissingParameters(Parameters):
    """``state``: the row of the `KnownState` to make it from. ``event`` is written on it as a label."""

    state: int = Field(ge=1)
    event: str = Field(min_length=1, max_length=63)


class RecreateMissing(Action[RecreateMissingParameters]):
    """Only where nothing of that name exists."""

    name = ActionName.RECREATE_MISSING
    title = "Make it anew as it was"
    kinds = RECREATABLE
    permissions: ClassVar = (
        *((verb, kind) for kind in sorted(RECREATABLE) for verb in ("get", "create", "delete")),
        *retrying.PERMISSIONS,
    )
    parameters = RecreateMissingParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: RecreateMissingParameters, *, timeout_seconds: float
    ) -> Plan:
        ref = ObjectRef(target.kind, target.namespace, target.name)
        row = KnownState.objects.filter(
            pk=parameters.state, kind=ref.kind, namespace=ref.namespace, name=ref.name
        ).first()
        if row is None:
            raise CannotPlan(f"Nobody remembers any more what {ref} was like.")
        try:
            live = cluster.get(ref.kind, ref.namespace, ref.name, timeout_seconds=timeout_seconds)
        except NotFound:
            pass
        else:
            if live["metadata"].get("labels", {}).get(operations.EVENT_LABEL) != parameters.event:
                raise CannotPlan(f"{ref} exists.")
        manifest = _made_new(row.state)
        is_claim = ref.kind == "PersistentVolumeClaim"
        return Plan(
            action=self.name,
            target=ref,
            generation=0,
            summary=f"Make {ref} anew, as it was seen at {row.last_seen_at:%Y-%m-%d %H:%M:%S} UTC.",
            changes=(Change(ref, "", None, manifest),),
            operations=(operations.create(ref.kind, manifests.for_creation(manifest, parameters.event)),),
            # What pods have written on a new volume meanwhile must not be lost with it.
            pre_state={} if is_claim else {"undo": [operations.delete(ref)]},
            risk=Risk.HIGH if is_claim or ref.kind in WORKLOAD_KINDS else Risk.LOW,
            risk_reason=_RISKS.get(ref.kind, "It was there before, and nothing of that name is there now."),
            reversible=not is_claim,
            undo_summary=(f"{ref} stays: pods may have written on it." if is_claim else f"{ref} was taken away again."),
            blast_radius=BlastRadius(managed_by=managed_by(row.state)),
            parameters=parameters.model_dump(by_alias=True),
        )


def _made_new(state: Object) -> Object:
    """Without what bound it to its former life."""
    manifest = copy.deepcopy(state)
    if manifest["kind"] == "PersistentVolumeClaim":
        manifest["spec"].pop("volumeName", None)
    if manifest["kind"] == "ServiceAccount":
        manifest.pop("secrets", None)  # tokens are made anew
    return manifest
