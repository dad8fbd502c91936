"""Strategies for claims that wait for a volume."""

from __future__ import annotations

from healing.actions.base import CannotPlan
from healing.metacognition.case import Case
from healing.metacognition.strategies.blueprint import Blueprint, Step
from healing.policies.spec import ActionName
from healing.ports.cluster import Object, ObjectRef
from healing.ports.errors import Forbidden

_DEFAULT = "storageclass.kubernetes.io/is-default-class"


def rebind_volume(case: Case) -> Blueprint:
    """The volume that the claim's former self has left; where it asks for a class that is not there, one that is."""
    found = case.finding.object
    if found.kind != "PersistentVolumeClaim":
        raise CannotPlan("The finding names no claim.")
    namespace = found.namespace or case.target.namespace
    claim = case.cluster.get("PersistentVolumeClaim", namespace, found.name, timeout_seconds=case.seconds)
    ref, parameters = ObjectRef.of(claim, "PersistentVolumeClaim"), {"event": case.event.name}
    if volume := str(case.fact("volume", "")):
        return Blueprint(
            f"Give claim {ref.name} the volume {volume} of its former self",
            "The claim was deleted and made anew; its volume was kept and still names the former one.",
            (Step(ActionName.REBIND_VOLUME, ref, {**parameters, "volume": volume}),),
            restores=True,
            seconds=20,
        )
    wanted = _class_for(case, claim)
    return Blueprint(
        f"Make claim {ref.name} anew in StorageClass {wanted}",
        "It asks for a class that is not there; it never had a volume, so nothing is lost.",
        (Step(ActionName.REBIND_VOLUME, ref, {**parameters, "storageClass": wanted}),),
        restores=False,
        seconds=40,
    )


def _class_for(case: Case, claim: Object) -> str:
    """The one whose name is most like what is asked for, else the cluster's default. Raises `CannotPlan`."""
    try:
        classes = case.cluster.list("StorageClass", timeout_seconds=case.seconds).items
    except Forbidden as error:
        raise CannotPlan(f"Which StorageClasses there are cannot be seen: {error}") from error
    names = {str(one["metadata"]["name"]) for one in classes}
    if claim["spec"].get("storageClassName") in names:
        raise CannotPlan(f"StorageClass {claim['spec']['storageClassName']} exists: its class is not what is wrong.")
    suggested = str(case.fact("suggested_class", ""))
    if suggested in names:
        return suggested
    defaults = [
        str(one["metadata"]["name"])
        for one in classes
        if (one["metadata"].get("annotations") or {}).get(_DEFAULT) == "true"
    ]
    if len(defaults) != 1:
        raise CannotPlan("Which StorageClass is meant is not clear: none is like it, and there is no single default.")
    return defaults[0]
