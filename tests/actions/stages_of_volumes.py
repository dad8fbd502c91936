"""Stages of claims and volumes: to grow, and to be given another volume."""

from __future__ import annotations

from typing import Any

from healing.ports import ObjectRef
from healing.ports.errors import NotFound
from tests.actions.live import Namespace, until
from tests.actions.stage import Stage


def _exists(ns: Namespace, ref: ObjectRef) -> bool:
    try:
        ns.get(ref.kind, ref.name)
    except NotFound:
        return False
    return True


def expand_volume(ns: Namespace, name: str) -> Stage:
    storage_class = {"metadata": {"name": name}, "provisioner": "rancher.io/local-path", "allowVolumeExpansion": True}
    classes = [c for c in ns.cluster.list("StorageClass").items if c.get("allowVolumeExpansion")]
    if not classes:
        classes = [ns.cluster.create("StorageClass", "", storage_class)]
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": classes[0]["metadata"]["name"],
        "resources": {"requests": {"storage": "1Gi"}},
    }
    ref = ns.create("PersistentVolumeClaim", {"apiVersion": "v1", "metadata": {"name": name}, "spec": claim})
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]
    ns.deployment(name, replicas=1, pod={"volumes": volumes})
    until(lambda: ns.get("PersistentVolumeClaim", name)["status"].get("phase") == "Bound", "a bound claim")

    def size() -> Any:
        return ns.get("PersistentVolumeClaim", name)["spec"]["resources"]["requests"]["storage"]

    return Stage(
        "expandVolume",
        ref,
        lambda: size() == "1536Mi",
        None,
        lambda: (
            ns.cluster.patch(ref.kind, ns.name, name, {"spec": {"resources": {"requests": {"storage": "2Gi"}}}})
            and None
        ),
        {"storage": "1536Mi"},
    )


def _static_volume(ns: Namespace, name: str, **spec: Any) -> None:
    body = {
        "apiVersion": "v1",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": f"manual-{name}",
            "hostPath": {"path": f"/data/{name}"},
            **spec,
        },
    }
    ns.cluster.create("PersistentVolume", "", body)


def claim_of(ns: Namespace, name: str, storage_class: str, **spec: Any) -> ObjectRef:
    full = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": storage_class,
        "resources": {"requests": {"storage": "1Gi"}},
        **spec,
    }
    return ns.create("PersistentVolumeClaim", {"apiVersion": "v1", "metadata": {"name": name}, "spec": full})


def phase_of_claim(ns: Namespace, name: str) -> Any:
    return (ns.get("PersistentVolumeClaim", name).get("status") or {}).get("phase")


def left_behind(ns: Namespace, name: str, **volume: Any) -> ObjectRef:
    """A claim that was deleted and made anew, while its volume (called ``NAMESPACE-NAME``) still names the former
    one."""
    kept = f"{ns.name}-{name}"
    _static_volume(ns, kept, **volume)
    former = claim_of(ns, name, f"manual-{kept}")
    until(lambda: phase_of_claim(ns, name) == "Bound", "the former claim is bound")
    ns.cluster.delete(former.kind, ns.name, name)
    until(lambda: _volume(ns, kept)["status"]["phase"] == "Released", "its volume is released")
    ref = claim_of(ns, name, f"manual-{kept}")
    until(lambda: phase_of_claim(ns, name) == "Pending", "the new one waits")
    return ref


def _volume(ns: Namespace, name: str) -> dict[str, Any]:
    return ns.cluster.get("PersistentVolume", "", name)


def rebind_to_volume(ns: Namespace, name: str) -> Stage:
    ref = left_behind(ns, name)
    kept = f"{ns.name}-{name}"

    def is_given() -> bool:
        return _volume(ns, kept)["spec"]["claimRef"].get("uid") == ref.uid

    return Stage(
        "rebindVolume",
        ref,
        is_given,
        None,
        lambda: ns.cluster.patch("PersistentVolume", "", kept, {"spec": {"claimRef": {"name": "another"}}}) and None,
        {"volume": kept, "event": f"he-{name}"},
        clean_up=lambda: ns.cluster.delete("PersistentVolume", "", kept),
    )


def rebind_to_class(ns: Namespace, name: str) -> Stage:
    ref = claim_of(ns, name, "no-such-class")
    until(lambda: phase_of_claim(ns, name) == "Pending", "a claim that waits")
    made = {"metadata": {"name": f"fast-{ns.name}-{name}"}, "provisioner": "rancher.io/local-path"}
    storage_class = ns.cluster.create("StorageClass", "", made)["metadata"]["name"]

    def is_of_class() -> bool:
        return _exists(ns, ref) and ns.get(ref.kind, name)["spec"].get("storageClassName") == storage_class

    return Stage(
        "rebindVolume",
        ref,
        is_of_class,
        None,
        lambda: ns.cluster.delete(ref.kind, ns.name, name),
        {"storageClass": storage_class, "event": f"he-{name}"},
        writes=2,
        method="DELETE",
        clean_up=lambda: ns.cluster.delete("StorageClass", "", storage_class),
    )
