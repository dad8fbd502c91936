"""Rollouts that somebody paused and forgot."""

from __future__ import annotations

import re
from collections.abc import Iterator

from healing.detection.containers import condition
from healing.detection.owners import Target
from healing.detection.sighting import Sighting
from healing.detection.times import parse_time
from healing.faults import Severity
from healing.ports.cluster import Object, ObjectRef

#: After the last change of the spec: pausing, changing several things and resuming is what a pause is for.
GRACE_SECONDS = 30.0
#: Some pods of the new template are there and well: a canary by hand, which may be watched for a while.
CANARY_GRACE_SECONDS = 900.0
#: Names of annotations with which people and tools (we are one) say that a pause is meant.
_MEANT = re.compile(r"(^|[./_-])(paus(e|ing)|canary|hold|on-?hold|freeze|frozen)", re.IGNORECASE)


def paused_sightings(deployment: Object, target: Target) -> Iterator[Sighting]:
    """A paused Deployment whose template no rollout brings to its pods. One whose pods are all of it is fine."""
    meta, spec, status = deployment.get("metadata") or {}, deployment.get("spec") or {}, deployment.get("status") or {}
    if not spec.get("paused") or any(_MEANT.search(key) for key in meta.get("annotations") or {}):
        return
    replicas = spec.get("replicas")
    wanted, updated = 1 if replicas is None else int(replicas), int(status.get("updatedReplicas") or 0)
    if not wanted or not status.get("replicas") or updated >= min(wanted, int(status["replicas"])):
        return
    paused = condition(deployment, "Progressing")
    is_canary = updated > 0 and not int(status.get("unavailableReplicas") or 0)
    yield Sighting(
        target=target,
        subject=ObjectRef.of(deployment, "Deployment"),
        symptom="RolloutPaused",
        message=f"Rollout of {meta.get('name')} is paused: {updated} of {wanted} replicas have the newest template.",
        severity=Severity.LOW if is_canary else Severity.MEDIUM,
        grace_seconds=CANARY_GRACE_SECONDS if is_canary else GRACE_SECONDS,
        since=parse_time(paused.get("lastUpdateTime")) if paused.get("reason") == "DeploymentPaused" else None,
        # Each change of the spec is a sign that somebody is at work: the time counts from the last one.
        moment=f"generation {target.generation}",
        data={"updated": updated, "wanted": wanted},
    )
