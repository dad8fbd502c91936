"""Alerts that fire, in Alertmanager's or Prometheus' shape: what they are about, and what they weigh."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from healing.diagnosis import reading as r
from healing.diagnosis.hypothesis import bare, evidence
from healing.diagnosis.reading import Object
from healing.diagnosis.scene import Scene
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

#: label -> kinds it may name
_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("pod", ("Pod",)),
    ("deployment", ("Deployment",)),
    ("statefulset", ("StatefulSet",)),
    ("daemonset", ("DaemonSet",)),
    ("job_name", ("Job",)),
    ("persistentvolumeclaim", ("PersistentVolumeClaim",)),
    ("horizontalpodautoscaler", ("HorizontalPodAutoscaler",)),
    ("node", ("Node",)),
    ("service", ("Service", "Deployment", "StatefulSet")),
    ("service_name", ("Service", "Deployment", "StatefulSet")),
    ("destination_workload", ("Deployment", "StatefulSet")),
    ("workload", ("Deployment", "StatefulSet", "DaemonSet")),
    ("app", ("Deployment", "StatefulSet", "Service")),
)
#: always firing, or about the monitoring itself
_NO_NEWS = frozenset({"Watchdog", "InfoInhibitor", "DeadMansSwitch", "PrometheusNotConnectedToAlertmanagers"})
#: words of an alert's name -> causes that it is a symptom of
_SYMPTOM_OF: tuple[tuple[re.Pattern[str], frozenset[str]], ...] = tuple(
    (re.compile(words, re.IGNORECASE), frozenset(causes.split()))
    for words, causes in (
        (r"crash|restart", ("ApplicationCrash BadRollout CommandNotFound MissingEnvironmentVariable WrongConfiguration"
         " MissingFile PermissionDenied PortConflict WrongCredentials InitContainerFailed ContainerCannotStart")),
        (r"oom|memory", "MemoryLimitTooLow MemoryLeak NodeMemoryPressure"),
        (r"throttl", "CPULimitTooLow CPUHog TrafficSpike"),
        (r"cpu", "CPUHog TrafficSpike CPULimitTooLow"),
        (r"waiting|image|pull|notready|unavailable|mismatch|stuck|rollout",
         ("ImageNotFound ImagePullUnauthorized RegistryUnreachable ImagePullFailed MissingConfigMap"
          " MissingConfigMapKey MissingSecret MissingSecretKey BadRollout ApplicationNotReady"
          " ReadinessProbeMisconfigured RolloutStuck")),
        (r"node.*(?:ready|unreachable|down)|targetdown",
         "NodeNotReady ContainerRuntimeDown NodeNetworkUnavailable NetworkDelay PacketLoss"),
        (r"diskpressure|filesystem|disk|volume|space", "DiskFull NodeDiskPressure"),
        (r"memorypressure", "NodeMemoryPressure"),
        (r"clock|ntp|timex", "ClockSkew"),
        (r"dns", "DNSFailure"),
        (r"cert", "CertificateExpired"),
        (r"hpa|autoscal", "AutoscalerAtMaximum AutoscalerMisconfigured AutoscalerNoMetrics"),
        (r"error|5xx|fail", "FailingDependency FaultyPod BadRollout ConnectionPoolExhausted ReadOnlyDependency"),
        (r"latency|slow|duration",
         "SlowDependency NetworkDelay PacketLoss CPUHog CPULimitTooLow TrafficSpike FaultyPod"),
        (r"job", "JobFailed JobDeadlineExceeded"),
        (r"retrans|packet|network", "PacketLoss NetworkDelay NodeNetworkUnavailable"),
    )
)  # fmt: skip
_FELT = re.compile(r"error|latency|slow|5xx|availab|request|traffic|down|unreachable", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Alert:
    """A firing alert. ``about`` is the workload (or other object) of the snapshot it names; None: none."""

    name: str
    about: ObjectRef | None
    text: str
    since: datetime | None

    @property
    def is_felt(self) -> bool:
        """Whether users feel what it tells of, as opposed to the state of an object."""
        return _FELT.search(self.name) is not None


def firing(scene: Scene) -> list[Alert]:
    """Alerts that fire, computed once a scene."""
    cached: list[Alert] | None = scene.__dict__.get("_alerts")
    if cached is None:
        found = [_alert(scene, raw) for raw in scene.snapshot.alerts]
        cached = scene.__dict__["_alerts"] = [a for a in found if a is not None]
    return cached


def about(scene: Scene, refs: set[ObjectRef]) -> list[Alert]:
    """Alerts about one of the objects, or about a pod of one of the workloads."""
    return [a for a in firing(scene) if a.about in refs]


def supports(alert: Alert, cause: str) -> bool:
    """Whether the alert tells of what the cause brings about, by the words of its name."""
    return any(cause in causes and words.search(alert.name) for words, causes in _SYMPTOM_OF)


def as_evidence(alert: Alert) -> Evidence:
    """What a person reads of an alert."""
    return evidence("alert", f"Alert {alert.name}", alert.text, obj=alert.about, source="alertmanager", at=alert.since)


def _alert(scene: Scene, raw: Object) -> Alert | None:
    labels = r.labels(raw, "labels")
    state = r.text(raw, "state") or r.text(raw, "status", "state") or r.text(raw, "status")
    name = labels.get("alertname", "") or r.text(raw, "name")
    if not name or name in _NO_NEWS or state in ("resolved", "suppressed", "pending", "inactive"):
        return None
    if labels.get("severity") in ("none", "info"):
        return None
    ends = r.moment(raw, "endsAt")
    if ends is not None and ends.year > 1970 and ends < scene.now and state != "firing":
        return None
    notes = r.labels(raw, "annotations")
    text = notes.get("description") or notes.get("message") or notes.get("summary") or ""
    since = r.moment(raw, "startsAt") or r.moment(raw, "activeAt")
    return Alert(name, _about(scene, labels), text[:600], since)


def _about(scene: Scene, labels: dict[str, str]) -> ObjectRef | None:
    namespace = (
        labels.get("namespace") or labels.get("exported_namespace") or labels.get("destination_service_namespace", "")
    )
    for label, kinds in _KINDS:
        name = labels.get(label) or labels.get(f"exported_{label}", "")
        if not name:
            continue
        spaces = [namespace] if namespace else ["", *scene.snapshot.namespaces()]
        for kind in kinds:
            for space in spaces:
                obj = scene.snapshot.get(kind, space, name)
                if obj is None:
                    continue
                found = (
                    bare(scene.snapshot.workload_of(obj)) if kind in ("Pod", "Job") else bare(ObjectRef.of(obj, kind))
                )
                if kind == "Service":
                    backends = sorted(scene.calls.backends.get(found, ()))
                    return backends[0] if len(backends) == 1 else found
                return found
    return None
