"""Volumes of pods: claims that are missing, volumes that cannot be attached or mounted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from healing.diagnosis import reading as r
from healing.diagnosis.analyzers import config
from healing.diagnosis.analyzers.claims import claims_of
from healing.diagnosis.analyzers.common import change_evidence, workload_ref
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence, of_event
from healing.diagnosis.reading import Object
from healing.diagnosis.scene import Scene
from healing.ports.cluster import ObjectRef

_CLAIM = re.compile(r"persistentvolumeclaim \"(?P<name>[^\"]+)\" (?:not found|is being deleted)", re.IGNORECASE)
_BENIGN = re.compile(r"failed to sync (?:configmap|secret) cache", re.IGNORECASE)
_VOLUME = re.compile(r"volume \"(?P<volume>[^\"]+)\"")


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """PersistentVolumeClaimNotFound and VolumeMountFailed."""
    for workload, pods in scene.pods.items():
        for pod in pods:
            found = _missing_claim(scene, workload, pod) or _mount(scene, workload, pod)
            if found is not None:
                yield found
                break


def _missing_claim(scene: Scene, workload: ObjectRef, pod: Object) -> Hypothesis | None:
    message = r.text(r.condition(pod, "PodScheduled"), "message")
    match = _CLAIM.search(message)
    if match is None:
        return None
    names = [r.text(c, "metadata", "name") for c in scene.snapshot.of_kind("PersistentVolumeClaim", workload.namespace)]
    facts: dict[str, Any] = {"claim": match["name"], "suggested_claim": r.closest(match["name"], names)}
    proof = [
        evidence(
            "status",
            f"Pod {r.text(pod, 'metadata', 'name')} is not scheduled",
            message,
            obj=bare(ObjectRef.of(pod, "Pod")),
        )
    ]
    past = scene.history(workload)
    relevant = past.changed("volumes") if past is not None else []
    if past is not None and past.good is not None and relevant:
        facts |= past.facts()
        proof += change_evidence(past, relevant)
    words = f"PersistentVolumeClaim {match['name']} does not exist."
    return Hypothesis(
        "PersistentVolumeClaimNotFound",
        workload_ref(scene, workload),
        0.96,
        words,
        proof,
        facts,
        affected=scene.around(workload),
    )


def _mount(scene: Scene, workload: ObjectRef, pod: Object) -> Hypothesis | None:
    if r.text(pod, "status", "phase") != "Pending" or not r.text(pod, "spec", "nodeName"):
        return None
    events = [
        e
        for e in scene.snapshot.events(pod, "FailedMount", "FailedAttachVolume", "FailedMapVolume")
        if not _BENIGN.search(e.message) and config.parse(e.message) is None
    ]
    telling = [e for e in events if "timed out waiting for the condition" not in e.message] or events
    if not telling or sum(e.count for e in events) < 2:
        return None
    event = telling[-1]
    volume = _VOLUME.search(event.message)
    strength = 0.9 if event.reason == "FailedAttachVolume" or "Multi-Attach" in event.message else 0.85
    facts = {"volume": volume["volume"] if volume else "", "claim": next(iter(claims_of(pod)), "")}
    return Hypothesis(
        "VolumeMountFailed",
        workload_ref(scene, workload),
        strength,
        f"A volume of pod {r.text(pod, 'metadata', 'name')} cannot be used: {event.message[:240]}",
        [of_event(e) for e in telling[-2:]],
        facts,
        affected=scene.around(workload),
    )
