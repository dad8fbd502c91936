"""One kind read namespace by namespace: who judges it hears that it is read as a whole, once all of them are."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from healing.detection.cache import Key
from healing.detection.informer import Sink


class Gathering:
    """Stands between the informers of one kind, a namespace each, and the one who is to be told."""

    def __init__(self, sink: Sink, namespaces: Iterable[str]) -> None:
        self._sink = sink
        self._lock = threading.Lock()
        self._waiting_for = set(namespaces)
        self._keys: list[Key] = []

    def of(self, namespace: str) -> Sink:
        """What the namespace's informer tells."""
        return _Part(self, namespace)

    def changed(self, key: Key) -> None:
        """Passed on as it comes."""
        self._sink.changed(key)

    def read(self, namespace: str, kind: str, keys: list[Key]) -> None:
        """A namespace was read: the first time, that is kept until the others are read too."""
        with self._lock:
            self._waiting_for.discard(namespace)
            self._keys += keys
            if self._waiting_for:
                return
            keys, self._keys = self._keys, []
        self._sink.synced(kind, keys)


class _Part:
    def __init__(self, whole: Gathering, namespace: str) -> None:
        self._whole = whole
        self._namespace = namespace

    def changed(self, key: Key) -> None:
        self._whole.changed(key)

    def synced(self, kind: str, keys: list[Key]) -> None:
        self._whole.read(self._namespace, kind, keys)
