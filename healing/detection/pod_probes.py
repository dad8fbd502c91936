"""Pods that run and are not ready, or whose kubelet keeps killing them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from healing.detection.cache import ObjectCache, event_time
from healing.detection.containers import ContainerView, condition, containers
from healing.detection.owners import Target
from healing.detection.sighting import Sighting
from healing.detection.times import parse_time
from healing.faults import Severity
from healing.ports.cluster import Object, ObjectRef

#: A pod that was ready and is no more.
LOST_READINESS_GRACE_SECONDS = 12.0
#: A pod that has never been ready gets at least this long after its container started.
STARTUP_SECONDS = 30.0
#: The API's times are whole seconds.
_TIME_STEP = timedelta(seconds=1)


def probe_sightings(
    pod: Object, target: Target, subject: ObjectRef, cache: ObjectCache, now: datetime
) -> Iterator[Sighting]:
    """Failing liveness or startup probes that have already cost a restart, then failing readiness."""
    if (pod.get("status") or {}).get("phase") != "Running" or not _node_is_ready(pod, cache):
        return  # a lost node's pods are the node's fault
    views = [view for view in containers(pod) if not view.is_init or _is_sidecar(view)]
    for view in views:
        killed = _killed_by_probe(view, subject, cache)
        if killed is not None:
            probe, text = killed
            yield Sighting(
                target=target,
                subject=subject,
                symptom=f"{probe}ProbeFailed",
                message=f"Container {view.name} is restarted again and again ({view.restarts} times so far): {text}",
                severity=Severity.HIGH,
                data={"container": view.name, "restarts": view.restarts, "detail": text},
            )
            return
    not_ready = [view for view in views if view.running is not None and not view.is_ready and view.has_started]
    if condition(pod, "Ready").get("status") == "False" and not_ready:
        yield _not_ready(pod, not_ready[0], target, subject, cache)


def _not_ready(pod: Object, view: ContainerView, target: Target, subject: ObjectRef, cache: ObjectCache) -> Sighting:
    started_at = view.running_since
    unready_since = parse_time(condition(pod, "ContainersReady").get("lastTransitionTime"))
    was_ready = started_at is not None and unready_since is not None and unready_since > started_at + _TIME_STEP
    since = unready_since if was_ready else started_at
    text = _last_probe_failure(subject, cache, "Readiness")
    return Sighting(
        target=target,
        subject=subject,
        symptom="ReadinessProbeFailed",
        message=f"Container {view.name} runs and is not ready: {text or 'its readiness probe does not succeed'}",
        severity=Severity.MEDIUM,
        grace_seconds=LOST_READINESS_GRACE_SECONDS if was_ready else startup_seconds(view.spec),
        since=since,
        data={"container": view.name, "wasReady": was_ready, "detail": text},
    )


def startup_seconds(container: Mapping[str, Any]) -> float:
    """How long a container may take from its start until it is ready, by what its own probes allow."""
    total = 0.0
    for name in ("startupProbe", "readinessProbe"):
        probe = container.get(name)
        if isinstance(probe, dict):
            period = float(probe.get("periodSeconds") or 10)
            total += float(probe.get("initialDelaySeconds") or 0) + period * float(probe.get("failureThreshold") or 3)
    return max(STARTUP_SECONDS, total)


def _killed_by_probe(view: ContainerView, subject: ObjectRef, cache: ObjectCache) -> tuple[str, str] | None:
    """The probe that has failed again since the restart it already caused."""
    started_at = view.running_since
    if view.restarts < 1 or started_at is None:
        return None
    for event in reversed(cache.events_about(subject.uid)):
        text = str(event.get("message") or "")
        at = parse_time(event_time(event))
        if event.get("reason") != "Unhealthy" or at is None or at <= started_at:
            continue
        path = str((event.get("involvedObject") or {}).get("fieldPath") or "")
        if path and f"{{{view.name}}}" not in path:
            continue
        for probe in ("Liveness", "Startup"):
            if text.startswith(f"{probe} probe"):
                return probe, text
    return None


def _last_probe_failure(subject: ObjectRef, cache: ObjectCache, probe: str) -> str:
    for event in reversed(cache.events_about(subject.uid)):
        text = str(event.get("message") or "")
        if event.get("reason") == "Unhealthy" and text.startswith(f"{probe} probe"):
            return text
    return ""


def _is_sidecar(view: ContainerView) -> bool:
    return view.spec.get("restartPolicy") == "Always"


def _node_is_ready(pod: Object, cache: ObjectCache) -> bool:
    name = str((pod.get("spec") or {}).get("nodeName") or "")
    node = cache.get("Node", "", name) if name else None
    return node is None or condition(node, "Ready").get("status") == "True"
