"""What a pod's claims mean for the scheduler."""

from __future__ import annotations

from dataclasses import dataclass

from healing.sandbox.ports import Cluster, Object
from healing.sandbox.world.selectors import matches_node

SELECTED_NODE = "volume.kubernetes.io/selected-node"


@dataclass(frozen=True, slots=True)
class VolumeVerdict:
    """``problem`` keeps the pod from every node; ``waiting`` claims are bound once a node is chosen."""

    problem: str = ""
    waiting: tuple[str, ...] = ()
    nodes: frozenset[str] | None = None


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
    for name in claims_of(pod):
        claim = cluster.get("persistentvolumeclaims", namespace, name)
        if claim is None:
            return VolumeVerdict(f'persistentvolumeclaim "{name}" not found')
        if claim["metadata"].get("deletionTimestamp"):
            return VolumeVerdict(f'persistentvolumeclaim "{name}" is being deleted')
        volume_name = claim["spec"].get("volumeName")
        if volume_name and (claim.get("status") or {}).get("phase") == "Bound":
            nodes = _meet(nodes, _volume_nodes(cluster, volume_name))
            continue
        class_name = claim["spec"].get("storageClassName")
        storage_class = cluster.get("storageclasses.storage.k8s.io", None, class_name) if class_name else None
        if storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer":
            waiting.append(name)
        else:
            return VolumeVerdict("pod has unbound immediate PersistentVolumeClaims")
    return VolumeVerdict(waiting=tuple(waiting), nodes=nodes)


def _volume_nodes(cluster: Cluster, name: str) -> frozenset[str] | None:
    """The node names a local volume names in its nodeAffinity (by hostname), None for any."""
    volume = cluster.get("persistentvolumes", None, name)
    required = ((volume or {}).get("spec", {}).get("nodeAffinity") or {}).get("required")
    if not required:
        return None
    return frozenset(
        node["metadata"]["name"]
        for node in cluster.list("nodes")
        if any(matches_node(term, node) for term in required.get("nodeSelectorTerms") or ())
    )


def _meet(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other
