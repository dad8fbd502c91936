"""Faults of nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from healing.detection.cache import ObjectCache
from healing.detection.containers import condition
from healing.detection.owners import controller_of, target
from healing.detection.sighting import Sighting
from healing.detection.stuck_nodes import stuck_sightings
from healing.detection.times import parse_time
from healing.faults import Severity
from healing.ports.cluster import Object, ObjectRef

#: A kubelet that says it is not ready may only be restarting.
NOT_READY_GRACE_SECONDS = 5.0
PRESSURE_GRACE_SECONDS = 10.0
#: A node that has just joined is not ready until its network is, and may waver once more before it stays ready.
JOINING = timedelta(minutes=2)
WAVERING_GRACE_SECONDS = 15.0
#: A condition that is this much younger than its node has changed since the node came.
_FIRST_WORD = timedelta(seconds=10)
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
#: Taints of those who take nodes away on purpose.
_LEAVING = frozenset(
    {
        "ToBeDeletedByClusterAutoscaler",
        "DeletionCandidateOfClusterAutoscaler",
        "karpenter.sh/disrupted",
        "node.cloudprovider.kubernetes.io/shutdown",
        "node.kubernetes.io/out-of-service",
    }
)


def node_sightings(node: Object, cache: ObjectCache, now: datetime) -> list[Sighting]:
    """What is wrong with the node."""
    meta, spec = node.get("metadata") or {}, node.get("spec") or {}
    if meta.get("deletionTimestamp") or any(taint.get("key") in _LEAVING for taint in spec.get("taints") or ()):
        return []
    if spec.get("unschedulable") and not _carries_work(str(meta.get("name")), cache):
        return []  # cordoned and drained: somebody works on it
    found = list(_conditions(node, now))
    return found or list(stuck_sightings(node, cache, now))


def _conditions(node: Object, now: datetime) -> Iterator[Sighting]:
    subject, ready = ObjectRef.of(node, "Node"), condition(node, "Ready")
    created_at = parse_time(node["metadata"].get("creationTimestamp"))
    is_young = created_at is not None and now - created_at < JOINING
    if ready and ready.get("status") != "True":
        is_lost = ready.get("status") == "Unknown"
        if not is_young or _has_turned(ready, created_at):
            yield Sighting(
                target=target(node),
                subject=subject,
                symptom="NodeNotReady",
                message=f"Node {subject.name} is not ready: {ready.get('message') or ready.get('reason')}",
                severity=Severity.CRITICAL,
                # The control plane has already waited for the kubelet when it says Unknown.
                grace_seconds=0.0 if is_lost else WAVERING_GRACE_SECONDS if is_young else NOT_READY_GRACE_SECONDS,
                since=parse_time(ready.get("lastTransitionTime")),
                data={"reason": str(ready.get("reason") or ""), "lost": is_lost},
            )
        return  # its other conditions are as old as its last word
    for name in _PRESSURES:
        pressure = condition(node, name)
        is_first_word = is_young and not _has_turned(pressure, created_at)
        if pressure.get("status") == "True" and not (name == "NetworkUnavailable" and is_first_word):
            yield Sighting(
                target=target(node),
                subject=subject,
                symptom=name,
                message=f"Node {subject.name}: {pressure.get('message') or name}",
                severity=Severity.HIGH,
                grace_seconds=PRESSURE_GRACE_SECONDS,
                since=parse_time(pressure.get("lastTransitionTime")),
                data={"reason": str(pressure.get("reason") or "")},
            )


def _has_turned(entry: Mapping[str, Any], created_at: datetime | None) -> bool:
    """Whether the condition is not what it was when the node came: it has been well in between."""
    turned_at = parse_time(entry.get("lastTransitionTime"))
    return created_at is not None and turned_at is not None and turned_at - created_at > _FIRST_WORD


def _carries_work(node_name: str, cache: ObjectCache) -> bool:
    """Whether pods that a drain would have taken away are on it."""
    for pod in cache.list("Pod"):
        spec, status = pod.get("spec") or {}, pod.get("status") or {}
        if spec.get("nodeName") != node_name or status.get("phase") in ("Succeeded", "Failed"):
            continue
        owner = controller_of(pod)
        if not pod["metadata"].get("deletionTimestamp") and not (owner and owner.get("kind") in ("DaemonSet", "Node")):
            return True
    return False
