"""Which PersistentVolume suits which claim, and on which nodes. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from healing.sandbox.ports import Cluster, Object
from healing.sandbox.world import quantities
from healing.sandbox.world.selectors import matches, matches_node

NO_PROVISIONER = "kubernetes.io/no-provisioner"


def is_free(volume: Object, claim: Object) -> bool:
    """Nobody's, or kept for this very claim. A released volume is not free: its ``claimRef`` names the old one."""
    if (volume.get("status") or {}).get("phase") in ("Released", "Failed") or volume["metadata"].get(
        "deletionTimestamp"
    ):
        return False
    reference = volume["spec"].get("claimRef")
    if reference is None:
        return True
    metadata = claim["metadata"]
    return (
        reference.get("namespace") == metadata["namespace"]
        and reference.get("name") == metadata["name"]
        and reference.get("uid") in (None, "", metadata["uid"])
    )


def mismatch(volume: Object, claim: Object) -> str:
    """Why this volume cannot serve the claim, in the words for a claim that asks for it by name; empty if it can."""
    wanted, offered = claim["spec"], volume["spec"]
    size = quantities.parse(((wanted.get("resources") or {}).get("requests") or {}).get("storage"))
    if quantities.parse((offered.get("capacity") or {}).get("storage")) < size:
        return "requested PV is too small"
    if (offered.get("storageClassName") or "") != (wanted.get("storageClassName") or ""):
        return "storageClassName does not match"
    if (offered.get("volumeMode") or "Filesystem") != (wanted.get("volumeMode") or "Filesystem"):
        return "incompatible volumeMode"
    if not set(wanted.get("accessModes") or ()) <= set(offered.get("accessModes") or ()):
        return "incompatible accessMode"
    return ""


def suits(volume: Object, claim: Object) -> bool:
    """Free, matching, and chosen by the claim's selector if it has one."""
    selector = claim["spec"].get("selector")
    if selector is not None and not matches(selector, volume["metadata"].get("labels") or {}):
        return False
    return is_free(volume, claim) and not mismatch(volume, claim)


def smallest_fitting(volumes: Sequence[Object], claim: Object, node: Object | None) -> Object | None:
    """The smallest volume that suits; ``node``: only one that can be used there."""
    fitting = [v for v in volumes if suits(v, claim) and (node is None or usable_on(v, node))]
    kept = [v for v in fitting if v["spec"].get("claimRef") is not None]
    return min(kept or fitting, key=lambda v: quantities.parse(v["spec"]["capacity"]["storage"]), default=None)


def usable_on(volume: Object, node: Object) -> bool:
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    return not required or any(matches_node(term, node) for term in required.get("nodeSelectorTerms") or ())


def allowed_on(storage_class: Object, node: Object) -> bool:
    """The class's ``allowedTopologies`` admit a volume for this node."""
    topologies = storage_class.get("allowedTopologies")
    if not topologies:
        return True
    labels = node["metadata"].get("labels") or {}
    return any(
        all(labels.get(e["key"]) in (e.get("values") or ()) for e in term.get("matchLabelExpressions") or ())
        for term in topologies
    )


def is_attached(volume: Object) -> bool:
    """A disk that is attached to one machine at a time, unlike a directory or a share."""
    return "csi" in volume["spec"] and "ReadWriteMany" not in (volume["spec"].get("accessModes") or ())


def attach_problem(cluster: Cluster, pod: Object) -> str:
    """The Multi-Attach error of a pod whose disk another node still has; empty if there is none."""
    metadata, node = pod["metadata"], pod["spec"].get("nodeName")
    for name in _claim_names(pod):
        claim = cluster.get("persistentvolumeclaims", metadata["namespace"], name)
        volume_name = ((claim or {}).get("spec") or {}).get("volumeName") or ""
        volume = cluster.get("persistentvolumes", None, volume_name)
        if volume is None or not is_attached(volume):
            continue
        others = [
            other["metadata"]["name"]
            for other in cluster.list("pods", metadata["namespace"])
            if other["spec"].get("nodeName") not in (None, "", node)
            and name in _claim_names(other)
            and (other.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
            and (other.get("status") or {}).get("podIP")
        ]
        if others:
            used = f"Volume is already used by pod(s) {', '.join(sorted(others))}"
            return f'Multi-Attach error for volume "{volume_name}" {used}'
    return ""


def _claim_names(pod: Object) -> list[str]:
    return [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"].get("volumes") or ()
        if volume.get("persistentVolumeClaim")
    ]
