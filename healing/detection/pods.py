"""Faults that show on pods. Pure: a pod, the cache and the time in; sightings out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import datetime, timedelta

from healing.actions.labels import QUARANTINE
from healing.detection.cache import ObjectCache
from healing.detection.containers import ContainerView, condition, containers
from healing.detection.owners import Target, target_of
from healing.detection.pod_probes import probe_sightings
from healing.detection.pod_scheduling import start_sightings
from healing.detection.sighting import Sighting
from healing.detection.times import parse_time
from healing.faults import Severity
from healing.ports.cluster import Object, ObjectRef

#: How far back the death of a container that runs again still counts.
RECENT = timedelta(minutes=5)
#: Two crashes within this time are a loop.
LOOP_WINDOW = timedelta(minutes=10)
#: The first back-off of an image pull is 10 s: what is gone by then was a hiccup of the registry.
PULL_HICCUP_SECONDS = 12.0

_PULL_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"}
)
_BAD_IMAGE_REASONS = frozenset({"InvalidImageName", "ErrImageNeverPull"})
#: What a registry says when trying again cannot help.
_FINAL_PULL_WORDS = (
    "not found",
    "manifest unknown",
    "does not exist",
    "unauthorized",
    "authentication required",
    "denied",
    "forbidden",
    "no match for platform",
    "no matching manifest",
)
#: Reasons a container waits for that are faults, with the seconds they get to pass by themselves: a ConfigMap that is
#: applied a moment after its Deployment is found at one of the next looks.
_CREATE_GRACE_SECONDS = {
    "CreateContainerConfigError": 5.0,
    "CreateContainerError": 5.0,
    "RunContainerError": 2.0,
    "PostStartHookError": 2.0,
    "ContainerCannotRun": 2.0,
}


def is_out_of_scope(pod: Object) -> bool:
    """Pods whose state is somebody's decision: going, evicted, done, or in our own quarantine."""
    meta, status = pod.get("metadata") or {}, pod.get("status") or {}
    if meta.get("deletionTimestamp") or status.get("phase") in ("Succeeded", "Failed"):
        return True
    if condition(pod, "DisruptionTarget").get("status") == "True":
        return True
    return QUARANTINE in (meta.get("labels") or {})


def pod_sightings(pod: Object, cache: ObjectCache, now: datetime, *, lenient: bool = False) -> list[Sighting]:
    """What is wrong with the pod, most telling first. Raises `owners.OwnerUnknown` (see `owners.target_of`)."""
    if is_out_of_scope(pod):
        return []
    target = target_of(pod, cache, lenient=lenient)
    found = list(_all(pod, target, cache, now))
    if target.ref.kind in ("Job", "CronJob"):
        # A Job tries again by itself; it is over when the Job says so. What never starts is never tried again.
        found = [sighting for sighting in found if sighting.symptom not in _RETRIED_BY_JOBS]
    return found


_RETRIED_BY_JOBS = frozenset({"CrashLoopBackOff", "OOMKilled", "ReadinessProbeFailed", "LivenessProbeFailed"})


def _all(pod: Object, target: Target, cache: ObjectCache, now: datetime) -> Iterator[Sighting]:
    subject = ObjectRef.of(pod, "Pod")
    found = []
    for view in containers(pod):
        sighting = container_sighting(view, target, subject, now)
        if sighting is not None:
            found.append(sighting)
    yield from found
    if not found:
        yield from start_sightings(pod, target, subject, cache, now)
        yield from probe_sightings(pod, target, subject, cache, now)


def container_sighting(view: ContainerView, target: Target, subject: ObjectRef, now: datetime) -> Sighting | None:
    """What a container's own state says, at most one thing."""
    data = {"container": view.name, "restarts": view.restarts, "image": str(view.spec.get("image") or "")}
    base = Sighting(target=target, subject=subject, symptom="", message="", severity=Severity.HIGH, data=data)
    for check in (_out_of_memory, _image, _creation, _crash):
        sighting = check(view, base, now)
        if sighting is not None:
            return sighting
    return None


def _out_of_memory(view: ContainerView, base: Sighting, now: datetime) -> Sighting | None:
    for terminated in (view.terminated, view.last_terminated):
        if terminated.get("reason") != "OOMKilled":
            continue
        finished_text = str(terminated.get("finishedAt") or "")
        finished_at = parse_time(finished_text)
        waits = bool(view.terminated or view.waiting)
        if not waits and (finished_at is None or now - finished_at > RECENT):
            continue
        limit = view.limit("memory")
        message = (
            f"Container {view.name} was killed: it used more memory than its limit{f' of {limit}' if limit else ''}."
        )
        data = {**base.data, "exitCode": terminated.get("exitCode"), "memoryLimit": limit}
        return dataclasses.replace(
            base, symptom="OOMKilled", message=message, severity=Severity.CRITICAL, moment=finished_text, data=data
        )
    return None


def _image(view: ContainerView, base: Sighting, now: datetime) -> Sighting | None:
    reason, text = str(view.waiting.get("reason") or ""), str(view.waiting.get("message") or "")
    image = base.data["image"]
    data = {**base.data, "reason": reason, "detail": text}
    if reason in _BAD_IMAGE_REASONS:
        message = f"Container {view.name}: image {image!r} cannot be used: {text or reason}."
        return dataclasses.replace(base, symptom=reason, message=message, data=data)
    if reason not in _PULL_REASONS:
        return None
    is_final = any(word in text.lower() for word in _FINAL_PULL_WORDS)
    return dataclasses.replace(
        base,
        symptom="ImagePullBackOff",
        message=f"Container {view.name}: image {image!r} cannot be pulled: {text or reason}",
        grace_seconds=1.0 if is_final else PULL_HICCUP_SECONDS,
        data=data,
    )


def _creation(view: ContainerView, base: Sighting, now: datetime) -> Sighting | None:
    reason, text = str(view.waiting.get("reason") or ""), str(view.waiting.get("message") or "")
    if reason not in _CREATE_GRACE_SECONDS:
        return None
    return dataclasses.replace(
        base,
        symptom=reason,
        message=f"Container {view.name} cannot be started: {text or reason}",
        grace_seconds=_CREATE_GRACE_SECONDS[reason],
        data={**base.data, "reason": reason, "detail": text},
    )


def _crash(view: ContainerView, base: Sighting, now: datetime) -> Sighting | None:
    reason = str(view.waiting.get("reason") or "")
    last = view.terminated or view.last_terminated
    data = {**base.data, "exitCode": last.get("exitCode"), "reason": str(last.get("reason") or "")}
    what = "Init container" if view.is_init else "Container"
    if reason == "CrashLoopBackOff":
        message = f"{what} {view.name} keeps crashing (exit code {last.get('exitCode')}, {view.restarts} restarts)."
        # A kubelet that backs off after the very first crash may see the container come back at once.
        grace_seconds = 0.0 if view.restarts >= 1 else 15.0
        return dataclasses.replace(
            base, symptom="CrashLoopBackOff", message=message, grace_seconds=grace_seconds, data=data
        )
    if _crashed_again(view):
        message = f"{what} {view.name} crashed again (exit code {last.get('exitCode')}, {view.restarts} restarts)."
        return dataclasses.replace(base, symptom="CrashLoopBackOff", message=message, data=data)
    return None


def _crashed_again(view: ContainerView) -> bool:
    """Dead now, and dead before within minutes: kubelets show this up to a minute before ``CrashLoopBackOff``."""
    now_dead, before = view.terminated, view.last_terminated
    if view.restarts < 1 or not now_dead.get("exitCode") or not before.get("exitCode"):
        return False
    ended, ended_before = parse_time(now_dead.get("finishedAt")), parse_time(before.get("finishedAt"))
    return ended is not None and ended_before is not None and ended - ended_before < LOOP_WINDOW
