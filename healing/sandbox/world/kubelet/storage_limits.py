"""What a pod may write to its node's disk: limits of containers, of the pod, and of emptyDir volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from healing.sandbox.ports import Object
from healing.sandbox.world import quantities

if TYPE_CHECKING:
    from healing.sandbox.world.kubelet.pod_worker import PodWorker

RESOURCE = "ephemeral-storage"


def exceeded_limit(worker: PodWorker) -> str:
    """The eviction message of the first limit that is exceeded, in the kubelet's order; empty if none is."""
    used = {container.name: worker.ephemeral_bytes(container.name) for container in worker.every()}
    if not any(used.values()):
        return ""
    spec = worker.pod["spec"]
    for volume in spec.get("volumes") or ():
        limit = (volume.get("emptyDir") or {}).get("sizeLimit")
        if limit and _written_to(volume["name"], worker, used) > quantities.parse(limit):
            return f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}". '
    limits = {container.name: _limit(container.spec) for container in worker.every()}
    regular = [container.name for container in worker.main]
    if any(limits[name] for name in regular):
        # Compared with what the whole pod writes, as the kubelet does it: also what those without a limit write.
        total = sum(quantities.parse(limits[name]) for name in regular if limits[name])
        if sum(used.values()) > total:
            shown = quantities.format_bytes(quantities.parse(str(total)))
            return f"Pod ephemeral local storage usage exceeds the total limit of containers {shown}. "
    for name, limit in limits.items():
        if limit and used[name] > quantities.parse(limit):
            return f'Container {name} exceeded its local ephemeral storage limit "{limit}". '
    return ""


def _limit(spec: Object) -> str:
    return str(((spec.get("resources") or {}).get("limits") or {}).get(RESOURCE) or "")


def _written_to(volume: str, worker: PodWorker, used: dict[str, int]) -> int:
    """A program with an emptyDir writes there; one with several writes to the first."""
    total = 0
    empty = {v["name"] for v in worker.pod["spec"].get("volumes") or () if "emptyDir" in v}
    for container in worker.every():
        mounted = [m["name"] for m in container.spec.get("volumeMounts") or () if m["name"] in empty]
        if mounted and mounted[0] == volume:
            total += used[container.name]
    return total
