"""The watcher's picture of the cluster: objects by kind, namespace and name, as the watches last told."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from healing.ports.cluster import Object

Key = tuple[str, str, str]  # kind, namespace, name

_REASONS_OF_NORMAL_EVENTS = frozenset({"TriggeredScaleUp"})


def key_of(obj: Object) -> Key:
    """An object's place in the cache."""
    meta = obj.get("metadata") or {}
    return str(obj.get("kind")), str(meta.get("namespace") or ""), str(meta.get("name") or "")


def is_evidence(event: Object) -> bool:
    """Whether an Event can tell a detector anything: normal life is by far the most of them."""
    return event.get("type") == "Warning" or event.get("reason") in _REASONS_OF_NORMAL_EVENTS


class ObjectCache:
    """Safe to share between threads. Objects in it are never changed, only replaced: whoever got one may keep it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._objects: dict[str, dict[tuple[str, str], Object]] = defaultdict(dict)
        #: kind and namespace -> the same objects: most questions are about one namespace of many
        self._places: dict[tuple[str, str], dict[str, Object]] = defaultdict(dict)
        #: uid of an object -> keys of the Events about it
        self._events: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self._changes: dict[str, int] = defaultdict(int)

    def changes(self, kinds: Iterable[str]) -> int:
        """A number that rises whenever an object of these kinds comes, changes or goes."""
        with self._lock:
            return sum(self._changes[kind] for kind in kinds)

    def replace(self, kind: str, items: Iterable[Object], namespace: str = "") -> set[Key]:
        """Take a whole list, of one namespace or of all; returns the keys of all its objects, those of now and those of
        before."""
        with self._lock:
            before = {key for key in self._objects[kind] if not namespace or key[0] == namespace}
            for key in before:
                self._drop(kind, key)
            for item in items:
                self._put(kind, item)
            now = {key for key in self._objects[kind] if not namespace or key[0] == namespace}
            return {(kind, *key) for key in before | now}

    def apply(self, event_type: str, obj: Object) -> Key:
        """Take one watch event (ADDED, MODIFIED, DELETED)."""
        kind, namespace, name = key_of(obj)
        with self._lock:
            if event_type == "DELETED":
                self._drop(kind, (namespace, name))
            else:
                self._put(kind, obj)
        return kind, namespace, name

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object, or None."""
        with self._lock:
            return self._objects[kind].get((namespace, name))

    def list(self, kind: str, namespace: str = "") -> list[Object]:
        """All objects of a kind, or those of one namespace."""
        with self._lock:
            return list(self._places[kind, namespace].values() if namespace else self._objects[kind].values())

    def events_about(self, uid: str) -> Sequence[Object]:
        """The Events that are evidence about the object with this uid, oldest first."""
        with self._lock:
            found = [self._objects["Event"][key] for key in self._events.get(uid, ())]
        return sorted(found, key=event_time)

    def _put(self, kind: str, obj: Object) -> None:
        meta = obj.get("metadata") or {}
        key = str(meta.get("namespace") or ""), str(meta.get("name") or "")
        if kind == "Event":
            if not is_evidence(obj):
                return
            self._events[_about(obj)].add(key)
        meta.pop("managedFields", None)  # the larger half of many objects, and of no use here
        self._objects[kind][key] = self._places[kind, key[0]][key[1]] = obj
        self._changes[kind] += 1

    def _drop(self, kind: str, key: tuple[str, str]) -> None:
        gone = self._objects[kind].pop(key, None)
        self._places[kind, key[0]].pop(key[1], None)
        self._changes[kind] += 1
        if gone is not None and kind == "Event":
            uid = _about(gone)
            self._events[uid].discard(key)
            if not self._events[uid]:
                del self._events[uid]


def event_time(event: Object) -> str:
    """When an Event last happened, as the API's text (which sorts): the scheduler's Events have only ``eventTime``."""
    series: dict[str, Any] = event.get("series") or {}
    return str(
        event.get("lastTimestamp")
        or series.get("lastObservedTime")
        or event.get("eventTime")
        or event.get("firstTimestamp")
        or ""
    )


def _about(event: Object) -> str:
    return str((event.get("involvedObject") or {}).get("uid") or "")
