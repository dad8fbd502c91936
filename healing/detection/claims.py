"""Volumes that do not come: claims that stay unbound while a pod waits for them."""

from __future__ import annotations

from datetime import datetime

from healing.detection.cache import ObjectCache, event_time
from healing.detection.containers import condition
from healing.detection.owners import OwnerUnknown, target_of
from healing.detection.sighting import Sighting
from healing.detection.times import parse_time
from healing.faults import Severity
from healing.ports.cluster import Object, ObjectRef

#: Provisioners try again; a volume that is made by hand comes a moment after its claim.
GRACE_SECONDS = 15.0
#: What the volume controller and provisioners say of a claim they can do nothing about.
_REASONS = frozenset({"ProvisioningFailed", "FailedBinding", "VolumeMismatch", "ClaimMisbound", "ClaimLost"})


def claim_sightings(claim: Object, cache: ObjectCache, now: datetime) -> list[Sighting]:
    """A claim that cannot be bound, as a fault of the workload whose pod waits for it.

    A claim that nobody waits for is no fault, nor one that is only being provisioned, or that waits for its first
    consumer: those have no Warning.
    """
    meta, phase = claim.get("metadata") or {}, (claim.get("status") or {}).get("phase")
    if phase not in ("Pending", "Lost") or meta.get("deletionTimestamp"):
        return []
    said = [e for e in cache.events_about(str(meta.get("uid") or "")) if e.get("reason") in _REASONS]
    pod = _waiting_pod(claim, cache) if said or phase == "Lost" else None
    if pod is None:
        return []
    try:
        target = target_of(pod, cache)
    except OwnerUnknown:
        return []  # the pod is looked at again, and the claim with it
    newest = said[-1] if said else {}
    reason, detail = str(newest.get("reason") or "ClaimLost"), str(newest.get("message") or "its volume is gone")
    return [
        Sighting(
            target=target,
            subject=ObjectRef.of(claim, "PersistentVolumeClaim"),
            symptom=reason,
            message=f"Claim {meta.get('name')}, which pod {pod['metadata'].get('name')} waits for, gets no volume: "
            f"{detail}",
            severity=Severity.HIGH,
            grace_seconds=GRACE_SECONDS,
            since=parse_time((said[0].get("firstTimestamp") or event_time(said[0])) if said else None),
            data={"claim": str(meta.get("name")), "pod": str(pod["metadata"].get("name")), "detail": detail},
        )
    ]


def _waiting_pod(claim: Object, cache: ObjectCache) -> Object | None:
    name, namespace = claim["metadata"].get("name"), str(claim["metadata"].get("namespace") or "")
    for pod in cache.list("Pod", namespace):
        status = pod.get("status") or {}
        if status.get("phase") != "Pending" or pod["metadata"].get("deletionTimestamp"):
            continue
        if condition(pod, "PodReadyToStartContainers").get("status") != "True" and name in _claims_of(pod):
            return pod
    return None


def _claims_of(pod: Object) -> set[str]:
    volumes = (pod.get("spec") or {}).get("volumes") or ()
    named = {str((volume.get("persistentVolumeClaim") or {}).get("claimName") or "") for volume in volumes}
    own = {f"{pod['metadata'].get('name')}-{volume.get('name')}" for volume in volumes if "ephemeral" in volume}
    return named | own
