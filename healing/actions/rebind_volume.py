"""Bind a claim that waits to another volume: the one its former self left behind, or a new one of another class.

Never at the cost of data. A claim that has or had a volume is not touched, a volume is given to nobody but the claim of
the same name that it belonged to, and what any pod has started with stays as it is.
"""

from __future__ import annotations

import re
import time
from typing import Any, ClassVar

from pydantic import Field, model_validator

from healing.actions import operations, quantities
from healing.actions.base import Action, BlastRadius, CannotPlan, Change, Parameters, Plan
from healing.actions.ownership import managed_by
from healing.actions.reading import container_statuses, get
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, Object, ObjectRef
from healing.ports.errors import Forbidden, NotFound, Unavailable

_BOUND_ONCE = "pv.kubernetes.io/bind-completed"
#: Written by controllers about the claim that was.
_OF_CONTROLLERS = re.compile(r"(pv|volume(\.beta)?)\.kubernetes\.io/|kubectl\.kubernetes\.io/last-applied")
_KEPT_SPEC = ("accessModes", "resources", "selector", "volumeMode", "dataSource", "dataSourceRef")
#: A claim that is deleted goes within a moment, where no pod on a node uses it.
_GONE_SECONDS = 3.0
_GONE_EVERY_SECONDS = 0.05


class RebindVolumeParameters(Parameters):
    """``volume``: a PersistentVolume that this claim's former self has left. ``storageClass``: make the claim anew in
    that class. One of them. ``event``: whose doing it is."""

    event: str = Field(min_length=1, max_length=63)
    volume: str = Field("", max_length=253)
    storage_class: str = Field("", max_length=253)

    @model_validator(mode="after")
    def _one_of_them(self) -> RebindVolumeParameters:
        if bool(self.volume) == bool(self.storage_class):
            raise ValueError("name either a volume or a storageClass")
        return self


class RebindVolume(Action[RebindVolumeParameters]):
    """Whatever the policy says about risks: a person decides (`keepsData`)."""

    name = ActionName.REBIND_VOLUME
    title = "Rebind the volume"
    kinds = frozenset({"PersistentVolumeClaim"})
    permissions: ClassVar = (
        ("get", "PersistentVolumeClaim"),
        ("create", "PersistentVolumeClaim"),
        ("delete", "PersistentVolumeClaim"),
        ("get", "PersistentVolume"),
        ("list", "PersistentVolume"),
        ("patch", "PersistentVolume"),
        ("list", "Pod"),
        ("list", "StatefulSet"),
        ("get", "StorageClass"),
    )
    parameters = RebindVolumeParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: RebindVolumeParameters, *, timeout_seconds: float
    ) -> Plan:
        claim = get(cluster, target, timeout_seconds=timeout_seconds)
        _refuse_what_has_a_volume(claim)
        if parameters.volume:
            return self._to_volume(cluster, claim, parameters, timeout_seconds)
        return self._to_class(cluster, claim, parameters, timeout_seconds)

    def _to_volume(
        self, cluster: Cluster, claim: Object, parameters: RebindVolumeParameters, timeout_seconds: float
    ) -> Plan:
        ref = ObjectRef.of(claim, "PersistentVolumeClaim")
        try:
            volume = cluster.get("PersistentVolume", "", parameters.volume, timeout_seconds=timeout_seconds)
        except NotFound as error:
            raise CannotPlan(f"PersistentVolume {parameters.volume} does not exist.") from error
        former = _former_claim(claim, volume)
        if problem := _mismatch(claim, volume):
            raise CannotPlan(f"PersistentVolume {parameters.volume} does not suit {ref}: {problem}.")
        owner: Object = {"apiVersion": "v1", "kind": ref.kind, "namespace": ref.namespace, "name": ref.name}
        # Of a claim that is named with its uid no other one can take the volume in between.
        body = {"spec": {"claimRef": {**owner, "uid": ref.uid, "resourceVersion": None}}}
        volume_ref = ObjectRef.of(volume, "PersistentVolume")
        return Plan(
            action=self.name,
            target=ref,
            generation=0,
            summary=f"Give {volume_ref}, which the former claim {ref.name} has left, to the claim of that name now.",
            changes=(Change(volume_ref, "spec.claimRef.uid", former, ref.uid),),
            operations=(operations.patch(volume_ref, body),),
            pre_state={"claimRef": volume["spec"].get("claimRef")},
            risk=Risk.HIGH,
            risk_reason=f"What the former claim {ref.name} has written comes back with it: is that what is wanted?",
            reversible=False,
            undo_summary="The claim keeps the volume: nothing on it was changed.",
            blast_radius=BlastRadius(managed_by=managed_by(claim) or managed_by(volume)),
            parameters=parameters.model_dump(by_alias=True),
        )

    def _to_class(
        self, cluster: Cluster, claim: Object, parameters: RebindVolumeParameters, timeout_seconds: float
    ) -> Plan:
        ref, now = ObjectRef.of(claim, "PersistentVolumeClaim"), claim["spec"].get("storageClassName")
        if now == parameters.storage_class:
            raise CannotPlan(f"{ref} is of StorageClass {now} already.")
        try:
            cluster.get("StorageClass", "", parameters.storage_class, timeout_seconds=timeout_seconds)
        except NotFound as error:
            raise CannotPlan(f"StorageClass {parameters.storage_class} does not exist.") from error
        _refuse_what_was_used(cluster, claim, timeout_seconds)
        again = _made_anew(claim, parameters)
        return Plan(
            action=self.name,
            target=ref,
            generation=0,
            summary=f"Delete {ref}, which never had a volume, and make it anew in StorageClass "
            f"{parameters.storage_class}.",
            changes=(Change(ref, "spec.storageClassName", now, parameters.storage_class),),
            operations=(operations.delete(ref), operations.create("PersistentVolumeClaim", again)),
            pre_state={"spec": claim["spec"]},
            risk=Risk.HIGH,
            risk_reason="A claim's class cannot be changed: it is deleted and made anew. It never had a volume, so no "
            "data is lost; but where its data will lie from now on is for good.",
            reversible=False,
            undo_summary="The claim stays in its new class: its volume may hold data by now.",
            blast_radius=BlastRadius(managed_by=managed_by(claim)),
            parameters=parameters.model_dump(by_alias=True),
        )

    def dry_run(self, cluster: Cluster, plan: Plan, *, timeout_seconds: float) -> None:
        """As usual, but the new claim is tried out under another name: the old one is still there."""
        for operation in plan.operations:
            tried = operation
            if operation["verb"] == "create":
                body: Object = operation["body"]
                name = f"{body['metadata']['name'][:240]}-dry-run"
                tried = operations.create(
                    "PersistentVolumeClaim", {**body, "metadata": {**body["metadata"], "name": name}}
                )
            operations.send(cluster, tried, dry_run=True, timeout_seconds=timeout_seconds)

    def execute(self, cluster: Cluster, plan: Plan, *, timeout_seconds: float) -> dict[str, Any]:
        """Between deleting and making anew the old claim has to be gone. Raises `Unavailable` while it is not."""
        for number, operation in enumerate(plan.operations):
            if operation["verb"] == "delete" and number + 1 < len(plan.operations):
                operations.send(cluster, operation, timeout_seconds=timeout_seconds)
                _wait_until_gone(cluster, plan.target, timeout_seconds)
        if plan.operations and plan.operations[0]["verb"] == "create":  # the rest of what was begun
            _wait_until_gone(cluster, plan.target, timeout_seconds)
        return super().execute(cluster, plan, timeout_seconds=timeout_seconds)


def _refuse_what_has_a_volume(claim: Object) -> None:
    ref, phase = ObjectRef.of(claim, "PersistentVolumeClaim"), (claim.get("status") or {}).get("phase")
    name = claim["spec"].get("volumeName") or "a volume"
    if phase == "Bound":
        raise CannotPlan(f"{ref} is bound to {name}: what that holds would be lost. A person has to move the data.")
    if phase == "Lost" or (claim["metadata"].get("annotations") or {}).get(_BOUND_ONCE):
        raise CannotPlan(
            f"{ref} was bound to {name}, which is not there any more. Nobody can say what it held: restore the volume "
            "from where it is kept, or have a person make the claim anew."
        )
    if phase != "Pending":
        raise CannotPlan(f"{ref} is {phase or 'in no known state'}: only a claim that waits for a volume is rebound.")
    if owner := next(iter(claim["metadata"].get("ownerReferences") or ()), None):
        raise CannotPlan(f"{ref} belongs to {owner.get('kind')} {owner.get('name')}, which looks after it itself.")


def _former_claim(claim: Object, volume: Object) -> str:
    """The uid of the claim that left the volume; raises `CannotPlan` where it is not free for this one."""
    ref, name = ObjectRef.of(claim, "PersistentVolumeClaim"), volume["metadata"]["name"]
    owner, spec = volume["spec"].get("claimRef") or {}, volume["spec"]
    phase = (volume.get("status") or {}).get("phase")
    wanted = claim["spec"].get("volumeName")
    if wanted and wanted != name:
        raise CannotPlan(f"{ref} asks for PersistentVolume {wanted}, not for {name}.")
    if volume["metadata"].get("deletionTimestamp"):
        raise CannotPlan(f"PersistentVolume {name} is being deleted.")
    if owner and (owner.get("namespace"), owner.get("name")) != (ref.namespace, ref.name):
        raise CannotPlan(
            f"PersistentVolume {name} belonged to claim {owner.get('namespace')}/{owner.get('name')}: what that has "
            "written is given to no other claim."
        )
    if phase == "Bound" and owner.get("uid") != ref.uid:
        raise CannotPlan(f"PersistentVolume {name} is bound.")
    if phase not in ("Released", "Bound") and owner.get("uid") != ref.uid:
        raise CannotPlan(f"PersistentVolume {name} is {phase}, not Released: whether it binds is the cluster's to say.")
    if spec.get("persistentVolumeReclaimPolicy") != "Retain":
        raise CannotPlan(
            f"PersistentVolume {name} has the reclaim policy {spec.get('persistentVolumeReclaimPolicy')}: the cluster "
            "is about to remove it. Only one that is retained is given back."
        )
    if not owner:
        raise CannotPlan(f"PersistentVolume {name} is nobody's: whether it binds is the cluster's to say.")
    return str(owner.get("uid") or "")


def _mismatch(claim: Object, volume: Object) -> str:
    wanted, offered = claim["spec"], volume["spec"]
    if (wanted.get("storageClassName") or "") != (offered.get("storageClassName") or ""):
        return f"it is of class {offered.get('storageClassName') or '(none)'}"
    if (wanted.get("volumeMode") or "Filesystem") != (offered.get("volumeMode") or "Filesystem"):
        return f"it is a {offered.get('volumeMode') or 'Filesystem'}"
    if not set(wanted.get("accessModes") or ()) <= set(offered.get("accessModes") or ()):
        return f"it offers {', '.join(offered.get('accessModes') or ('no access mode',))}"
    asked = ((wanted.get("resources") or {}).get("requests") or {}).get("storage", "0")
    size = (offered.get("capacity") or {}).get("storage", "0")
    return f"it has {size} of {asked}" if quantities.parse(size) < quantities.parse(asked) else ""


def _refuse_what_was_used(cluster: Cluster, claim: Object, timeout_seconds: float) -> None:
    """Neither a volume nor a pod may know this claim. What we may not look at counts as used."""
    ref = ObjectRef.of(claim, "PersistentVolumeClaim")
    if claim["spec"].get("volumeName"):
        raise CannotPlan(
            f"{ref} asks for PersistentVolume {claim['spec']['volumeName']}: its class is not what it lacks."
        )
    try:
        volumes = cluster.list("PersistentVolume", timeout_seconds=timeout_seconds).items
        pods = cluster.list("Pod", ref.namespace, timeout_seconds=timeout_seconds).items
        sets = cluster.list("StatefulSet", ref.namespace, timeout_seconds=timeout_seconds).items
    except Forbidden as error:
        raise CannotPlan(f"Whether anything has used {ref} cannot be seen: {error}") from error
    for volume in volumes:
        owner = volume["spec"].get("claimRef") or {}
        if (owner.get("namespace"), owner.get("name")) == (ref.namespace, ref.name):
            name = volume["metadata"]["name"]
            raise CannotPlan(f"PersistentVolume {name} is kept for {ref}: a claim made anew would be given it instead.")
    for pod in pods:
        if ref.name in _claims_of(pod) and _has_started(pod):
            raise CannotPlan(f"Pod {pod['metadata']['name']} has started with {ref}: it may have written something.")
    for owner in sets:
        for template in owner["spec"].get("volumeClaimTemplates") or ():
            prefix = f"{template['metadata']['name']}-{owner['metadata']['name']}-"
            if ref.name.startswith(prefix) and ref.name.removeprefix(prefix).isdigit():
                name = owner["metadata"]["name"]
                raise CannotPlan(
                    f"{ref} is made by StatefulSet {name}, which would make it the same way again: its "
                    "volumeClaimTemplates have to be corrected."
                )


def _claims_of(pod: Object) -> set[str]:
    volumes = pod["spec"].get("volumes") or ()
    return {str((volume.get("persistentVolumeClaim") or {}).get("claimName") or "") for volume in volumes}


def _has_started(pod: Object) -> bool:
    if (pod.get("status") or {}).get("phase") not in (None, "", "Pending"):
        return True
    return any(
        status.get("restartCount") or {"running", "terminated"} & set(status.get("state") or {})
        for status in container_statuses(pod)
    )


def _made_anew(claim: Object, parameters: RebindVolumeParameters) -> Object:
    meta, spec = claim["metadata"], claim["spec"]
    annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if not _OF_CONTROLLERS.match(k)}
    return {
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "labels": {**(meta.get("labels") or {}), operations.EVENT_LABEL: parameters.event},
            **({"annotations": annotations} if annotations else {}),
        },
        "spec": {
            **{name: spec[name] for name in _KEPT_SPEC if spec.get(name) is not None},
            "storageClassName": parameters.storage_class,
        },
    }


def _wait_until_gone(cluster: Cluster, ref: ObjectRef, timeout_seconds: float) -> None:
    end = time.monotonic() + min(_GONE_SECONDS, timeout_seconds / 2)
    while True:
        try:
            live = cluster.get(ref.kind, ref.namespace, ref.name, timeout_seconds=timeout_seconds)
        except NotFound:
            return
        if live["metadata"].get("uid") != ref.uid:
            return
        if time.monotonic() >= end:
            raise Unavailable(f"{ref} is still being deleted: a pod may be holding it. It is tried again.")
        time.sleep(_GONE_EVERY_SECONDS)
