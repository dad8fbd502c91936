"""What is left behind: dependents of deleted owners, protected claims, old events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from healing.sandbox.api.deletes import FOREGROUND, ORPHAN
from healing.sandbox.api.meta import owner_uids, parse_timestamp
from healing.sandbox.api.store import Change
from healing.sandbox.ports import ApiError, Object, User

if TYPE_CHECKING:
    from healing.sandbox.api.cluster import ApiServer

_COLLECTOR = User(
    "system:serviceaccount:kube-system:generic-garbage-collector",
    ("system:masters",),
    field_manager="kube-controller-manager",
)
_PVC_PROTECTION = "kubernetes.io/pvc-protection"
_PV_PROTECTION = "kubernetes.io/pv-protection"
_EVENT_TTL_SECONDS = 3600.0
_SWEEP_SECONDS = 60.0

_Ref = tuple[str, str, str]  # storage, namespace, name


class GarbageCollector:
    """Follows ownerReferences. It acts in the change that made an object garbage, so it needs no loop of its own."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._dependents: dict[str, set[_Ref]] = {}
        self._owners: set[str] = set()
        #: owners in foreground deletion, by uid
        self._waiting: dict[str, _Ref] = {}
        server.store.observers.append(self._observe)

    def _observe(self, storage: str, change: Change) -> None:
        new = change.new
        metadata = new["metadata"]
        reference = storage, metadata.get("namespace") or "", metadata["name"]
        before = set(owner_uids(change.old)) if change.old else set()
        after = set(owner_uids(new)) if change.type != "DELETED" else set()
        for uid in before - after:
            self._dependents.get(uid, set()).discard(reference)
        for uid in after - before:
            self._dependents.setdefault(uid, set()).add(reference)
        if change.type == "DELETED":
            self._owners.discard(metadata["uid"])
            self._owner_gone(metadata["uid"])
        else:
            self._owners.add(metadata["uid"])
            if after - before and not after & self._owners:
                self._delete(reference)
                return
            self._finish_deletion(storage, new)
        for uid in before | set(owner_uids(new)):
            self._dependent_gone(uid)

    def _get(self, reference: _Ref) -> Object | None:
        return self._server.store.table(reference[0]).get(reference[1], reference[2])

    def _delete(self, reference: _Ref, propagation: str = "Background") -> None:
        if self._get(reference) is None:
            return
        try:
            self._server.delete(reference[0], reference[1], reference[2], user=_COLLECTOR, propagation=propagation)
        except ApiError as error:
            if error.reason != "NotFound":
                raise

    def _owner_gone(self, uid: str) -> None:
        for reference in sorted(self._dependents.pop(uid, ())):
            dependent = self._get(reference)
            if dependent is None:
                continue
            if any(other in self._owners for other in owner_uids(dependent)):
                self._drop_owner(reference, uid)
            else:
                self._delete(reference)

    def _drop_owner(self, reference: _Ref, uid: str) -> None:
        def change(obj: Object) -> None:
            kept = [item for item in obj["metadata"].get("ownerReferences") or () if item.get("uid") != uid]
            if kept:
                obj["metadata"]["ownerReferences"] = kept
            else:
                obj["metadata"].pop("ownerReferences", None)

        self._server.mutate(reference[0], reference[1], reference[2], change, user=_COLLECTOR)

    def _finish_deletion(self, storage: str, obj: Object) -> None:
        """An owner that waits: for its dependents to go (foreground), or to be set free (orphan)."""
        metadata = obj["metadata"]
        finalizers = metadata.get("finalizers") or ()
        if not metadata.get("deletionTimestamp") or not finalizers:
            return
        dependents = sorted(self._dependents.get(metadata["uid"], ()))
        if ORPHAN in finalizers:
            for reference in dependents:
                self._drop_owner(reference, metadata["uid"])
            self._release(storage, obj, ORPHAN)
        elif FOREGROUND in finalizers:
            for reference in dependents:
                dependent = self._get(reference)
                if dependent is not None and not dependent["metadata"].get("deletionTimestamp"):
                    has_own = bool(self._dependents.get(dependent["metadata"]["uid"]))
                    self._delete(reference, "Foreground" if has_own else "Background")
            self._dependent_gone(metadata["uid"], storage, obj)

    def _dependent_gone(self, uid: str, storage: str = "", obj: Object | None = None) -> None:
        """Let an owner in foreground deletion go when its last blocking dependent has gone."""
        if obj is None:
            found = self._waiting.get(uid)
            if found is None:
                return
            storage = found[0]
            obj = self._get(found)
            if obj is None or obj["metadata"]["uid"] != uid:
                self._waiting.pop(uid, None)
                return
        for reference in self._dependents.get(uid, ()):
            dependent = self._get(reference)
            if dependent is not None and _blocks(dependent, uid):
                metadata = obj["metadata"]
                self._waiting[uid] = storage, metadata.get("namespace") or "", metadata["name"]
                return
        self._waiting.pop(uid, None)
        self._release(storage, obj, FOREGROUND)

    def _release(self, storage: str, obj: Object, finalizer: str) -> None:
        metadata = obj["metadata"]
        if self._get((storage, metadata.get("namespace") or "", metadata["name"])) is None:
            return

        def change(changed: Object) -> None:
            kept = [item for item in changed["metadata"].get("finalizers") or () if item != finalizer]
            if kept:
                changed["metadata"]["finalizers"] = kept
            else:
                changed["metadata"].pop("finalizers", None)

        self._server.mutate(storage, metadata.get("namespace"), metadata["name"], change, user=_COLLECTOR)


def _blocks(dependent: Object, uid: str) -> bool:
    return any(
        item.get("uid") == uid and item.get("blockOwnerDeletion")
        for item in dependent["metadata"].get("ownerReferences") or ()
    )


class StorageProtection:
    """A claim is held while a pod uses it; a volume while it is bound."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        server.store.observers.append(self._observe)

    def _observe(self, storage: str, change: Change) -> None:
        metadata = change.new["metadata"]
        if (storage == "persistentvolumeclaims" and change.type != "DELETED") or (
            storage == "persistentvolumes" and change.type != "DELETED"
        ):
            self._check(storage, change.new)
        elif storage == "pods" and change.type == "DELETED":
            for volume in (change.new.get("spec") or {}).get("volumes") or ():
                name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
                claim = self._server.get("persistentvolumeclaims", metadata["namespace"], name) if name else None
                if claim is not None:
                    self._check("persistentvolumeclaims", claim)

    def _check(self, storage: str, obj: Object) -> None:
        metadata = obj["metadata"]
        finalizer = _PVC_PROTECTION if storage == "persistentvolumeclaims" else _PV_PROTECTION
        if not metadata.get("deletionTimestamp") or finalizer not in (metadata.get("finalizers") or ()):
            return
        if storage == "persistentvolumeclaims" and self._used(metadata["namespace"], metadata["name"]):
            return
        if storage == "persistentvolumes" and (obj.get("status") or {}).get("phase") == "Bound":
            return
        self._server.mutate(
            storage,
            metadata.get("namespace"),
            metadata["name"],
            lambda changed: changed["metadata"].__setitem__(
                "finalizers", [item for item in changed["metadata"]["finalizers"] if item != finalizer]
            ),
            user=_COLLECTOR,
        )

    def _used(self, namespace: str, name: str) -> bool:
        return any(
            (volume.get("persistentVolumeClaim") or {}).get("claimName") == name
            for pod in self._server.list("pods", namespace)
            for volume in (pod.get("spec") or {}).get("volumes") or ()
        )


async def sweep_events(server: ApiServer) -> None:
    """Forget events an hour after they last happened; returns when cancelled."""
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        oldest = server.clock() - _EVENT_TTL_SECONDS
        for event in list(server.store.table("events").objects()):
            text = (
                (event.get("series") or {}).get("lastObservedTime")
                or event.get("lastTimestamp")
                or event["metadata"]["creationTimestamp"]
            )
            metadata = event["metadata"]
            if parse_timestamp(text) < oldest and server.get("events", metadata["namespace"], metadata["name"]):
                server.delete("events", metadata["namespace"], metadata["name"], user=_COLLECTOR)
