"""HealingEvent resources, written from the rows for those who look with kubectl. They can be rebuilt at any time.

The row is the record; a resource that cannot be written (no such type in the cluster, no permission, no connection)
never holds up a healing. Several workers may write the same event: whoever finds that an older state may have come
after a newer one writes again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db.models import F

from healing import dispatch, shared_clock
from healing.lifecycle import Outcome, Phase
from healing.models import HealingEvent, Strategy, StrategyState, TimelineEntry
from healing.ports import Ports
from healing.ports.cluster import Cluster, Object, ObjectRef
from healing.ports.errors import AlreadyExists, Invalid, NotFound, SourceError

log = structlog.get_logger(__name__)

KIND = "HealingEvent"
TIMELINE_KEPT = 20
_MANAGED_BY = "recist"
WRITE_TIMEOUT_SECONDS = 5.0
SWEEP_EVERY_SECONDS = 5.0
_MESSAGE_LENGTH = 1000
_ROUNDS = 4
_PAUSE_SECONDS = 10.0
_SAY_AGAIN_SECONDS = 60.0
_SWEEP_BATCH = 50

_lock = threading.Lock()
#: cluster -> monotonic time until which nothing is tried, and when that was last said
_paused_until: dict[str, float] = {}
_said_at: dict[str, float] = {}


def mirror_event(event_id: int, ports: Ports) -> bool:
    """Write the event's resource unless it shows the newest state already. False: it could not be written."""
    if _paused_until.get(ports.cluster_name, 0.0) > time.monotonic():
        return False
    for _ in range(_ROUNDS):
        event = HealingEvent.objects.filter(pk=event_id).first()
        if event is None or _is_written(event):
            return True
        try:
            write(event, ports.cluster)
        except SourceError as error:
            if not _concerns_only(event, error):
                _pause(ports.cluster_name, error)
                return False
            log.warning("a HealingEvent resource has no place", event_name=event.name, error=str(error))
        if HealingEvent.objects.filter(pk=event_id, mirrored_seq__lte=event.seq).update(mirrored_seq=event.seq):
            _note_written(event)
            if not HealingEvent.objects.filter(pk=event_id, seq__gt=event.seq).exists():
                return True
        # Somebody has written a newer state in the meantime, perhaps before ours arrived, or there is a newer one.
    return True


def sweep(clusters: Iterable[str]) -> int:
    """Ask for every resource of these clusters that lags behind its row; returns how many. Cheap; call it as often as
    you like. One cluster that is full of them, or takes none, leaves room for the others."""
    if not _may_sweep():
        return 0
    wanted = [cluster for cluster in clusters if not _is_paused(cluster)]
    behind = HealingEvent.objects.filter(mirrored_seq__lt=F("seq"), cluster__in=wanted).order_by("-seq")
    by_cluster: dict[str, list[int]] = {}
    for event_id, cluster in behind.values_list("pk", "cluster")[: _SWEEP_BATCH * 20]:
        by_cluster.setdefault(cluster, []).append(event_id)
    rounds = zip_longest(*by_cluster.values())
    ids = [event_id for turn in rounds for event_id in turn if event_id is not None][:_SWEEP_BATCH]
    for event_id in ids:
        dispatch.send_mirror(event_id)
    return len(ids)


def write(event: HealingEvent, cluster: Cluster) -> None:
    """Create the resource where it is missing and bring its status up to date. Raises `healing.ports.errors`."""
    namespace = event.target_namespace or settings.POD_NAMESPACE
    patch = {"status": status_of(event, shared_clock.now())}

    def patch_status() -> None:
        cluster.patch(KIND, namespace, event.name, patch, subresource="status", timeout_seconds=WRITE_TIMEOUT_SECONDS)

    try:
        patch_status()
    except NotFound:
        try:
            cluster.create(KIND, namespace, resource_of(event, namespace), timeout_seconds=WRITE_TIMEOUT_SECONDS)
        except AlreadyExists:
            pass  # another worker was faster
        patch_status()


def remove(event: HealingEvent, cluster: Cluster) -> None:
    """Delete the event's resource, if it is the one that was made of this row. Raises `healing.ports.errors`."""
    namespace = event.target_namespace or settings.POD_NAMESPACE
    try:
        found = cluster.get(KIND, namespace, event.name, timeout_seconds=WRITE_TIMEOUT_SECONDS)
        if not _is_of(event, found):
            log.warning("a resource with an event's name is not ours", event_name=event.name, namespace=namespace)
            return
        uid = str(found["metadata"]["uid"])
        cluster.delete(KIND, namespace, event.name, uid=uid, timeout_seconds=WRITE_TIMEOUT_SECONDS)
    except NotFound:
        pass  # somebody was faster, or the whole namespace is gone


def _is_of(event: HealingEvent, found: Object) -> bool:
    """Another installation, or a person, may have made one of this name."""
    labels, spec = found["metadata"].get("labels") or {}, found.get("spec") or {}
    return bool(
        labels.get("app.kubernetes.io/managed-by") == _MANAGED_BY
        and (spec.get("fingerprint"), spec.get("cluster")) == (event.fingerprint, event.cluster)
    )


def resource_of(event: HealingEvent, namespace: str) -> Object:
    """The resource without its status; its spec never changes."""
    target = ObjectRef(event.target_kind, event.target_namespace, event.target_name, event.target_uid)
    spec: dict[str, Any] = {
        "target": target.as_json(),
        "symptom": event.symptom,
        "message": event.message[:_MESSAGE_LENGTH],
        "severity": event.severity,
        "source": event.source,
        "fingerprint": event.fingerprint,
        "policy": event.policy_name,
        "cluster": event.cluster,
        "detectedAt": _time(event.detected_at),
    }
    if event.subject:
        spec["subject"] = ObjectRef.from_json(event.subject).as_json()
    return {
        "metadata": {
            "name": event.name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": _MANAGED_BY, "recist.io/symptom": event.symptom},
        },
        "spec": spec,
    }


def status_of(event: HealingEvent, now: datetime) -> dict[str, Any]:
    """The status as a merge patch: what does not apply is null, so that it goes away."""
    entries = list(event.timeline.order_by("-seq")[:TIMELINE_KEPT])
    seconds = _seconds(event, now)
    return {
        "phase": event.phase,
        "target": _target(event),
        "reason": event.cause or event.symptom,
        "message": (event.outcome_reason or (entries[0].message if entries else event.message))[:_MESSAGE_LENGTH],
        "cause": event.cause or None,
        "causeObject": ObjectRef.from_json(event.cause_object).as_json() if event.cause_object else None,
        "confidence": event.confidence,
        "outcome": event.outcome or None,
        "strategy": _strategy(event),
        "attempt": event.attempt,
        "startTime": _time(event.detected_at),
        "completionTime": _time(event.finished_at),
        "duration": _words(seconds),
        "durationSeconds": round(seconds, 1) if event.finished_at else None,
        "waitedSeconds": round(event.waited_seconds, 1),
        "observedSeq": event.seq,
        "timeline": [_entry(entry) for entry in reversed(entries)],
        "conditions": list(_conditions(event)),
    }


def _conditions(event: HealingEvent) -> Iterable[dict[str, Any]]:
    is_over = event.finished_at is not None
    healed = event.outcome in (Outcome.HEALED, Outcome.RECOVERED)
    waits = event.phase == Phase.AWAITING_APPROVAL
    for name, at in (("Contained", event.contained_at), ("Diagnosed", event.diagnosed_at)):
        yield _condition(name, event, at, name, f"Not{name}", value=at is not None)
    yield _condition("AwaitingApproval", event, None, "ApprovalNeeded", "NoApprovalNeeded", value=waits)
    healed_at = event.healed_at or event.finished_at
    yield _condition("Healed", event, healed_at, "Verified", "NotHealed", value=healed if is_over else None)


def _condition(
    kind: str, event: HealingEvent, at: datetime | None, reason: str, reason_if_not: str, *, value: bool | None
) -> dict[str, Any]:
    return {
        "type": kind,
        "status": "Unknown" if value is None else str(value),
        "reason": "InProgress" if value is None else reason if value else reason_if_not,
        "message": event.outcome_reason[:_MESSAGE_LENGTH] if kind == "Healed" else "",
        "lastTransitionTime": _time(at or event.detected_at),
    }


def _entry(entry: TimelineEntry) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "at": _time(entry.at),
        "phase": entry.phase,
        "kind": entry.kind,
        "actor": entry.actor or str(entry.actor_kind),
        "message": entry.message[:_MESSAGE_LENGTH],
    }


def _strategy(event: HealingEvent) -> str | None:
    states = (StrategyState.CHOSEN, StrategyState.APPLIED, StrategyState.SUCCEEDED, StrategyState.FAILED)
    chosen = Strategy.objects.filter(event=event, state__in=states).order_by("-attempt", "-score").first()
    return chosen.title if chosen is not None else None


def _target(event: HealingEvent) -> str:
    return str(ObjectRef(event.target_kind, event.target_namespace, event.target_name))


def _seconds(event: HealingEvent, now: datetime) -> float:
    end = event.finished_at or now
    return max(0.0, (end - event.detected_at).total_seconds() - event.waited_seconds)


def _words(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole}s" if whole < 120 else f"{whole // 60}m{whole % 60:02d}s"


def _time(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _concerns_only(event: HealingEvent, error: SourceError) -> bool:
    """Whether other events can be written: the namespace of this one is gone or going, or its content is refused."""
    is_namespace = isinstance(error, NotFound) and f'namespaces "{event.target_namespace}" not found' in str(error)
    return is_namespace or isinstance(error, Invalid)


# --- coalescing and outages ----------------------------------------------------------------------------------


def _mark(event: HealingEvent) -> str:
    # The phase moves without a timeline entry when a worker claims an event.
    return f"{event.seq}.{event.phase}"


def _is_written(event: HealingEvent) -> bool:
    if event.mirrored_seq < event.seq:
        return False
    try:
        return bool(cache.get(f"mirror.{event.pk}") == _mark(event))
    except Exception:  # noqa: BLE001 - without a cache it is written once too often
        return False


def _note_written(event: HealingEvent) -> None:
    try:
        cache.set(f"mirror.{event.pk}", _mark(event), timeout=3600)
    except Exception as error:  # noqa: BLE001
        log.debug("cache not reachable", error=str(error))


def _may_sweep() -> bool:
    try:
        return bool(cache.add("mirror.sweep", 1, timeout=SWEEP_EVERY_SECONDS))
    except Exception:  # noqa: BLE001 - without a cache every caller sweeps
        return True


def _is_paused(cluster: str) -> bool:
    """Also where another process has found that it cannot be written to."""
    try:
        return bool(cache.get(f"mirror.paused.{cluster}"))
    except Exception:  # noqa: BLE001 - without a cache only each process knows for itself
        return False


def _pause(cluster: str, error: SourceError) -> None:
    try:
        cache.set(f"mirror.paused.{cluster}", 1, timeout=_PAUSE_SECONDS)
    except Exception as unreachable:  # noqa: BLE001
        log.debug("cache not reachable", error=str(unreachable))
    with _lock:
        now = time.monotonic()
        _paused_until[cluster] = now + _PAUSE_SECONDS
        if now - _said_at.get(cluster, float("-inf")) < _SAY_AGAIN_SECONDS:
            return
        _said_at[cluster] = now
    hint = "apply helm/recist/crds" if isinstance(error, NotFound) else ""
    log.warning("HealingEvent resources cannot be written", cluster=cluster, error=str(error), hint=hint or None)
