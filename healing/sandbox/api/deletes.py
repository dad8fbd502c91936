"""DELETE: grace periods, finalizers, propagation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from healing.sandbox.api import errors
from healing.sandbox.api.meta import clone, timestamp
from healing.sandbox.api.registry import ResourceType
from healing.sandbox.ports import Object, User

if TYPE_CHECKING:
    from healing.sandbox.api.cluster import ApiServer

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_CRDS = "customresourcedefinitions.apiextensions.k8s.io"
_CRD_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
#: where DELETE without a policy leaves the dependents alone
_ORPHANS_BY_DEFAULT = frozenset({"jobs.batch", "replicationcontrollers"})


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """``grace_seconds`` and ``propagation`` as in the API's DeleteOptions; empty means the kind's default."""

    user: User
    dry_run: bool = False
    grace_seconds: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class Deletion:
    """The object at the end, and whether it is still there (held by grace or finalizers)."""

    obj: Object
    remains: bool


class Deletes:
    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._store = server.store

    def delete(self, resource: ResourceType, namespace: str, name: str, options: DeleteOptions) -> Deletion:
        key = namespace if resource.namespaced else "", name
        old = self._store.table(resource.storage).get(*key)
        if old is None:
            raise errors.not_found(resource.plural, resource.group, name)
        self._check_preconditions(resource, old, options)
        self._server.admission.check_delete(resource, name)
        if resource.storage == "pods":
            return self._delete_pod(resource, key, old, options)
        if resource.storage == "namespaces":
            return self._mark_namespace(resource, key, old, options)
        finalizers = self._finalizers(resource, old, options.propagation)
        if not finalizers:
            if not options.dry_run:
                self._store.commit(resource.storage, "DELETED", key, clone(old), old)
            return Deletion(old, remains=False)
        new = clone(old)
        metadata = new["metadata"]
        metadata["finalizers"] = finalizers
        if not metadata.get("deletionTimestamp"):
            metadata["deletionTimestamp"] = timestamp(self._server.clock())
            if resource.storage == _CRDS:
                self._mark_definition(new)
            else:
                metadata["deletionGracePeriodSeconds"] = 0
                if resource.has_generation:
                    metadata["generation"] = int(metadata.get("generation") or 0) + 1
        if new == old or options.dry_run:
            return Deletion(new, remains=True)
        return Deletion(self._store.commit(resource.storage, "MODIFIED", key, new, old), remains=True)

    def _mark_definition(self, definition: Object) -> None:
        conditions = [
            item for item in definition["status"].get("conditions") or () if item.get("type") != "Terminating"
        ]
        conditions.append(
            {
                "type": "Terminating",
                "status": "True",
                "lastTransitionTime": timestamp(self._server.clock()),
                "reason": "InstanceDeletionPending",
                "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
            }
        )
        definition["status"]["conditions"] = conditions

    def _check_preconditions(self, resource: ResourceType, old: Object, options: DeleteOptions) -> None:
        metadata = old["metadata"]
        for field, wanted, found in (
            ("UID", options.uid, metadata["uid"]),
            ("ResourceVersion", options.resource_version, metadata["resourceVersion"]),
        ):
            if wanted and wanted != found:
                raise errors.conflict(
                    resource.kind,
                    resource.group,
                    metadata["name"],
                    f"the {field} in the precondition ({wanted}) does not match the {field} in record ({found}). "
                    "The object might have been deleted and then recreated",
                )

    def _finalizers(self, resource: ResourceType, old: Object, propagation: str) -> list[str]:
        finalizers = [item for item in old["metadata"].get("finalizers") or [] if item not in (FOREGROUND, ORPHAN)]
        if not propagation:
            held = [item for item in old["metadata"].get("finalizers") or [] if item in (FOREGROUND, ORPHAN)]
            if held:
                return finalizers + held
            propagation = "Orphan" if resource.storage in _ORPHANS_BY_DEFAULT else "Background"
        if propagation == "Foreground":
            finalizers.append(FOREGROUND)
        elif propagation == "Orphan":
            finalizers.append(ORPHAN)
        if resource.storage == _CRDS and _CRD_FINALIZER not in finalizers:
            finalizers.append(_CRD_FINALIZER)
        return finalizers

    # -- pods -----------------------------------------------------------------------------------------------------

    def _delete_pod(
        self, resource: ResourceType, key: tuple[str, str], old: Object, options: DeleteOptions
    ) -> Deletion:
        spec = old.get("spec", {})
        grace = options.grace_seconds
        if grace is None:
            grace = spec.get("terminationGracePeriodSeconds", 30)
        if grace < 0:
            grace = 1
        if not spec.get("nodeName") or old.get("status", {}).get("phase") in ("Failed", "Succeeded"):
            grace = 0
        metadata = old["metadata"]
        already = metadata.get("deletionTimestamp")
        current = metadata.get("deletionGracePeriodSeconds", 0)
        if already and grace >= current and grace > 0:
            return Deletion(old, remains=True)
        new = clone(old)
        held = self._finalizers(resource, old, options.propagation)
        if held or metadata.get("finalizers"):
            new["metadata"]["finalizers"] = held
        if not already or current != grace:
            seconds = self._server.clock() + grace
            new["metadata"]["deletionTimestamp"] = timestamp(seconds)
            new["metadata"]["deletionGracePeriodSeconds"] = grace
            if not already:
                new["metadata"]["generation"] = int(metadata.get("generation") or 0) + 1
        if options.dry_run:
            return Deletion(new, remains=True)
        marked: Object = new if new == old else self._store.commit(resource.storage, "MODIFIED", key, new, old)
        # The commit's listeners may have finished the pod already.
        if grace > 0 or held or self._store.table("pods").get(*key) is not marked:
            return Deletion(marked, remains=True)
        self._store.commit(resource.storage, "DELETED", key, clone(marked), marked)
        return Deletion(marked, remains=True)

    def _mark_namespace(
        self, resource: ResourceType, key: tuple[str, str], old: Object, options: DeleteOptions
    ) -> Deletion:
        if old["metadata"].get("deletionTimestamp"):
            return Deletion(old, remains=True)
        new = clone(old)
        new["metadata"]["deletionTimestamp"] = timestamp(self._server.clock())
        new.setdefault("status", {})["phase"] = "Terminating"
        if options.dry_run:
            return Deletion(new, remains=True)
        return Deletion(self._store.commit(resource.storage, "MODIFIED", key, new, old), remains=True)
