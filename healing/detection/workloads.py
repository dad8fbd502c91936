"""Faults that show on workloads themselves: stopped rollouts, pods that cannot be created, missing replicas."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from healing.detection.cache import ObjectCache, event_time
from healing.detection.containers import condition
from healing.detection.owners import Target, target_of
from healing.detection.pauses import paused_sightings
from healing.detection.sighting import Sighting
from healing.detection.times import parse_time
from healing.faults import Severity
from healing.ports.cluster import Object, ObjectRef

FAILED_CREATE_GRACE_SECONDS = 5.0
#: Nothing left, after it had been complete. Long enough for a drained node's pods to start elsewhere: what keeps them
#: from it shows on the pods, much earlier.
DOWN_GRACE_SECONDS = 45.0
#: Some are missing.
DEGRADED_GRACE_SECONDS = 90.0
#: A StatefulSet or DaemonSet update has no deadline of its own.
STALLED_UPDATE_GRACE_SECONDS = 300.0
_RECENT_END = timedelta(minutes=10)
_FRESH_EVENT = timedelta(minutes=2)


def workload_sightings(obj: Object, cache: ObjectCache, now: datetime, *, lenient: bool = False) -> list[Sighting]:
    """What is wrong with a Deployment, ReplicaSet, StatefulSet, DaemonSet or Job. Raises `owners.OwnerUnknown` (see
    `owners.target_of`)."""
    detect = _DETECTORS.get(str(obj.get("kind")))
    if detect is None or (obj.get("metadata") or {}).get("deletionTimestamp"):
        return []
    status = obj.get("status") or {}
    observed, generation = status.get("observedGeneration"), obj["metadata"].get("generation")
    target = target_of(obj, cache, lenient=lenient)
    if isinstance(observed, int) and isinstance(generation, int) and observed < generation:
        # Its controller has not looked at the newest spec yet, or what it wants to make is refused, and it says so.
        return list(_failed_create_events(obj, target, cache, now)) if obj.get("kind") in _SAID_IN_EVENTS else []
    return list(detect(obj, target, cache, now))


def _deployment(obj: Object, target: Target, cache: ObjectCache, now: datetime) -> Iterator[Sighting]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    progressing = condition(obj, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded" and not spec.get("paused"):
        yield _of(target, obj, "ProgressDeadlineExceeded", f"The rollout stopped: {progressing.get('message')}")
    yield from _replica_failure(obj, target)
    yield from paused_sightings(obj, target)
    wanted, available = _wanted(spec), int(status.get("availableReplicas") or 0)
    # While a rollout goes on its own deadline watches over it (a first rollout is that too). Without a deadline there
    # is no condition.
    is_complete = progressing.get("reason") == "NewReplicaSetAvailable"
    if not progressing:
        is_complete = int(status.get("updatedReplicas") or 0) >= wanted
    if is_complete or (spec.get("paused") and available == 0):
        yield from _missing(obj, target, wanted, available)


def _replicaset(obj: Object, target: Target, cache: ObjectCache, now: datetime) -> Iterator[Sighting]:
    if target.ref.kind != "ReplicaSet":
        return  # its Deployment shows the same
    yield from _replica_failure(obj, target)
    status = obj.get("status") or {}
    yield from _missing(obj, target, _wanted(obj.get("spec") or {}), int(status.get("availableReplicas") or 0))


def _statefulset(obj: Object, target: Target, cache: ObjectCache, now: datetime) -> Iterator[Sighting]:
    status, wanted = obj.get("status") or {}, _wanted(obj.get("spec") or {})
    ready = int(status.get("readyReplicas") or 0)
    if int(status.get("replicas") or 0) < wanted or ready < wanted:
        yield from _failed_create_events(obj, target, cache, now)
    if ready >= wanted:
        return
    if status.get("currentRevision") == status.get("updateRevision"):
        yield from _missing(obj, target, wanted, ready)
    else:
        message = (
            f"The update of StatefulSet {obj['metadata']['name']} has stopped with {ready} of {wanted} pods ready."
        )
        yield _of(target, obj, "UpdateStalled", message, STALLED_UPDATE_GRACE_SECONDS)


def _daemonset(obj: Object, target: Target, cache: ObjectCache, now: datetime) -> Iterator[Sighting]:
    status = obj.get("status") or {}
    wanted = int(status.get("desiredNumberScheduled") or 0)
    lost_nodes = sum(condition(node, "Ready").get("status") != "True" for node in cache.list("Node"))
    missing = max(0, int(status.get("numberUnavailable") or 0) - lost_nodes)  # a lost node's pod is the node's fault
    if int(status.get("currentNumberScheduled") or 0) < wanted:
        yield from _failed_create_events(obj, target, cache, now)
    if not missing:
        return
    if int(status.get("updatedNumberScheduled") or 0) >= wanted:
        yield from _missing(obj, target, wanted, wanted - missing)
    else:
        message = f"The update of DaemonSet {obj['metadata']['name']} has stopped with {missing} pods not available."
        yield _of(target, obj, "UpdateStalled", message, STALLED_UPDATE_GRACE_SECONDS)


def _job(obj: Object, target: Target, cache: ObjectCache, now: datetime) -> Iterator[Sighting]:
    failed = condition(obj, "Failed")
    ended_at = parse_time(failed.get("lastTransitionTime"))
    if failed.get("status") == "True":
        if ended_at is None or now - ended_at < _RECENT_END:
            reason = str(failed.get("reason") or "")
            message = f"Job {obj['metadata']['name']} failed: {failed.get('message') or reason}"
            moment = str(failed.get("lastTransitionTime") or "")
            yield _of(target, obj, "JobFailed", message, severity=Severity.MEDIUM, moment=moment, reason=reason)
    elif condition(obj, "Complete").get("status") != "True" and not (obj.get("spec") or {}).get("suspend"):
        yield from _failed_create_events(obj, target, cache, now)


#: Kinds without a condition for pods that cannot be created.
_SAID_IN_EVENTS = frozenset({"StatefulSet", "DaemonSet", "Job"})
_DETECTORS = {
    "Deployment": _deployment,
    "ReplicaSet": _replicaset,
    "StatefulSet": _statefulset,
    "DaemonSet": _daemonset,
    "Job": _job,
}


def _replica_failure(obj: Object, target: Target) -> Iterator[Sighting]:
    failure = condition(obj, "ReplicaFailure")
    if failure.get("status") == "True":
        detail = str(failure.get("message") or "")
        yield _of(
            target, obj, str(failure.get("reason") or "FailedCreate"), f"Pods cannot be created: {detail}",
            FAILED_CREATE_GRACE_SECONDS, since=parse_time(failure.get("lastTransitionTime")), detail=detail,
        )  # fmt: skip


def _failed_create_events(obj: Object, target: Target, cache: ObjectCache, now: datetime) -> Iterator[Sighting]:
    """StatefulSets, DaemonSets and Jobs say so only in Events."""
    for event in reversed(cache.events_about(str(obj["metadata"].get("uid") or ""))):
        at = parse_time(event_time(event))
        if event.get("reason") == "FailedCreate" and at is not None and now - at < _FRESH_EVENT:
            detail = str(event.get("message") or "")
            yield _of(
                target, obj, "FailedCreate", f"Pods cannot be created: {detail}", FAILED_CREATE_GRACE_SECONDS,
                since=parse_time(event.get("firstTimestamp")), detail=detail,
            )  # fmt: skip
            return


def _missing(obj: Object, target: Target, wanted: int, available: int) -> Iterator[Sighting]:
    if available >= wanted:
        return
    is_down = available == 0
    yield _of(
        target,
        obj,
        "ReplicasUnavailable",
        f"{available} of {wanted} replicas are available.",
        DOWN_GRACE_SECONDS if is_down else DEGRADED_GRACE_SECONDS,
        severity=Severity.CRITICAL if is_down else Severity.MEDIUM,
        wanted=wanted,
        available=available,
    )


def _of(
    target: Target,
    obj: Object,
    symptom: str,
    message: str,
    grace_seconds: float = 0.0,
    *,
    severity: Severity = Severity.HIGH,
    since: datetime | None = None,
    moment: str = "",
    **data: Any,
) -> Sighting:
    return Sighting(
        target=target,
        subject=ObjectRef.of(obj),
        symptom=symptom,
        message=message,
        severity=severity,
        grace_seconds=grace_seconds,
        since=since,
        moment=moment,
        data=data,
    )


def _wanted(spec: Any) -> int:
    replicas = spec.get("replicas")
    return 1 if replicas is None else int(replicas)
