"""Pods that do not get to start: no node for them, or a volume or network that does not come."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from healing.detection.cache import ObjectCache, event_time
from healing.detection.containers import condition, containers
from healing.detection.owners import Target
from healing.detection.sighting import Sighting
from healing.detection.times import parse_time
from healing.faults import Severity
from healing.ports.cluster import Object, ObjectRef

UNSCHEDULABLE_GRACE_SECONDS = 10.0
#: A cluster autoscaler that has said it brings a node gets this long.
SCALE_UP_GRACE_SECONDS = 180.0
#: The kubelet tries a mount again after 0.5, 1, 2, 4 s: what comes a moment late is there by then.
MOUNT_GRACE_SECONDS = 8.0
#: Without any word from the kubelet about why.
SILENT_CREATING_GRACE_SECONDS = 120.0
_STALE_EVENT = timedelta(minutes=5)
_START_REASONS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox")


def start_sightings(
    pod: Object, target: Target, subject: ObjectRef, cache: ObjectCache, now: datetime
) -> Iterator[Sighting]:
    """A pod without a node, or with containers that are not even created."""
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        yield _unschedulable(pod, target, subject, cache, scheduled.get("message"), scheduled.get("lastTransitionTime"))
        return
    views = list(containers(pod))
    creating = [view for view in views if view.waiting.get("reason") in ("ContainerCreating", "PodInitializing")]
    if not creating or any(view.running is not None for view in views if view.is_init):
        return  # an init container at work may take as long as it needs
    about = [
        event
        for event in cache.events_about(subject.uid)
        if event.get("reason") in _START_REASONS and not _is_stale(event, now)
    ]
    since = parse_time((pod.get("status") or {}).get("startTime"))
    names = [view.name for view in creating]
    if about:
        newest = about[-1]
        yield Sighting(
            target=target,
            subject=subject,
            symptom=str(newest["reason"]),
            message=f"Pod {subject.name} cannot start: {newest.get('message')}",
            severity=Severity.HIGH,
            grace_seconds=MOUNT_GRACE_SECONDS,
            since=parse_time(about[0].get("firstTimestamp")) or parse_time(event_time(about[0])),
            data={"containers": names, "detail": str(newest.get("message") or "")},
        )
    else:
        yield Sighting(
            target=target,
            subject=subject,
            symptom="ContainerCreating",
            message=f"Pod {subject.name} has not started its containers: {', '.join(names)}.",
            severity=Severity.MEDIUM,
            grace_seconds=SILENT_CREATING_GRACE_SECONDS,
            since=since,
            data={"containers": names},
        )


def _unschedulable(
    pod: Object, target: Target, subject: ObjectRef, cache: ObjectCache, message: object, since: object
) -> Sighting:
    is_scaling_up = any(event.get("reason") == "TriggeredScaleUp" for event in cache.events_about(subject.uid))
    return Sighting(
        target=target,
        subject=subject,
        symptom="Unschedulable",
        message=f"No node takes pod {subject.name}: {message}",
        severity=Severity.HIGH,
        grace_seconds=SCALE_UP_GRACE_SECONDS if is_scaling_up else UNSCHEDULABLE_GRACE_SECONDS,
        since=parse_time(since),
        data={"detail": str(message or "")},
    )


def _is_stale(event: Object, now: datetime) -> bool:
    at = parse_time(event_time(event))
    return at is not None and now - at > _STALE_EVENT
