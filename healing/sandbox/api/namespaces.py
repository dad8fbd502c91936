"""The end of a namespace: its contents go, then it goes itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from healing.sandbox.api.meta import clone, timestamp
from healing.sandbox.api.store import Change
from healing.sandbox.ports import ApiError, Object, User

if TYPE_CHECKING:
    from healing.sandbox.api.cluster import ApiServer

_NAMESPACES = User(
    "system:serviceaccount:kube-system:namespace-controller",
    ("system:masters",),
    field_manager="kube-controller-manager",
)
#: the client first reads that the namespace is Terminating
_DELAY_SECONDS = 0.02


class NamespaceController:
    """Empties a namespace that is being deleted, then lets it go."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._terminating: set[str] = set()
        self._scheduled: set[str] = set()
        server.store.observers.append(self._observe)

    def _observe(self, storage: str, change: Change) -> None:
        metadata = change.new["metadata"]
        if storage == "namespaces":
            name = metadata["name"]
            if change.type == "DELETED":
                self._terminating.discard(name)
            elif metadata.get("deletionTimestamp") and name not in self._terminating:
                self._terminating.add(name)
                self._later(name)
        elif change.type == "DELETED" and metadata.get("namespace") in self._terminating:
            self._later(metadata["namespace"])

    def _later(self, name: str) -> None:
        if name in self._scheduled:
            return
        self._scheduled.add(name)
        try:
            asyncio.get_running_loop().call_later(_DELAY_SECONDS, self._empty, name)
        except RuntimeError:
            self._empty(name)

    def _contents(self, name: str) -> list[tuple[str, Object]]:
        return [
            (resource.storage, obj)
            for resource in self._server.registry.stored()
            if resource.namespaced
            for obj in list(self._server.store.table(resource.storage).objects(name))
        ]

    def _empty(self, name: str) -> None:
        self._scheduled.discard(name)
        namespace = self._server.get("namespaces", None, name)
        if namespace is None or not namespace["metadata"].get("deletionTimestamp"):
            return
        for storage, obj in self._contents(name):
            if obj["metadata"].get("deletionTimestamp"):
                continue
            try:
                self._server.delete(storage, name, obj["metadata"]["name"], user=_NAMESPACES)
            except ApiError as error:
                if error.reason != "NotFound":
                    raise
        remaining = self._contents(name)
        if remaining:
            self._report(name, remaining)
            return
        if self._server.get("namespaces", None, name) is None:
            return
        self._server.mutate(
            "namespaces",
            None,
            name,
            lambda changed: changed["spec"].__setitem__("finalizers", []),
            user=_NAMESPACES,
            subresource="finalize",
        )

    def _report(self, name: str, remaining: list[tuple[str, Object]]) -> None:
        now = timestamp(self._server.clock())
        counts: dict[str, int] = {}
        held: dict[str, int] = {}
        for storage, obj in remaining:
            counts[storage] = counts.get(storage, 0) + 1
            for finalizer in obj["metadata"].get("finalizers") or ():
                held[finalizer] = held.get(finalizer, 0) + 1
        texts = ", ".join(f"{storage} has {count} resource instances" for storage, count in sorted(counts.items()))
        finalizers = ", ".join(f"{item} in {count} resource instances" for item, count in sorted(held.items()))

        def entry(kind: str, status: str, reason: str, message: str) -> Object:
            return {
                "type": kind,
                "status": status,
                "lastTransitionTime": now,
                "reason": reason,
                "message": message,
            }

        conditions = [
            entry(
                "NamespaceDeletionDiscoveryFailure",
                "False",
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ),
            entry(
                "NamespaceDeletionGroupVersionParsingFailure",
                "False",
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ),
            entry(
                "NamespaceDeletionContentFailure",
                "False",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
            entry("NamespaceContentRemaining", "True", "SomeResourcesRemain", f"Some resources are remaining: {texts}"),
            entry(
                "NamespaceFinalizersRemaining",
                str(bool(held)),
                "SomeFinalizersRemain" if held else "ContentHasNoFinalizers",
                f"Some content in the namespace has finalizers remaining: {finalizers}"
                if held
                else "All content-preserving finalizers finished",
            ),
        ]

        def change(changed: Object) -> None:
            before = {item["type"]: item for item in changed["status"].get("conditions") or ()}
            for item in conditions:
                old = before.get(item["type"])
                if old and old["status"] == item["status"]:
                    item["lastTransitionTime"] = old["lastTransitionTime"]
            changed["status"]["conditions"] = clone(conditions)

        self._server.mutate("namespaces", None, name, change, user=_NAMESPACES, subresource="status")
