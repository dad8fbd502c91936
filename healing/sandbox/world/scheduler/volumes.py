"""What a pod's claims mean for the scheduler."""

from __future__ import annotations

from dataclasses import dataclass

from healing.sandbox.ports import Cluster, Object
from healing.sandbox.world import storage

SELECTED_NODE = "volume.kubernetes.io/selected-node"


@dataclass(frozen=True, slots=True)
class VolumeVerdict:
    """``problem`` keeps the pod from every node; ``waiting`` claims are bound once a node is chosen."""

    problem: str = ""
    waiting: tuple[str, ...] = ()
    #: where the bound volumes can be used, None for anywhere
    nodes: frozenset[str] | None = None
    #: where the waiting claims could be bound, None for anywhere
    bindable: frozenset[str] | None = None
    #: another pod's hold on a claim that only one pod may use
    taken: bool = False


def claims_of(pod: Object) -> list[str]:
    names = []
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            names.append(volume["persistentVolumeClaim"]["claimName"])
        elif volume.get("ephemeral"):
            names.append(f"{pod['metadata']['name']}-{volume['name']}")
    return names


def check(cluster: Cluster, pod: Object) -> VolumeVerdict:
    namespace = pod["metadata"]["namespace"]
    waiting: list[str] = []
    nodes: frozenset[str] | None = None
    bindable: frozenset[str] | None = None
    taken = False
    for name in claims_of(pod):
        claim = cluster.get("persistentvolumeclaims", namespace, name)
        if claim is None:
            return VolumeVerdict(f'persistentvolumeclaim "{name}" not found')
        if claim["metadata"].get("deletionTimestamp"):
            return VolumeVerdict(f'persistentvolumeclaim "{name}" is being deleted')
        taken = taken or _used_by_another(cluster, pod, claim)
        volume_name = claim["spec"].get("volumeName")
        if volume_name and (claim.get("status") or {}).get("phase") == "Bound":
            nodes = _meet(nodes, _volume_nodes(cluster, volume_name))
            continue
        class_name = claim["spec"].get("storageClassName")
        storage_class = cluster.get("storageclasses.storage.k8s.io", None, class_name) if class_name else None
        if storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer":
            waiting.append(name)
            bindable = _meet(bindable, _bindable_nodes(cluster, claim, storage_class))
        else:
            return VolumeVerdict("pod has unbound immediate PersistentVolumeClaims")
    return VolumeVerdict(waiting=tuple(waiting), nodes=nodes, bindable=bindable, taken=taken)


def _bindable_nodes(cluster: Cluster, claim: Object, storage_class: Object) -> frozenset[str] | None:
    """Nodes for which a free volume suits, or (with a provisioner) one may be made; None for all."""
    volumes = cluster.list("persistentvolumes")
    provisioned = storage_class.get("provisioner") != storage.NO_PROVISIONER
    if provisioned and not storage_class.get("allowedTopologies"):
        return None
    return frozenset(
        node["metadata"]["name"]
        for node in cluster.list("nodes")
        if (provisioned and storage.allowed_on(storage_class, node))
        or storage.smallest_fitting(volumes, claim, node) is not None
    )


def _used_by_another(cluster: Cluster, pod: Object, claim: Object) -> bool:
    """``ReadWriteOncePod``: a pod on a node has the claim."""
    if "ReadWriteOncePod" not in (claim["spec"].get("accessModes") or ()):
        return False
    name, uid = claim["metadata"]["name"], pod["metadata"]["uid"]
    return any(
        other["metadata"]["uid"] != uid and other["spec"].get("nodeName") and name in claims_of(other)
        and (other.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        for other in cluster.list("pods", claim["metadata"]["namespace"])
    )  # fmt: skip


def _volume_nodes(cluster: Cluster, name: str) -> frozenset[str] | None:
    """The node names a local volume names in its nodeAffinity (by hostname), None for any."""
    volume = cluster.get("persistentvolumes", None, name)
    if volume is None or not (volume["spec"].get("nodeAffinity") or {}).get("required"):
        return None
    return frozenset(node["metadata"]["name"] for node in cluster.list("nodes") if storage.usable_on(volume, node))


def _meet(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other
