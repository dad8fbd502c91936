"""Services that reach no pod though they should."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from healing.detection.cache import ObjectCache
from healing.detection.owners import OwnerUnknown, target, target_of
from healing.detection.sighting import Sighting
from healing.faults import Severity
from healing.ports.cluster import Object, ObjectRef

#: Manifests are applied one after the other.
GRACE_SECONDS = 5.0
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
#: Labels that name an application; the others (tier, part-of, version) many share.
_NAMING_LABELS = ("app", "app.kubernetes.io/name", "app.kubernetes.io/instance", "k8s-app", "run", "name")


class ServiceMemory:
    """Which workloads each Service has reached: a Service that loses its pods while they live on has been broken."""

    def __init__(self) -> None:
        self._reached: dict[str, frozenset[tuple[str, str]]] = {}

    def note(self, service: Object, pods: list[Object], cache: ObjectCache) -> None:
        """The Service selects these pods now."""
        owners = set()
        for pod in pods:
            with contextlib.suppress(OwnerUnknown):
                ref = target_of(pod, cache).ref
                owners.add((ref.kind, ref.name))
        if owners:
            self._reached[str(service["metadata"].get("uid"))] = frozenset(owners)

    def has_reached(self, service: Object, workload: Object) -> bool:
        """Whether the Service selected the workload's pods when it last selected any."""
        ref = ObjectRef.of(workload)
        return (ref.kind, ref.name) in self._reached.get(str(service["metadata"].get("uid")), ())


def service_sightings(
    service: Object, cache: ObjectCache, now: datetime, memory: ServiceMemory | None = None
) -> list[Sighting]:
    """A selector that matches no pod, or a port name that no pod has.

    Deliberate and therefore no fault: ExternalName, headless, no selector, a workload scaled to zero, and a Service
    that nothing in its namespace seems to be meant for (it was made before its workload, or outlives it).
    """
    memory = memory or ServiceMemory()
    spec, meta = service.get("spec") or {}, service.get("metadata") or {}
    selector = spec.get("selector") or {}
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None" or not selector:
        return []
    if meta.get("deletionTimestamp"):
        return []
    namespace = str(meta.get("namespace") or "")
    pods = [pod for pod in cache.list("Pod", namespace) if _selects(selector, _labels(pod))]
    if pods:
        memory.note(service, pods, cache)
        return _unknown_port(service, pods)
    workloads = [workload for kind in _WORKLOADS for workload in cache.list(kind, namespace)]
    if any(_selects(selector, _template_labels(workload)) for workload in workloads):
        return []  # scaled to zero, or its pods are missing: that is the workload's story
    meant = next((w for w in workloads if _wants_pods(w) and _is_meant_for(service, w, cache, memory)), None)
    if meant is None:
        return []
    wrong = {key: value for key, value in selector.items() if _template_labels(meant).get(key) != value}
    words = ", ".join(f"{key}={value}" for key, value in wrong.items())
    ref = ObjectRef.of(meant)
    return [
        Sighting(
            target=target(service),
            subject=ObjectRef.of(service, "Service"),
            symptom="NoEndpoints",
            message=f"Service {meta.get('name')} selects no pod: those of {ref.kind} {ref.name} do not carry {words}.",
            severity=Severity.CRITICAL,
            grace_seconds=GRACE_SECONDS,
            data={"selector": dict(selector), "meantFor": ref.as_json()},
        )
    ]


def is_scaled_to_zero(service: Object, cache: ObjectCache) -> bool:
    """Whether a workload that the Service selects is there and wants no pods."""
    selector, namespace = (service.get("spec") or {}).get("selector") or {}, str(service["metadata"].get("namespace"))
    workloads = (workload for kind in _WORKLOADS for workload in cache.list(kind, namespace))
    return any(_selects(selector, _template_labels(w)) and not _wants_pods(w) for w in workloads)


def _unknown_port(service: Object, pods: list[Object]) -> list[Sighting]:
    """A targetPort by a name that no container of the selected pods gives to a port. (A wrong number looks healthy.)"""
    names = {
        port.get("name")
        for pod in pods
        for container in (pod.get("spec") or {}).get("containers") or ()
        for port in container.get("ports") or ()
    }
    sidecars = (container for pod in pods for container in (pod.get("spec") or {}).get("initContainers") or ())
    names |= {port.get("name") for container in sidecars for port in container.get("ports") or ()}
    wrong = [
        port["targetPort"]
        for port in (service.get("spec") or {}).get("ports") or ()
        if isinstance(port.get("targetPort"), str)
        and not port["targetPort"].isdigit()
        and port["targetPort"] not in names
    ]
    if not wrong:
        return []
    known = ", ".join(sorted(name for name in names if name)) or "none"
    return [
        Sighting(
            target=target(service),
            subject=ObjectRef.of(service, "Service"),
            symptom="TargetPortNotFound",
            message=f"Service {service['metadata'].get('name')} sends to port {wrong[0]!r}, which its pods do not have "
            f"(they have: {known}).",
            severity=Severity.CRITICAL,
            grace_seconds=GRACE_SECONDS,
            data={"targetPorts": wrong, "known": sorted(name for name in names if name)},
        )
    ]


def _is_meant_for(service: Object, workload: Object, cache: ObjectCache, memory: ServiceMemory) -> bool:
    """Whether the Service belongs to the workload: it reached it before; or nothing else reaches it, and they share a
    name, the label that names the application, or a selector that differs by slips of the pen."""
    if memory.has_reached(service, workload):
        return True
    labels = _template_labels(workload)
    if _has_another_service(service, labels, cache):
        return False
    if workload["metadata"].get("name") == service["metadata"].get("name"):
        return True
    selector = (service.get("spec") or {}).get("selector") or {}
    if any(selector.get(key) and selector[key] == labels.get(key) for key in _NAMING_LABELS):
        return True
    return all(labels.get(key) == value or _is_slip(value, labels.get(key)) for key, value in selector.items())


def _has_another_service(service: Object, labels: Mapping[str, str], cache: ObjectCache) -> bool:
    own, namespace = service["metadata"].get("name"), str(service["metadata"].get("namespace") or "")
    return any(
        _selects((other.get("spec") or {}).get("selector") or {}, labels)
        for other in cache.list("Service", namespace)
        if other["metadata"].get("name") != own
    )


def _is_slip(value: str, other: str | None) -> bool:
    """Whether one is the other with a typing error."""
    if not other or value == other:
        return False
    return _edits_at_most(value, other, 2)


def _edits_at_most(one: str, two: str, limit: int) -> bool:
    if abs(len(one) - len(two)) > limit or min(len(one), len(two)) <= limit:
        return False
    row = list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(two, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1] <= limit


def _wants_pods(workload: Object) -> bool:
    replicas: Any = (workload.get("spec") or {}).get("replicas")
    return replicas is None or int(replicas) > 0


def _template_labels(workload: Object) -> dict[str, str]:
    template = ((workload.get("spec") or {}).get("template") or {}).get("metadata") or {}
    return dict(template.get("labels") or {})


def _labels(obj: Object) -> dict[str, str]:
    return dict((obj.get("metadata") or {}).get("labels") or {})


def _selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()
