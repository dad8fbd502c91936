"""The path of every change: prepare, admit, check, record who owns which field, commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from healing.sandbox.api import errors
from healing.sandbox.api.kinds import rules_for
from healing.sandbox.api.managed import record_update
from healing.sandbox.api.meta import clone, generated_name, new_uid, timestamp
from healing.sandbox.api.registry import ResourceType
from healing.sandbox.api.validation import check_metadata, check_metadata_update
from healing.sandbox.api.webhooks import check_webhooks
from healing.sandbox.ports import Object, User

if TYPE_CHECKING:
    from healing.sandbox.api.cluster import ApiServer

#: set by the server, never by a client
_SERVER_METADATA = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
)

_GENERATE_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class Options:
    """How a change is made. ``manager`` goes into managedFields."""

    user: User
    dry_run: bool = False
    manager: str = ""
    #: the API version the request came in; it may differ from the one stored
    api_version: str = ""
    #: an apply has already written managedFields
    keep_managed: bool = False

    @property
    def field_manager(self) -> str:
        return self.manager or self.user.field_manager or self.user.name.rpartition(":")[2]


class Writes:
    """Create and update, the same for people, controllers and the server's own loops."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._store = server.store

    # -- create ---------------------------------------------------------------------------------------------------

    def create(self, resource: ResourceType, namespace: str, body: Object, options: Options) -> Object:
        """Returns the stored object (for a dry run: what would have been stored). ``body`` is taken over."""
        obj = self._new_object(resource, namespace, body)
        metadata = obj["metadata"]
        rules, custom = rules_for(resource), self._server.custom_rules(resource)
        if rules.default:
            rules.default(obj)
        if custom:
            custom.prepare_create(obj)
        self._server.pruner.prune(resource, obj)
        if not options.keep_managed:
            # Before admission: what the cluster adds is nobody's.
            metadata.pop("managedFields", None)
            record_update(resource, None, obj, options.field_manager, options.api_version, "", self._server.clock())
        self._server.admission.mutate_create(resource, namespace, obj, options.user)
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = self._free_name(resource, namespace, metadata["generateName"])
        if rules.prepare_create:
            rules.prepare_create(obj)
        self._server.pruner.relabel(resource, obj)
        self._server.prepare_create(resource, obj)
        causes = check_metadata(resource, obj, rules.name_format)
        if rules.check:
            causes += rules.check(obj)
        if custom:
            causes += custom.check(obj, None)
        if causes:
            raise errors.invalid(resource.kind, resource.group, metadata.get("name", ""), causes)
        key = namespace if resource.namespaced else "", metadata["name"]
        if self._store.table(resource.storage).get(*key) is not None:
            raise errors.already_exists(resource.plural, resource.group, metadata["name"])
        self._server.admission.check_create(resource, namespace, obj, options)
        if options.dry_run:
            return obj
        return self._store.commit(resource.storage, "ADDED", key, obj, None)

    def _new_object(self, resource: ResourceType, namespace: str, body: Object) -> Object:
        """``body`` with the metadata only the server sets."""
        metadata = body.setdefault("metadata", {})
        if metadata.get("resourceVersion") not in (None, "", "0"):
            raise errors.failure(500, "", "resourceVersion should not be set on objects to be created")
        for field in (*_SERVER_METADATA, "resourceVersion"):
            metadata.pop(field, None)
        if resource.namespaced:
            metadata["namespace"] = namespace
        else:
            metadata.pop("namespace", None)
        body["kind"], body["apiVersion"] = resource.kind, resource.api_version
        metadata["uid"] = new_uid()
        if resource.has_generation:
            metadata["generation"] = 1
        metadata["creationTimestamp"] = timestamp(self._server.clock())
        return body

    def _free_name(self, resource: ResourceType, namespace: str, prefix: str) -> str:
        table = self._store.table(resource.storage)
        for _ in range(_GENERATE_ATTEMPTS):
            name = generated_name(prefix)
            if table.get(namespace if resource.namespaced else "", name) is None:
                return name
        return name

    # -- update ---------------------------------------------------------------------------------------------------

    def update(
        self,
        resource: ResourceType,
        namespace: str,
        name: str,
        change: Callable[[Object], Object],
        options: Options,
        subresource: str = "",
    ) -> Object:
        """``change`` gets the stored object (not to be edited) and returns the one wanted, which is taken over.

        A ``metadata.resourceVersion`` in it that is not the stored one is a 409. Nothing is written if nothing changes.
        """
        key = namespace if resource.namespaced else "", name
        old = self._store.table(resource.storage).get(*key)
        if old is None:
            raise errors.not_found(resource.plural, resource.group, name)
        new = change(old)
        self._check_preconditions(resource, new, old, subresource)
        if subresource == "status":
            _keep_all_but_status(resource, new, old)
        else:
            _keep_system_fields(resource, new, old, subresource)
        rules, custom = rules_for(resource), self._server.custom_rules(resource)
        if subresource in ("", "resize", "scale"):
            if rules.default:
                rules.default(new)
            if rules.prepare_update:
                rules.prepare_update(new, old)
        if custom:
            custom.prepare_update(new, old, subresource)
        self._server.pruner.prune(resource, new)
        if _same_content(new, old) and _same_managers(new, old):
            return old
        if subresource != "status":
            self._set_generation(resource, new, old)
        self._server.prepare_update(resource, new, old)
        self._check_update(resource, new, old, subresource)
        if not subresource:
            check_webhooks(self._server, resource, new, "UPDATE")
        self._server.admission.check_update(resource, namespace, new, old, options)
        if not options.keep_managed:
            record_update(
                resource, old, new, options.field_manager, options.api_version, subresource, self._server.clock()
            )
        if options.dry_run:
            return new
        return self.commit_update(resource, key, new, old)

    @staticmethod
    def _check_preconditions(resource: ResourceType, new: Object, old: Object, subresource: str) -> None:
        """409 `ApiError` if ``new`` was made from another version, or from an object of the same name."""
        metadata = new.setdefault("metadata", {})
        name = old["metadata"]["name"]
        version = metadata.get("resourceVersion")
        if version not in (None, "", "0", old["metadata"]["resourceVersion"]):
            raise errors.conflict(resource.plural, resource.group, name)
        if metadata.get("uid") not in (None, "", old["metadata"]["uid"]):
            why = (
                f"Precondition failed: UID in precondition: {metadata['uid']}, "
                f"UID in object meta: {old['metadata']['uid']}"
            )
            raise errors.conflict(resource.plural, resource.group, name, why)
        if subresource == "binding" and old["spec"].get("nodeName"):
            why = f'pod {name} is already assigned to node "{old["spec"]["nodeName"]}"'
            raise errors.conflict("pods/binding", "", name, why)

    def _check_update(self, resource: ResourceType, new: Object, old: Object, subresource: str) -> None:
        rules, custom = rules_for(resource), self._server.custom_rules(resource)
        causes = check_metadata_update(new, old)
        if subresource in ("", "scale"):
            if rules.check and new.get("spec", new) != old.get("spec", old):
                causes += rules.check(new)
            if rules.check_update:
                causes += rules.check_update(new, old)
        if custom:
            causes += custom.check(new, old, subresource)
        if causes:
            raise errors.invalid(resource.kind, resource.group, old["metadata"]["name"], causes)

    def commit_update(self, resource: ResourceType, key: tuple[str, str], new: Object, old: Object) -> Object:
        """Store ``new``; an object that is being deleted goes with its last finalizer."""
        metadata = new["metadata"]
        if metadata.get("deletionTimestamp") and self._may_go(resource, new):
            # The answer still carries the version before, as the object is taken away without being written.
            self._store.commit(resource.storage, "DELETED", key, clone(new), old)
            return new
        return self._store.commit(resource.storage, "MODIFIED", key, new, old)

    @staticmethod
    def _may_go(resource: ResourceType, obj: Object) -> bool:
        if obj["metadata"].get("finalizers"):
            return False
        if resource.storage == "namespaces":
            return not obj.get("spec", {}).get("finalizers")
        if resource.storage == "pods":
            return bool(obj["metadata"].get("deletionGracePeriodSeconds") == 0)
        return True

    @staticmethod
    def _set_generation(resource: ResourceType, new: Object, old: Object) -> None:
        if not resource.has_generation:
            return
        if resource.custom is not None:
            changed = _without_bookkeeping(new) != _without_bookkeeping(old)
        else:
            changed = new.get("spec", new.get("endpoints")) != old.get("spec", old.get("endpoints"))
        if resource.storage == "deployments.apps" and not changed:
            changed = (new["metadata"].get("annotations") or {}) != (old["metadata"].get("annotations") or {})
        if changed:
            new["metadata"]["generation"] = int(old["metadata"].get("generation") or 0) + 1


def _keep_all_but_status(resource: ResourceType, new: Object, old: Object) -> None:
    """Of a write to ``status`` only the status counts, and of built-in kinds' metadata the annotations."""
    status = new.get("status")
    metadata = dict(old["metadata"])
    managed = new["metadata"].get("managedFields")
    if managed:
        metadata["managedFields"] = managed
    if resource.custom is None:
        annotations = new["metadata"].get("annotations")
        if annotations:
            metadata["annotations"] = annotations
        else:
            metadata.pop("annotations", None)
    new.clear()
    new.update({key: value for key, value in old.items() if key not in ("metadata", "status")})
    new["metadata"] = metadata
    if status is not None:
        new["status"] = status


def _keep_system_fields(resource: ResourceType, new: Object, old: Object, subresource: str) -> None:
    """Put back what this way of writing cannot change."""
    metadata, kept = new["metadata"], old["metadata"]
    new["kind"], new["apiVersion"] = resource.kind, old["apiVersion"]
    for field in ("name", "namespace", "resourceVersion", *_SERVER_METADATA):
        if field in kept:
            metadata[field] = kept[field]
        else:
            metadata.pop(field, None)
    if not metadata.get("managedFields") and "managedFields" in kept:
        metadata["managedFields"] = kept["managedFields"]
    if not resource.has_status or subresource == "resize":
        return
    if "status" in old:
        new["status"] = old["status"]
    else:
        new.pop("status", None)


def _without_bookkeeping(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}


def _bare_metadata(obj: Object) -> Object:
    # An empty map or list in the metadata says the same as its absence.
    return {
        key: value for key, value in obj["metadata"].items() if key != "managedFields" and value not in ({}, [], None)
    }


def _same_content(new: Object, old: Object) -> bool:
    if _bare_metadata(new) != _bare_metadata(old):
        return False
    return {k: v for k, v in new.items() if k != "metadata"} == {k: v for k, v in old.items() if k != "metadata"}


def _same_managers(new: Object, old: Object) -> bool:
    def bare(obj: Object) -> list[Object]:
        return [
            {key: value for key, value in entry.items() if key != "time"}
            for entry in obj["metadata"].get("managedFields") or []
        ]

    return bare(new) == bare(old)
