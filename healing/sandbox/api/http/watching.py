"""WATCH: a stream of changes, translated for the selector, with bookmarks and an end."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
from starlette.datastructures import QueryParams
from starlette.responses import StreamingResponse

from healing.sandbox.api import errors
from healing.sandbox.api.cluster import ApiServer
from healing.sandbox.api.conversion import is_converted, present
from healing.sandbox.api.http.listing import Selection, selection_of
from healing.sandbox.api.http.request import Accept, Target, flag, integer, options_error, resource_version
from healing.sandbox.api.registry import ResourceType
from healing.sandbox.api.store import Change
from healing.sandbox.api.tables import partial_metadata, table
from healing.sandbox.api.versions import KubernetesVersion
from healing.sandbox.ports import ApiError, Object

_random = random.SystemRandom()

BOOKMARK_SECONDS = 60.0
#: a bookmark comes this long before the watch ends
_FINAL_BOOKMARK_SECONDS = 2.0
_DEFAULT_TIMEOUT_SECONDS = (1800.0, 3600.0)
#: a client that reads this slowly is cut off and lists again
_MAX_QUEUE = 20_000
_INITIAL_EVENTS_END = "k8s.io/initial-events-end"

#: typed zero values that bookmarks of these kinds carry
_ZERO_VALUES: dict[str, Object] = {
    "pods": {"spec": {"containers": None}, "status": {}},
    "deployments.apps": {
        "spec": {"selector": None, "template": {"metadata": {}, "spec": {"containers": None}}, "strategy": {}},
        "status": {},
    },
    "replicasets.apps": {
        "spec": {"selector": None, "template": {"metadata": {}, "spec": {}}},
        "status": {"replicas": 0},
    },
    "services": {"spec": {}, "status": {"loadBalancer": {}}},
    "nodes": {"spec": {}, "status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 0}}, "nodeInfo": {}}},
    "namespaces": {"spec": {}, "status": {}},
}


class WatchHub:
    """All open watches of a server, so that they can be ended together."""

    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()

    def add(self, watcher: Watcher) -> None:
        self._watchers.add(watcher)

    def discard(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)

    def close_all(self) -> None:
        for watcher in list(self._watchers):
            watcher.close()

    def expire_all(self) -> None:
        """End every watch as if its version were compacted away: 410 in the stream."""
        for watcher in list(self._watchers):
            watcher.expire()

    def __len__(self) -> int:
        return len(self._watchers)


class Watcher:
    """One client's watch. `push` is called for each change; `stream` sends what came."""

    def __init__(
        self,
        server: ApiServer,
        resource: ResourceType,
        selection: Selection,
        accept: Accept,
        include: str,
        *,
        bookmarks: bool,
        timeout_seconds: float,
    ) -> None:
        self._server = server
        self._resource = resource
        self._selection = selection
        self._accept = accept
        self._include = include
        self._bookmarks = bookmarks
        self._timeout = timeout_seconds
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._ended = False
        self._columns_sent = False
        #: changes up to this version are the past, or the future the client waits for
        self.after_version = 0
        self.stop: Callable[[], None] = lambda: None

    # -- filling --------------------------------------------------------------------------------------------------

    def push(self, change: Change) -> None:
        if self._ended:
            # The client may have gone before its stream began; then nobody else stops the listening.
            self.stop()
            return
        if change.resource_version <= self.after_version:
            return
        self._translate(change)
        if len(self._queue) > _MAX_QUEUE:
            self.close()
        self._wake.set()

    def _translate(self, change: Change) -> None:
        matches = self._selection.matches
        now_in = change.type != "DELETED" and matches(change.new)
        was_in = change.old is not None and matches(change.old)
        if now_in:
            self._put("MODIFIED" if was_in else "ADDED", change.new, change)
        elif was_in and change.old is not None:
            # The last state that matched, under the new version.
            if change.type == "DELETED" and matches(change.new):
                self._put("DELETED", change.new, change)
                return
            metadata = {**change.old["metadata"], "resourceVersion": str(change.resource_version)}
            self._put("DELETED", {**change.old, "metadata": metadata}, None)

    def _put(self, type_: str, obj: Object, change: Change | None) -> None:
        plain = self._accept.form in ("json", "yaml") and not is_converted(self._resource)
        body = change.encoded if plain and change is not None else orjson.dumps(self._shown(obj))
        self._queue.append(b'{"type":"' + type_.encode() + b'","object":' + body + b"}\n")

    def _shown(self, obj: Object) -> Any:
        if self._accept.form == "table":
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            first = not self._columns_sent
            self._columns_sent = True
            data = table(self._resource, [obj], metadata, self._server.clock(), self._include, with_columns=first)
            data["apiVersion"] = f"meta.k8s.io/{self._accept.version}"
            return data
        shown = present(self._resource, obj)
        return partial_metadata(shown) if self._accept.form == "partial" else shown

    def initial(self) -> None:
        """All matching objects as ADDED, then the bookmark that says so."""
        for obj in self._server.store.table(self._resource.storage).objects(self._selection.namespace):
            if self._selection.matches(obj):
                self._put("ADDED", obj, None)
        if self._server.kubernetes.has("WatchList"):
            self.bookmark(initial_events_end=True)

    def bookmark(self, *, initial_events_end: bool = False) -> None:
        if not self._bookmarks:
            return
        metadata: Object = {"resourceVersion": str(self._server.store.version)}
        if initial_events_end:
            metadata["annotations"] = {_INITIAL_EVENTS_END: "true"}
        kind, version = self._resource.kind, self._resource.api_version
        obj: Object = {"kind": kind, "apiVersion": version, "metadata": metadata}
        if self._accept.form == "table":
            body: Any = table(self._resource, [], metadata, 0.0, self._include, with_columns=False)
            row = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
            body["rows"] = [{"cells": [], "object": row}]
        elif self._accept.form == "partial":
            body = partial_metadata(obj)
        else:
            body = {**obj, **_ZERO_VALUES.get(self._resource.storage, {})}
        self._queue.append(orjson.dumps({"type": "BOOKMARK", "object": body}) + b"\n")
        self._wake.set()

    def fail(self, error: ApiError) -> None:
        """Errors of a watch that has begun come in the stream."""
        self._queue.append(orjson.dumps({"type": "ERROR", "object": error.status}) + b"\n")
        self.close()

    def expire(self) -> None:
        version = self._server.store.version
        self.fail(errors.expired(f"too old resource version: {self.after_version} ({version})"))

    def close(self) -> None:
        self._ended = True
        self._wake.set()

    # -- sending --------------------------------------------------------------------------------------------------

    async def stream(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeout
        next_bookmark = loop.time() + BOOKMARK_SECONDS * _random.uniform(0.95, 1.05)
        final_bookmark = end - _FINAL_BOOKMARK_SECONDS
        try:
            while True:
                if self._queue:
                    chunk = b"".join(self._queue)
                    self._queue.clear()
                    yield chunk
                    continue
                now = loop.time()
                if self._ended or now >= end:
                    return
                if now >= final_bookmark:
                    self.bookmark()
                    final_bookmark = next_bookmark = end + 1
                elif now >= next_bookmark:
                    self.bookmark()
                    next_bookmark = now + BOOKMARK_SECONDS
                if self._queue:
                    continue
                self._wake.clear()
                deadline = min(end, final_bookmark, next_bookmark)
                try:
                    await asyncio.wait_for(self._wake.wait(), max(deadline - now, 0.001))
                except TimeoutError:
                    continue
        finally:
            self._ended = True
            self.stop()


def watch_objects(
    server: ApiServer, hub: WatchHub, resource: ResourceType, target: Target, query: QueryParams, accept: Accept
) -> StreamingResponse:
    selection = selection_of(resource, target, query)
    if target.name:
        selection = selection_of(resource, target, QueryParams(fieldSelector=f"metadata.name={target.name}"))
    _check_options(query, server.kubernetes)
    version = resource_version(query)
    timeout = integer(query, "timeoutSeconds")
    watcher = Watcher(
        server,
        resource,
        selection,
        accept,
        query.get("includeObject") or "Metadata",
        bookmarks=flag(query, "allowWatchBookmarks"),
        timeout_seconds=float(timeout) if timeout else _random.uniform(*_DEFAULT_TIMEOUT_SECONDS),
    )
    store_table = server.store.table(resource.storage)
    wants_initial = flag(query, "sendInitialEvents") and server.kubernetes.has("WatchList")
    if not version:
        watcher.after_version = server.store.version
        if wants_initial or query.get("sendInitialEvents") is None or not server.kubernetes.has("WatchList"):
            watcher.initial()
    elif wants_initial:
        watcher.after_version = server.store.version
        watcher.initial()
    elif version < store_table.forgotten_version:
        watcher.fail(errors.expired(f"too old resource version: {version} ({store_table.forgotten_version})"))
    else:
        watcher.after_version = version
        for change in store_table.since(version):
            watcher.push(change)
    stop_listening = server.store.listen(resource.storage, watcher.push)
    hub.add(watcher)

    def stop() -> None:
        stop_listening()
        hub.discard(watcher)

    watcher.stop = stop
    return StreamingResponse(watcher.stream(), media_type="application/json")


def _check_options(query: QueryParams, kubernetes: KubernetesVersion) -> None:
    match = query.get("resourceVersionMatch")
    if not kubernetes.has("sendInitialEvents"):
        if match:
            why = "resourceVersionMatch is forbidden for watch"
            raise options_error("ListOptions", [errors.forbidden_field("resourceVersionMatch", why)])
        return
    initial = query.get("sendInitialEvents")
    causes = []
    if initial is not None and match != "NotOlderThan":
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        causes.append(errors.forbidden_field("resourceVersionMatch", why))
    if initial is not None and not kubernetes.has("WatchList"):
        why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
        causes.append(errors.forbidden_field("sendInitialEvents", why))
    if initial is None and match:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        causes.append(errors.forbidden_field("resourceVersionMatch", why))
    if causes:
        raise options_error("ListOptions", causes)
