"""The Kubernetes API as the healing loop needs it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

#: An object in the API's JSON shape.
Object = dict[str, Any]
PatchType = Literal["merge", "strategic", "json", "apply"]


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """Names an object. ``kind`` is enough to find its API (`healing.cluster.kinds`); cluster-scoped: no namespace."""

    kind: str
    namespace: str
    name: str
    uid: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    def as_json(self) -> dict[str, str]:
        """``{"kind", "namespace", "name", "uid"}``, without what is empty."""
        values = {"kind": self.kind, "namespace": self.namespace, "name": self.name, "uid": self.uid}
        return {key: value for key, value in values.items() if value}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ObjectRef:
        """The inverse of `as_json`; also reads an ownerReference (which has no namespace)."""
        return cls(
            kind=str(value.get("kind", "")),
            namespace=str(value.get("namespace", "") or ""),
            name=str(value.get("name", "")),
            uid=str(value.get("uid", "") or ""),
        )

    @classmethod
    def of(cls, obj: Mapping[str, Any], kind: str = "") -> ObjectRef:
        """The name of a live object; ``kind`` where the object (a list's item) does not say."""
        meta = obj.get("metadata", {})
        return cls(
            kind=str(obj.get("kind") or kind),
            namespace=str(meta.get("namespace", "") or ""),
            name=str(meta.get("name", "")),
            uid=str(meta.get("uid", "") or ""),
        )


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """``type``: ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


@dataclass(frozen=True, slots=True)
class ObjectList:
    """A list's items, each with ``kind`` and ``apiVersion`` filled in, and the version to watch from."""

    items: list[Object]
    resource_version: str


class Cluster(Protocol):
    """All calls raise `healing.ports.errors`. ``timeout_seconds`` bounds the whole call with its retries
    (reads are retried; a write only where the cluster surely did not see it). An API server known to answer slowly gets
    more: a few times what it takes, 15 s at most."""

    def get(self, kind: str, namespace: str, name: str, *, timeout_seconds: float | None = None) -> Object: ...

    def list(
        self,
        kind: str,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: float | None = None,
    ) -> ObjectList:
        """All pages. An empty ``namespace`` is all namespaces."""

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
        """Changes after ``resource_version``, with bookmarks; ends at the timeout, or soon after ``stop`` is set.
        410 (also in band) is `Expired`."""

    def create(
        self, kind: str, namespace: str, body: Object, *, dry_run: bool = False, timeout_seconds: float | None = None
    ) -> Object: ...

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
        """Field manager is ``recist``. ``apply`` is server-side apply; ``force`` belongs to it alone.
        A ``metadata.resourceVersion`` or ``uid`` in the patch is a precondition (`Conflict`)."""

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
        """``uid``: only that very object (`Conflict` otherwise)."""

    def evict(
        self, namespace: str, pod: str, *, uid: str = "", dry_run: bool = False, timeout_seconds: float | None = None
    ) -> None:
        """Eviction API: `DisruptionBudgetExceeded` where a budget forbids it."""

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
    ) -> str: ...

    def can_i(
        self, verb: str, kind: str, namespace: str = "", *, subresource: str = "", timeout_seconds: float | None = None
    ) -> bool:
        """SelfSubjectAccessReview."""

    def version(self, *, timeout_seconds: float | None = None) -> str:
        """``gitVersion`` of the API server."""
