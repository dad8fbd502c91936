"""Volumes: claims that are missing, unbound or cannot be mounted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from healing.diagnosis import reading as r
from healing.diagnosis.analyzers import config
from healing.diagnosis.analyzers.common import change_evidence, workload_ref
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence, of_event
from healing.diagnosis.reading import Object
from healing.diagnosis.scene import Scene
from healing.ports.cluster import ObjectRef

_NO_CLASS = re.compile(r"storageclass(?:\.storage\.k8s\.io)? \"(?P<name>[^\"]+)\" not found", re.IGNORECASE)
_NO_DEFAULT = re.compile(r"no persistent volumes available for this claim and no storage class is set", re.IGNORECASE)
_PROVISIONER = re.compile(r"provisioner '(?P<name>[^']+)'|provisioner \"(?P<other>[^\"]+)\"")
_CLAIM = re.compile(r"persistentvolumeclaim \"(?P<name>[^\"]+)\" (?:not found|is being deleted)", re.IGNORECASE)
_BENIGN = re.compile(r"failed to sync (?:configmap|secret) cache", re.IGNORECASE)
_VOLUME = re.compile(r"volume \"(?P<volume>[^\"]+)\"")


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """PersistentVolumeClaimNotFound, StorageClassNotFound, NoDefaultStorageClass, VolumeMountFailed and others."""
    for workload, pods in scene.pods.items():
        for pod in pods:
            found = _missing_claim(scene, workload, pod) or _mount(scene, workload, pod)
            if found is not None:
                yield found
                break
    for claim in scene.snapshot.of_kind("PersistentVolumeClaim"):
        if scene.covers(r.text(claim, "metadata", "namespace")):
            found = _pending(scene, claim)
            if found is not None:
                yield found


def claims_of(pod: Object) -> list[str]:
    """Names of the claims a pod mounts."""
    names = [r.text(v, "persistentVolumeClaim", "claimName") for v in r.dicts(pod, "spec", "volumes")]
    return [n for n in names if n]


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


def _pending(scene: Scene, claim: Object) -> Hypothesis | None:
    if r.text(claim, "status", "phase") not in ("Pending", "Lost"):
        return None
    ref = ObjectRef.of(claim, "PersistentVolumeClaim")
    users = {
        w
        for w, pods in scene.pods.items()
        if w.namespace == ref.namespace and any(ref.name in claims_of(p) for p in pods)
    }
    events = scene.snapshot.events(claim)
    messages = " \n".join(e.message for e in events)
    classes = [r.text(c, "metadata", "name") for c in scene.snapshot.of_kind("StorageClass")]
    wanted = r.text(claim, "spec", "storageClassName")
    proof = [
        evidence("status", f"PersistentVolumeClaim {ref.name} is {r.text(claim, 'status', 'phase')}", "", obj=bare(ref))
    ]
    proof += [of_event(e) for e in events[-2:]]
    facts: dict[str, Any] = {"storage_class": wanted, "known_classes": classes}
    affected = {*users, *(ref for u in users for ref in scene.around(u))}

    def hypothesis(cause: str, strength: float, words: str) -> Hypothesis:
        return Hypothesis(cause, ref, strength, words, proof, facts, affected)

    missing = _NO_CLASS.search(messages)
    if missing or (
        wanted and scene.snapshot.of_kind("StorageClass") and wanted not in classes and "no-provisioner" not in wanted
    ):
        name = missing["name"] if missing else wanted
        facts |= {"storage_class": name, "suggested_class": r.closest(name, classes)}
        return hypothesis(
            "StorageClassNotFound",
            0.96 if missing else 0.8,
            f"Claim {ref.name} asks for StorageClass {name}, which does not exist.",
        )
    if _NO_DEFAULT.search(messages) and not wanted:
        return hypothesis(
            "NoDefaultStorageClass", 0.94, f"Claim {ref.name} names no StorageClass, and the cluster has no default."
        )
    failed = [e for e in events if e.reason == "ProvisioningFailed"]
    if failed:
        return hypothesis(
            "PersistentVolumeClaimUnbound",
            0.82,
            f"No volume could be made for claim {ref.name}: {failed[-1].message[:240]}",
        )
    waiting = [e for e in events if e.reason == "ExternalProvisioning"]
    if waiting and users:
        match = _PROVISIONER.search(waiting[-1].message)
        facts["provisioner"] = (match["name"] or match["other"]) if match else ""
        return hypothesis(
            "VolumeProvisionerUnavailable",
            0.85,
            f"Claim {ref.name} waits for the provisioner {facts['provisioner'] or 'of its class'}, which does not act.",
        )
    if any(e.reason == "WaitForFirstConsumer" for e in events) and not users:
        return None  # as it should be: nobody uses it yet
    if r.text(claim, "status", "phase") == "Lost":
        return hypothesis("PersistentVolumeClaimUnbound", 0.9, f"The volume of claim {ref.name} is gone.")
    if users or any(e.reason == "FailedBinding" for e in events):
        facts |= {
            "requested": r.at(claim, "spec", "resources", "requests", "storage"),
            "access_modes": r.strings(claim, "spec", "accessModes"),
        }
        return hypothesis(
            "PersistentVolumeClaimUnbound",
            0.72,
            f"No volume fits claim {ref.name} ({facts['requested']}, {', '.join(facts['access_modes'])}).",
        )
    return None
