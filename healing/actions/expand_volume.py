"""Expand a volume: ask for more storage in a claim, where its class lets it grow. It cannot be made smaller again."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from pydantic import Field

from healing.actions import operations, quantities
from healing.actions.base import Action, BlastRadius, CannotPlan, Change, Parameters, Plan
from healing.actions.ownership import managed_by
from healing.actions.reading import get
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, ObjectRef
from healing.ports.errors import Forbidden, NotFound

_AT_MOST_TIMES = 2
#: Of a small volume twice as much is nothing: so much more costs little.
_SMALL_BYTES = Decimal(10 * 2**30)


def most_of(size: Decimal) -> Decimal:
    """How big a volume of that size may become at a time, in whole Mi."""
    most = max(size * _AT_MOST_TIMES, size + _SMALL_BYTES)
    return (most / 2**20).to_integral_value(rounding="ROUND_CEILING") * 2**20


class ExpandVolumeParameters(Parameters):
    """``storage``: the new size, such as ``20Gi``."""

    storage: str = Field(min_length=1, max_length=30)


class ExpandVolume(Action[ExpandVolumeParameters]):
    """At most twice as big at a time, or 10Gi bigger."""

    name = ActionName.EXPAND_VOLUME
    title = "Expand the volume"
    kinds = frozenset({"PersistentVolumeClaim"})
    permissions: ClassVar = (
        ("get", "PersistentVolumeClaim"),
        ("patch", "PersistentVolumeClaim"),
        ("get", "StorageClass"),
    )
    parameters = ExpandVolumeParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: ExpandVolumeParameters, *, timeout_seconds: float
    ) -> Plan:
        claim = get(cluster, target, timeout_seconds=timeout_seconds)
        ref, spec = ObjectRef.of(claim, "PersistentVolumeClaim"), claim["spec"]
        if (claim.get("status") or {}).get("phase") != "Bound":
            raise CannotPlan(f"{ref} has no volume yet.")
        now = ((spec.get("resources") or {}).get("requests") or {}).get("storage", "0")
        before, after = quantities.parse(now), quantities.parse(parameters.storage)
        if after <= before:
            raise CannotPlan(f"{ref} asks for {now} already.")
        if after > most_of(before):
            raise CannotPlan(
                f"{parameters.storage} is more than twice the {now} of {ref}, and more than 10Gi more: a person has to "
                "do that."
            )
        _check_class(cluster, ref, str(spec.get("storageClassName") or ""), timeout_seconds)
        body = {"spec": {"resources": {"requests": {"storage": parameters.storage}}}}
        return Plan(
            action=self.name,
            target=ref,
            generation=0,
            summary=f"Expand {ref} from {now} to {parameters.storage}.",
            changes=(Change(ref, "spec.resources.requests.storage", now, parameters.storage),),
            operations=(operations.patch(ref, body),),
            pre_state={"storage": now},
            risk=Risk.MEDIUM,
            risk_reason="Nothing is lost, but a volume cannot be made smaller again, and bigger ones cost more.",
            reversible=False,
            undo_summary="A volume cannot be made smaller: it keeps its new size.",
            blast_radius=BlastRadius(managed_by=managed_by(claim)),
            parameters=parameters.model_dump(by_alias=True),
        )


def _check_class(cluster: Cluster, ref: ObjectRef, name: str, timeout_seconds: float) -> None:
    if not name:
        raise CannotPlan(f"{ref} has no StorageClass that could expand it.")
    try:
        found = cluster.get("StorageClass", "", name, timeout_seconds=timeout_seconds)
    except NotFound as error:
        raise CannotPlan(f"StorageClass {name} does not exist any more.") from error
    except Forbidden:
        return  # the API server refuses it in the dry run where it must
    if not found.get("allowVolumeExpansion"):
        raise CannotPlan(f"StorageClass {name} does not allow volumes to grow.")
