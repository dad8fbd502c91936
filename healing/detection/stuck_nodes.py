"""Nodes that say they are well while nothing gets on there: their pods neither start nor end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from healing.detection.cache import ObjectCache
from healing.detection.containers import condition, containers
from healing.detection.owners import controller_of, target
from healing.detection.sighting import Sighting
from healing.detection.times import parse_time
from healing.faults import Severity
from healing.ports.cluster import Object, ObjectRef

#: So many pods, of at least so many owners, and nothing else starts there meanwhile: no pod's own fault.
MIN_PODS, MIN_OWNERS = 3, 2
#: How long a pod has to wait to count as stuck: for its sandbox, or after its time to end has run out.
STUCK = timedelta(seconds=20)
GRACE_SECONDS = 5.0
#: What keeps a pod from starting wherever it is.
_OWN_FAULTS = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume"})


def stuck_sightings(node: Object, cache: ObjectCache, now: datetime) -> Iterator[Sighting]:
    """Several pods of several owners that wait for the node's runtime, while no container has started there."""
    name = str(node["metadata"].get("name"))
    here = [pod for pod in cache.list("Pod") if (pod.get("spec") or {}).get("nodeName") == name]
    waiting = {str(pod["metadata"].get("name")): (pod, at) for pod in here if (at := _stuck_since(pod, cache, now))}
    owners = {str((controller_of(pod) or pod["metadata"]).get("uid")) for pod, _ in waiting.values()}
    if len(waiting) < MIN_PODS or len(owners) < MIN_OWNERS:
        return
    since = min(at for _, at in waiting.values())
    if any(started > since for pod in here for started in _starts(pod)):
        return
    names = sorted(waiting)
    ref = ObjectRef.of(node, "Node")
    yield Sighting(
        target=target(node),
        subject=ref,
        symptom="PodsStuckOnNode",
        message=f"Node {ref.name} says it is ready, but {len(names)} of its pods neither start nor end: "
        f"{', '.join(names[:5])}.",
        severity=Severity.HIGH,
        grace_seconds=GRACE_SECONDS,
        data={"pods": names[:20]},
    )


def nodes_to_look_at(cache: ObjectCache, now: datetime) -> set[str]:
    """Names of nodes with so many stuck pods: neither node nor pods change meanwhile, so nothing else calls for it."""
    counts = Counter(
        str((pod.get("spec") or {}).get("nodeName") or "")
        for pod in cache.list("Pod")
        if _stuck_since(pod, cache, now) is not None
    )
    return {name for name, count in counts.items() if name and count >= MIN_PODS}


def _stuck_since(pod: Object, cache: ObjectCache, now: datetime) -> datetime | None:
    meta, status = pod["metadata"], pod.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return None
    since = parse_time(meta.get("deletionTimestamp"))  # the end of its grace period
    if since is not None:
        is_stuck = not meta.get("finalizers")
    else:
        since = parse_time(condition(pod, "PodScheduled").get("lastTransitionTime"))
        is_stuck = _waits_for_sandbox(pod) and not any(
            event.get("reason") in _OWN_FAULTS for event in cache.events_about(str(meta.get("uid") or ""))
        )
    return since if is_stuck and since is not None and now - since > STUCK else None


def _waits_for_sandbox(pod: Object) -> bool:
    """Not even its network and first process are there. (With them it may be pulling an image, which takes its time;
    older clusters do not tell one from the other, so their pods do not count.)"""
    return condition(pod, "PodReadyToStartContainers").get("status") == "False"


def _starts(pod: Object) -> Iterator[datetime]:
    for view in containers(pod):
        if view.running_since is not None:
            yield view.running_since
