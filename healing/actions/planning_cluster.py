"""A cluster for planning: reads are remembered for the time of one planning, and nothing can be changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

from healing.ports.cluster import Cluster, Object, ObjectList, PatchType, WatchEvent
from healing.ports.errors import NotFound


class PlanningCluster:
    """Implements `healing.ports.Cluster`; safe for threads. A write that is no dry run is a `RuntimeError`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._known: dict[tuple[Any, ...], Any] = {}

    def anew(self) -> PlanningCluster:
        """The same cluster with nothing remembered: for a plan that turned out to be made on old reads."""
        return PlanningCluster(self._cluster)

    def _remembered(self, key: tuple[Any, ...], read: Callable[[], Any]) -> Any:
        with self._lock:
            if key in self._known:
                value = self._known[key]
                if isinstance(value, NotFound):
                    raise value
                return value
        try:
            value = read()
        except NotFound as error:
            value = error
        with self._lock:
            self._known[key] = value
        if isinstance(value, NotFound):
            raise value
        return value

    def get(self, kind: str, namespace: str, name: str, *, timeout_seconds: float | None = None) -> Object:
        return cast(
            "Object",
            self._remembered(
                ("get", kind, namespace, name),
                lambda: self._cluster.get(kind, namespace, name, timeout_seconds=timeout_seconds),
            ),
        )

    def list(
        self,
        kind: str,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: float | None = None,
    ) -> ObjectList:
        return cast(
            "ObjectList",
            self._remembered(
                ("list", kind, namespace, label_selector, field_selector),
                lambda: self._cluster.list(
                    kind,
                    namespace,
                    label_selector=label_selector,
                    field_selector=field_selector,
                    timeout_seconds=timeout_seconds,
                ),
            ),
        )

    def watch(
        self,
        kind: str,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        timeout_seconds: float = 300.0,
        stop: threading.Event | None = None,
    ) -> Iterator[WatchEvent]:
        raise RuntimeError("A planning does not watch.")

    def create(
        self, kind: str, namespace: str, body: Object, *, dry_run: bool = False, timeout_seconds: float | None = None
    ) -> Object:
        _only(dry_run)
        return self._cluster.create(kind, namespace, body, dry_run=True, timeout_seconds=timeout_seconds)

    def patch(
        self,
        kind: str,
        namespace: str,
        name: str,
        patch: Any,
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
        dry_run: bool = False,
        force: bool = False,
        timeout_seconds: float | None = None,
    ) -> Object:
        _only(dry_run)
        return self._cluster.patch(
            kind,
            namespace,
            name,
            patch,
            patch_type=patch_type,
            subresource=subresource,
            dry_run=True,
            force=force,
            timeout_seconds=timeout_seconds,
        )

    def delete(
        self,
        kind: str,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace_seconds: int | None = None,
        dry_run: bool = False,
        timeout_seconds: float | None = None,
    ) -> None:
        _only(dry_run)
        self._cluster.delete(
            kind,
            namespace,
            name,
            uid=uid,
            grace_seconds=grace_seconds,
            dry_run=True,
            timeout_seconds=timeout_seconds,
        )

    def evict(
        self, namespace: str, pod: str, *, uid: str = "", dry_run: bool = False, timeout_seconds: float | None = None
    ) -> None:
        _only(dry_run)
        self._cluster.evict(namespace, pod, uid=uid, dry_run=True, timeout_seconds=timeout_seconds)

    def pod_logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        previous: bool = False,
        tail_lines: int = 500,
        limit_bytes: int = 1_000_000,
        timeout_seconds: float | None = None,
    ) -> str:
        return self._cluster.pod_logs(
            namespace,
            pod,
            container,
            previous=previous,
            tail_lines=tail_lines,
            limit_bytes=limit_bytes,
            timeout_seconds=timeout_seconds,
        )

    def can_i(
        self, verb: str, kind: str, namespace: str = "", *, subresource: str = "", timeout_seconds: float | None = None
    ) -> bool:
        return self._cluster.can_i(verb, kind, namespace, subresource=subresource, timeout_seconds=timeout_seconds)

    def version(self, *, timeout_seconds: float | None = None) -> str:
        return self._cluster.version(timeout_seconds=timeout_seconds)


def _only(dry_run: bool) -> None:  # noqa: FBT001 -- says what it checks
    if not dry_run:
        raise RuntimeError("A planning changes nothing.")
