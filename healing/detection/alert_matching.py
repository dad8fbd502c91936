"""From an alert's labels to the workload, node or Service it is about, and to its event.

Labels name objects in many ways; each name is looked up, and only what exists counts. A pod that is gone leads to
its workload by its name, where such a workload exists. What cannot be found is said so in the alert's row, and looked
for again when the alert is delivered again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta

import structlog
from django.db import transaction

from healing import engine, shared_clock
from healing.detection.cache import ObjectCache
from healing.detection.owners import OwnerUnknown, Target, target, target_of
from healing.detection.policies import PolicyBook
from healing.detection.reporting import Reporter
from healing.detection.sighting import Sighting
from healing.faults import Severity, SignalSource
from healing.models import ActorKind, AlertState, HealingEvent, ReceivedAlert
from healing.phase import Note
from healing.ports import Ports
from healing.ports.cluster import Object, ObjectRef
from healing.ports.errors import NotFound, SourceError

log = structlog.get_logger(__name__)

BATCH = 100
CALL_SECONDS = 4.0
_LATER = timedelta(seconds=10)
#: What "no news" is looked at again after, while it fires.
_NOT_YET = timedelta(seconds=60)

#: label -> kinds it may name, the surest first: where an exporter adds labels of its own pod, those of the workload are
#: about the fault.
_LABELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("deployment", ("Deployment",)),
    ("statefulset", ("StatefulSet",)),
    ("daemonset", ("DaemonSet",)),
    ("job_name", ("Job",)),
    ("pod", ("Pod",)),
    ("pod_name", ("Pod",)),
    ("replicaset", ("ReplicaSet",)),
    ("horizontalpodautoscaler", ("HorizontalPodAutoscaler",)),
    ("destination_workload", ("Deployment", "StatefulSet")),
    ("workload", ("Deployment", "StatefulSet", "DaemonSet")),
    ("service_name", ("Service", "Deployment", "StatefulSet")),
    ("service", ("Service", "Deployment", "StatefulSet")),
    ("destination_service_name", ("Service",)),
    ("app", ("Deployment", "StatefulSet", "DaemonSet", "Service")),
    ("app_kubernetes_io_name", ("Deployment", "StatefulSet", "DaemonSet", "Service")),
    ("node", ("Node",)),
    ("kubernetes_node", ("Node",)),
    ("instance", ("Node",)),
)
_NAMESPACES = ("exported_namespace", "destination_workload_namespace", "destination_service_namespace", "namespace")
_SEVERITY = {
    "critical": Severity.CRITICAL,
    "page": Severity.CRITICAL,
    "error": Severity.HIGH,
    "high": Severity.HIGH,
    "major": Severity.HIGH,
    "warning": Severity.MEDIUM,
    "medium": Severity.MEDIUM,
    "minor": Severity.LOW,
    "low": Severity.LOW,
}
#: A Deployment's pod, a ReplicaSet, a pod of a DaemonSet or StatefulSet.
_POD_NAMES = (
    (re.compile(r"^(.+)-[bcdfghjklmnpqrstvwxz2456789]{6,10}-[bcdfghjklmnpqrstvwxz2456789]{5}$"), "Deployment"),
    (re.compile(r"^(.+)-\d+$"), "StatefulSet"),
    (re.compile(r"^(.+)-[bcdfghjklmnpqrstvwxz2456789]{5}$"), "DaemonSet"),
)


class _Live(ObjectCache):
    """Owners as the cluster has them now, each asked for once."""

    def __init__(self, ports: Ports) -> None:
        super().__init__()
        self._ports = ports
        self._asked: dict[tuple[str, str, str], Object | None] = {}

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """Raises `SourceError` where the cluster does not answer."""
        key = kind, namespace, name
        if key not in self._asked:
            try:
                found = self._ports.cluster.get(kind, namespace, name, timeout_seconds=CALL_SECONDS)
                self._asked[key] = {**found, "kind": kind}
            except NotFound:
                self._asked[key] = None
        return self._asked[key]

    def list(self, kind: str, namespace: str = "") -> list[Object]:
        """For the pods on a node: their namespaces decide which policy governs it."""
        if kind != "Pod":
            return []
        return self._ports.cluster.list("Pod", namespace, timeout_seconds=CALL_SECONDS).items


def clusters_with_alerts(now: datetime | None = None) -> set[str]:
    """Clusters of alerts that are to be looked at."""
    due = ReceivedAlert.objects.filter(look_at__lte=now or shared_clock.now())
    return set(due.order_by().values_list("cluster", flat=True).distinct())


def match_due(cluster: str, get_ports: Callable[[str], Ports], now: datetime | None = None) -> int:
    """Look at the cluster's alerts that are due: open events, add to them, tell of ends. Returns how many were looked
    at. One that the cluster keeps from being judged stays due."""
    now = now or shared_clock.now()
    rows = list(ReceivedAlert.objects.filter(cluster=cluster, look_at__lte=now).order_by("starts_at", "pk")[:BATCH])
    if not rows:
        return 0
    live = _Live(get_ports(cluster))
    reporter = Reporter(cluster, live, PolicyBook(cluster))
    for row in rows:
        try:
            _look_at(row, live, reporter, now)
        except SourceError as error:
            text = f"The cluster could not be asked yet: {error}"
            ReceivedAlert.objects.filter(pk=row.pk).update(look_at=now + _LATER, reason=text[:500])
            if error.retryable:
                break  # it would not answer for the others either
    return len(rows)


def _look_at(row: ReceivedAlert, live: _Live, reporter: Reporter, now: datetime) -> None:
    if not row.is_firing:
        _ended(row, now)
        return
    found = find(row.labels, live)
    if found is None:
        named = ", ".join(f"{name}={text}" for name, text in sorted(row.labels.items()) if name in _TELLING)
        reason = f"Nothing in the cluster has the names in its labels ({named or 'none that names an object'})."
        _settle(row, AlertState.UNMATCHED, reason)
        return
    about, subject = found
    report = reporter.report(_sighting(row, about, subject), row.starts_at, now)
    if report.event is not None:
        verb = "It opened" if report.is_new else "It was added to"
        _settle(row, AlertState.MATCHED, f"{verb} event {report.event.name}.", about.ref, report.event)
    elif report.reason == "no policy covers it":
        _settle(row, AlertState.UNCOVERED, f"No enabled policy covers {about.ref}.", about.ref)
    else:
        reason = f"No new event: {report.reason}."
        _settle(row, AlertState.LEFT_ALONE, reason, about.ref, look_at=now + _NOT_YET)


def find(labels: Mapping[str, str], live: ObjectCache) -> tuple[Target, ObjectRef | None] | None:
    """(what is to be healed, the object the alert names) by the labels; None: nothing of that name is there."""
    for kind, namespace, name in _candidates(labels):
        obj = live.get(kind, namespace, name)
        if obj is None:
            if kind == "Pod" and (gone := _workload_of_gone_pod(namespace, name, live)) is not None:
                return gone, ObjectRef("Pod", namespace, name)
            continue
        if kind == "HorizontalPodAutoscaler":
            to = (obj.get("spec") or {}).get("scaleTargetRef") or {}
            scaled = live.get(str(to.get("kind")), namespace, str(to.get("name")))
            if scaled is None:
                continue
            return target(scaled), ObjectRef.of(obj, kind)
        try:
            about = target_of(obj, live)
        except OwnerUnknown:
            about = target_of(obj, live, lenient=True)
        ref = ObjectRef.of(obj, kind)
        return about, ref if ref != about.ref else None
    return None


def _candidates(labels: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """What Prometheus renamed (``exported_…``) is what the exporter said; the rest may be about the exporter."""
    namespace = next((labels[name] for name in _NAMESPACES if labels.get(name)), "")
    for prefix in ("exported_", ""):
        for label, kinds in _LABELS:
            name = labels.get(f"{prefix}{label}", "")
            if not name:
                continue
            for kind in kinds:
                if kind == "Node":
                    yield kind, "", name.partition(":")[0]
                elif namespace:
                    yield kind, namespace, name


def _workload_of_gone_pod(namespace: str, name: str, live: ObjectCache) -> Target | None:
    for pattern, kind in _POD_NAMES:
        found = pattern.match(name)
        workload = live.get(kind, namespace, found[1]) if found else None
        if workload is not None:
            return target(workload)
    return None


def _sighting(row: ReceivedAlert, about: Target, subject: ObjectRef | None) -> Sighting:
    text = next(
        (row.annotations[name] for name in ("summary", "message", "description") if row.annotations.get(name)), ""
    )
    return Sighting(
        target=about,
        subject=subject,
        symptom=symptom_of(row.name),
        message=f"Alert {row.name}: {text}"[:600] if text else f"Alert {row.name} fires.",
        severity=_SEVERITY.get(row.labels.get("severity", "").lower(), Severity.MEDIUM),
        since=row.starts_at,
        moment=f"{row.fingerprint}/{row.starts_at.isoformat()}",
        source=SignalSource.ALERT,
        data={"alert": row.name, "fingerprint": row.fingerprint, "labels": row.labels},
    )


def symptom_of(alert_name: str) -> str:
    """The alert's name as a code of ours."""
    words = re.findall(r"[A-Za-z0-9]+", alert_name)
    code = "".join(word[:1].upper() + word[1:] for word in words)[:63]
    return code or "AlertFires"


def _settle(
    row: ReceivedAlert,
    state: AlertState,
    reason: str,
    about: ObjectRef | None = None,
    event: HealingEvent | None = None,
    *,
    look_at: datetime | None = None,
) -> None:
    ReceivedAlert.objects.filter(pk=row.pk, is_firing=True).update(
        state=state, reason=reason[:500], target=about.as_json() if about else {}, event=event, look_at=look_at
    )


def _ended(row: ReceivedAlert, now: datetime) -> None:
    """A resolved alert: evidence for its event, told once."""
    with transaction.atomic():
        mine = ReceivedAlert.objects.filter(pk=row.pk, is_end_told=False)
        state = row.state if row.state != AlertState.PENDING else AlertState.LEFT_ALONE
        reason = row.reason if row.state != AlertState.PENDING else "It was over when it was first delivered."
        if not mine.update(is_end_told=True, look_at=None, state=state, reason=reason[:500]) or row.event_id is None:
            return
        text = f"Alertmanager says that {row.name} is over since {row.ends_at or now:%H:%M:%S} UTC."
        data = {"alert": row.name, "fingerprint": row.fingerprint}
        engine.add_note(
            row.event_id, Note("alert-resolved", text, data, actor_kind=ActorKind.RULE, source="alertmanager")
        )


_TELLING = frozenset({*_NAMESPACES, *(label for label, _ in _LABELS), *(f"exported_{label}" for label, _ in _LABELS)})
