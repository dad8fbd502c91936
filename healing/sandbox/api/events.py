"""Writing Events the way Kubernetes' recorders do: counting, aggregating, dropping what is too much."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from healing.sandbox.api.meta import clone, micro_timestamp, timestamp
from healing.sandbox.ports import ApiError, Object, User

if TYPE_CHECKING:
    from healing.sandbox.api.cluster import ApiServer

_AGGREGATE_AFTER = 10
_AGGREGATE_WINDOW_SECONDS = 600.0
_SPAM_BURST = 25
_SPAM_REFILL_SECONDS = 300.0
_CACHE_SIZE = 4096
_COMBINED = "(combined from similar events): "
#: components that write through events.k8s.io
_NEW_STYLE = {"default-scheduler": "kube-scheduler"}
_MANAGERS = {"kubelet": "kubelet"}


@dataclass(slots=True)
class _Similar:
    messages: set[str] = field(default_factory=set)
    last: float = 0.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class _Lru(OrderedDict[Any, Any]):
    def remember(self, key: Any, value: Any) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > _CACHE_SIZE:
            self.popitem(last=False)


class EventRecorder:
    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._similar: _Lru = _Lru()
        self._known: _Lru = _Lru()
        self._buckets: _Lru = _Lru()
        self._last_name = 0

    def record(
        self,
        regarding: Object,
        *,
        type: str,  # noqa: A002  (the name of the field)
        reason: str,
        message: str,
        component: str,
        host: str,
        field_path: str,
        action: str,
    ) -> None:
        """See `healing.sandbox.ports.Cluster.record_event`."""
        now = self._server.clock()
        reference = _reference(regarding, field_path)
        source = (
            component,
            host,
            reference["kind"],
            reference.get("namespace"),
            reference["name"],
            reference.get("uid", ""),
        )
        if component in _NEW_STYLE:
            self._record_new_style(reference, source, type, reason, message, component, host, action, now)
            return
        same = (*source, field_path, type, reason)
        similar = self._similar.get(same)
        if similar is None or now - similar.last > _AGGREGATE_WINDOW_SECONDS:
            similar = _Similar()
        similar.last = now
        self._similar.remember(same, similar)
        combined = len(similar.messages | {message}) > _AGGREGATE_AFTER
        if not combined:
            similar.messages.add(message)
        if not self._allowed(source, now):
            return
        key = (*same, "" if combined else message)
        text = _COMBINED + message if combined else message
        manager = _MANAGERS.get(component, "kube-controller-manager")
        user = User(f"system:{component}", ("system:masters",), field_manager=manager)
        if self._count_up(key, reference, text, user, now):
            return
        event = self._event(reference, now)
        event.update(
            reason=reason,
            message=text,
            source={"component": component, **({"host": host} if host else {})},
            firstTimestamp=timestamp(now),
            lastTimestamp=timestamp(now),
            count=1,
            type=type,
            eventTime=None,
            reportingComponent="" if combined else component,
            reportingInstance="" if combined else host,
        )
        self._write(key, event, user)

    def _record_new_style(
        self,
        reference: Object,
        source: tuple[Any, ...],
        type_: str,
        reason: str,
        message: str,
        component: str,
        host: str,
        action: str,
        now: float,
    ) -> None:
        key = (*source, type_, reason, message)
        user = User(f"system:{_NEW_STYLE[component]}", ("system:masters",), field_manager=_NEW_STYLE[component])
        if self._series_up(key, reference, user, now):
            return
        event = self._event(reference, now)
        event.update(
            reason=reason,
            message=message,
            source={},
            firstTimestamp=None,
            lastTimestamp=None,
            type=type_,
            eventTime=micro_timestamp(now),
            action=action or ("Binding" if reason == "Scheduled" else "Scheduling"),
            reportingComponent=component,
            reportingInstance=f"{component}-{host}" if host else component,
        )
        self._write(key, event, user, "events.k8s.io/v1")

    def _allowed(self, source: tuple[Any, ...], now: float) -> bool:
        bucket = self._buckets.get(source)
        if bucket is None:
            bucket = _Bucket(_SPAM_BURST, now)
        bucket.tokens = min(_SPAM_BURST, bucket.tokens + (now - bucket.at) / _SPAM_REFILL_SECONDS)
        bucket.at = now
        self._buckets.remember(source, bucket)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _event(self, reference: Object, now: float) -> Object:
        # Names end in the time in nanoseconds; two events of one instant must still differ.
        self._last_name = max(self._last_name + 1, int(now * 1e9))
        namespace = reference.get("namespace") or "default"
        return {
            "metadata": {"name": f"{reference['name']}.{self._last_name:x}", "namespace": namespace},
            "involvedObject": reference,
        }

    def _known_event(self, key: tuple[Any, ...], reference: Object) -> Object | None:
        name = self._known.get(key)
        if name is None:
            return None
        return self._server.get("events", reference.get("namespace") or "default", name)

    def _count_up(self, key: tuple[Any, ...], reference: Object, text: str, user: User, now: float) -> bool:
        known = self._known_event(key, reference)
        if known is None:
            return False
        changed = clone(known)
        changed["count"] = int(known.get("count") or 1) + 1
        changed["lastTimestamp"] = timestamp(now)
        changed["message"] = text
        return self._update(changed, user)

    def _series_up(self, key: tuple[Any, ...], reference: Object, user: User, now: float) -> bool:
        known = self._known_event(key, reference)
        if known is None:
            return False
        changed = clone(known)
        count = int((known.get("series") or {}).get("count") or 1) + 1
        changed["series"] = {"count": count, "lastObservedTime": micro_timestamp(now)}
        return self._update(changed, user)

    def _update(self, changed: Object, user: User) -> bool:
        metadata = changed["metadata"]
        self._server.update("events", metadata["namespace"], metadata["name"], changed, user=user)
        return True

    def _write(self, key: tuple[Any, ...], event: Object, user: User, api_version: str = "v1") -> None:
        try:
            created = self._server.create_in("events", event["metadata"]["namespace"], event, user, api_version)
        except ApiError:
            # The namespace is gone or going: real recorders only log this.
            return
        self._known.remember(key, created["metadata"]["name"])


def _reference(regarding: Object, field_path: str) -> Object:
    if "metadata" not in regarding:
        return {**regarding, **({"fieldPath": field_path} if field_path else {})}
    metadata = regarding["metadata"]
    reference: Object = {"kind": regarding.get("kind", "")}
    if metadata.get("namespace"):
        reference["namespace"] = metadata["namespace"]
    reference["name"] = metadata["name"]
    reference["uid"] = metadata.get("uid", "")
    reference["apiVersion"] = regarding.get("apiVersion", "v1")
    if metadata.get("resourceVersion"):
        reference["resourceVersion"] = metadata["resourceVersion"]
    if field_path:
        reference["fieldPath"] = field_path
    return reference
