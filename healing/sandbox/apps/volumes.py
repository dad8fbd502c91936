"""The data of PersistentVolumeClaims, which outlives the processes that write it."""

from __future__ import annotations

from collections.abc import Iterator

from healing.sandbox.apps.disk import Disk, Volume
from healing.sandbox.apps.process import BaseProcess
from healing.sandbox.apps.program import DefinitionError, parse_bytes
from healing.sandbox.ports import Cluster, Object


class Volumes:
    """By (namespace, claim name)."""

    def __init__(self) -> None:
        self._volumes: dict[tuple[str, str], Volume] = {}
        #: by pod uid and container; what is in an emptyDir stays until the pod goes
        self._scratch: dict[tuple[str, str], tuple[Disk, str, str]] = {}

    def mount(self, cluster: Cluster, process: BaseProcess) -> None:
        """Give a starting process the disk its container writes to: its first claim, else the machine's."""
        start = process.start
        pod = cluster.get("pods", start.namespace, start.pod_name)
        for claim in _claims(pod or {}, start.container):
            key = (start.namespace, claim)
            process.disk.volume = self._volumes.setdefault(key, Volume())
            self._measure(cluster, key)
            return
        node = cluster.get("nodes", None, start.node_name) if start.node_name else None
        text = ((node or {}).get("status", {}).get("capacity") or {}).get("ephemeral-storage", "0")
        if _writes_to_empty_dir(pod or {}, start.container):
            known = self._scratch.setdefault(process.key, (process.disk, start.namespace, start.pod_name))
            process.disk = known[0]
        process.disk.ephemeral_room_bytes = _size(text)

    def refresh(self, cluster: Cluster) -> None:
        """Follow claims that were made larger or are gone."""
        for key in list(self._volumes):
            self._measure(cluster, key)
        for key, (_disk, namespace, name) in list(self._scratch.items()):
            pod = cluster.get("pods", namespace, name)
            if pod is None or pod["metadata"]["uid"] != key[0]:
                del self._scratch[key]

    def _measure(self, cluster: Cluster, key: tuple[str, str]) -> None:
        claim = cluster.get("persistentvolumeclaims", *key)
        if claim is None:
            self._volumes.pop(key, None)
            return
        capacity = (claim.get("status") or {}).get("capacity") or {}
        self._volumes[key].capacity_bytes = _size(capacity.get("storage", "0"))

    def items(self) -> Iterator[tuple[tuple[str, str], Volume]]:
        """((namespace, claim), volume), for who measures them."""
        yield from self._volumes.items()


def _claims(pod: Object, container: str) -> Iterator[str]:
    """Names of the claims a container mounts for writing."""
    spec = pod.get("spec") or {}
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in spec.get("volumes") or ()
        if volume.get("persistentVolumeClaim")
    }
    for found in spec.get("containers") or ():
        if found["name"] == container:
            for mount in found.get("volumeMounts") or ():
                if mount["name"] in claims and not mount.get("readOnly"):
                    yield claims[mount["name"]]


def _writes_to_empty_dir(pod: Object, container: str) -> bool:
    """On the machine's disk, that is: one in memory is not counted as storage."""
    spec = pod.get("spec") or {}
    empty = {
        volume["name"]
        for volume in spec.get("volumes") or ()
        if "emptyDir" in volume and (volume["emptyDir"] or {}).get("medium") != "Memory"
    }
    return any(
        mount["name"] in empty and not mount.get("readOnly")
        for found in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
        if found["name"] == container
        for mount in found.get("volumeMounts") or ()
    )


def _size(text: object) -> float:
    try:
        return float(parse_bytes(text, "size"))
    except DefinitionError:
        return 0.0
