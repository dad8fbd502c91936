"""Objects, one global resourceVersion, and the history watches resume from.

Objects are treated as immutable: a change puts a new dict in the place of the old one, so whoever holds the old
one keeps what they read. Everything is synchronous on one event loop.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from healing.sandbox.ports import EventType, Listener, Object

logger = logging.getLogger(__name__)

#: how many changes of one resource a watch can look back on
HISTORY_LENGTH = 4096
#: the first version handed out; clients asking for an older one get 410 as from a compacted etcd
FIRST_RESOURCE_VERSION = 1000

Key = tuple[str, str]  # namespace, name


class Change:
    """One committed change. ``encoded`` caches the new object's JSON for all watchers."""

    __slots__ = ("_encoded", "new", "old", "resource_version", "type")

    def __init__(self, type_: EventType, new: Object, old: Object | None, resource_version: int) -> None:
        self.type: EventType = type_
        self.new = new
        self.old = old
        self.resource_version = resource_version
        self._encoded: bytes | None = None

    @property
    def encoded(self) -> bytes:
        if self._encoded is None:
            self._encoded = orjson.dumps(self.new)
        return self._encoded


ChangeListener = Callable[[Change], None]


class _Row:
    __slots__ = ("item_json", "obj")

    def __init__(self, obj: Object) -> None:
        self.obj = obj
        self.item_json: bytes | None = None


class Table:
    """All objects of one resource."""

    def __init__(self, first_version: int) -> None:
        self._rows: dict[Key, _Row] = {}
        self._namespaces: dict[str, dict[str, _Row]] = {}
        self._sorted: dict[str, list[_Row]] = {}
        self._sorted_all: list[_Row] | None = None
        self.history: deque[Change] = deque(maxlen=HISTORY_LENGTH)
        #: changes up to this version are forgotten
        self.forgotten_version = first_version
        self.listeners: list[ChangeListener] = []

    def get(self, namespace: str, name: str) -> Object | None:
        row = self._rows.get((namespace, name))
        return row.obj if row else None

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, namespace: str | None) -> list[_Row]:
        """Rows ordered by namespace and name."""
        if namespace is not None:
            cached = self._sorted.get(namespace)
            if cached is None:
                rows = self._namespaces.get(namespace, {})
                cached = self._sorted[namespace] = [rows[name] for name in sorted(rows)]
            return cached
        if self._sorted_all is None:
            self._sorted_all = [row for name in sorted(self._namespaces) for row in self.rows(name)]
        return self._sorted_all

    def objects(self, namespace: str | None = None) -> list[Object]:
        return [row.obj for row in self.rows(namespace)]

    def put(self, key: Key, obj: Object) -> None:
        row = self._rows.get(key)
        if row is not None:
            row.obj = obj
            row.item_json = None
            return
        row = self._rows[key] = _Row(obj)
        self._namespaces.setdefault(key[0], {})[key[1]] = row
        self._forget_order(key[0])

    def drop(self, key: Key) -> None:
        del self._rows[key]
        names = self._namespaces[key[0]]
        del names[key[1]]
        if not names:
            del self._namespaces[key[0]]
        self._forget_order(key[0])

    def _forget_order(self, namespace: str) -> None:
        self._sorted.pop(namespace, None)
        self._sorted_all = None

    def remember(self, change: Change) -> None:
        if len(self.history) == self.history.maxlen:
            self.forgotten_version = self.history[0].resource_version
        self.history.append(change)

    def since(self, version: int) -> Iterator[Change]:
        """Changes after ``version``, oldest first."""
        newer: list[Change] = []
        for change in reversed(self.history):
            if change.resource_version <= version:
                break
            newer.append(change)
        return reversed(newer)

    def snapshot(self, version: int) -> dict[Key, Object]:
        """The objects as they were at ``version`` (which must not be forgotten)."""
        objects = {key: row.obj for key, row in self._rows.items()}
        for change in reversed(self.history):
            if change.resource_version <= version:
                break
            metadata = change.new["metadata"]
            key = metadata.get("namespace") or "", metadata["name"]
            if change.old is None:
                objects.pop(key, None)
            else:
                objects[key] = change.old
        return objects


def item_json(row: _Row, *, strip_kind: bool) -> bytes:
    """A list item's JSON, cached; items of built-in lists carry no kind and apiVersion."""
    if row.item_json is None:
        obj: Any = row.obj
        if strip_kind:
            obj = {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
        row.item_json = orjson.dumps(obj)
    return row.item_json


class Store:
    """Tables by storage name, and the order of all changes."""

    def __init__(self, first_version: int = FIRST_RESOURCE_VERSION) -> None:
        self.first_version = first_version
        self.version = first_version
        self._tables: dict[str, Table] = {}
        self._pending: deque[tuple[str, Table, Change]] = deque()
        self._dispatching = False
        #: told of every change, before the table's own listeners
        self.observers: list[Callable[[str, Change], None]] = []

    def table(self, storage: str) -> Table:
        table = self._tables.get(storage)
        if table is None:
            table = self._tables[storage] = Table(self.first_version)
        return table

    def storages(self) -> list[str]:
        return list(self._tables)

    def drop_table(self, storage: str) -> None:
        self._tables.pop(storage, None)

    def commit(self, storage: str, type_: EventType, key: Key, new: Object, old: Object | None) -> Object:
        """Give ``new`` the next resourceVersion, keep it (or take it away), and tell the listeners."""
        self.version += 1
        new["metadata"]["resourceVersion"] = str(self.version)
        table = self.table(storage)
        if type_ == "DELETED":
            table.drop(key)
        else:
            table.put(key, new)
        change = Change(type_, new, old, self.version)
        table.remember(change)
        self._pending.append((storage, table, change))
        self._dispatch()
        return new

    def _dispatch(self) -> None:
        # A listener may change objects itself. Its changes wait here, so that everyone sees one order.
        if self._dispatching:
            return
        self._dispatching = True
        try:
            while self._pending:
                storage, table, change = self._pending.popleft()
                for observer in self.observers:
                    observer(storage, change)
                for listener in tuple(table.listeners):
                    # One broken part of the world must not stop the others from hearing of the change.
                    try:
                        listener(change)
                    except Exception:
                        logger.exception("a listener failed on %s of %s", change.type, storage)
        finally:
            self._dispatching = False

    def listen(self, storage: str, listener: ChangeListener) -> Callable[[], None]:
        listeners = self.table(storage).listeners
        listeners.append(listener)

        def stop() -> None:
            if listener in listeners:
                listeners.remove(listener)

        return stop

    def subscribe(self, storage: str, listener: Listener) -> Callable[[], None]:
        return self.listen(storage, lambda change: listener(change.type, change.new, change.old))
