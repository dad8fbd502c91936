"""Custom resources: their CRDs' life, their types in the registry, and the rules their CRDs set."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import TYPE_CHECKING, Any

from healing.sandbox.api import errors
from healing.sandbox.api.cel import check_rules
from healing.sandbox.api.crd_schema import NOT_CHECKED, check, set_defaults
from healing.sandbox.api.errors import Cause
from healing.sandbox.api.meta import clone, timestamp
from healing.sandbox.api.registry import Registry, ResourceType, Subresource
from healing.sandbox.ports import ApiError, EventType, Object, User

if TYPE_CHECKING:
    from healing.sandbox.api.cluster import ApiServer

TABLE = "customresourcedefinitions.apiextensions.k8s.io"
_CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_USER = User("system:apiserver", ("system:masters",), field_manager="kube-apiserver")
_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_RW = ("get", "patch", "update")
#: how long a new CRD has no conditions yet
_ACCEPT_SECONDS = 0.01
#: how long a new CRD's resource answers 429 before it is served
SERVE_SECONDS = 0.05


class CustomRules:
    """The rules one version of a CRD sets for its objects."""

    def __init__(self, version: Object) -> None:
        self._schema: Object = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        self._has_status = "status" in (version.get("subresources") or {})

    def prepare_create(self, obj: Object) -> None:
        if self._has_status:
            obj.pop("status", None)
        set_defaults(obj, self._schema)

    def prepare_update(self, new: Object, old: Object, subresource: str) -> None:
        set_defaults(new, self._schema)

    def check(self, new: Object, old: Object | None, subresource: str = "") -> list[Cause]:
        """Causes of the schema, then of its CEL rules; rules are not tried on what the schema refuses."""
        causes = check(new, self._schema)
        if causes:
            return [*causes, NOT_CHECKED]
        return check_rules(new, old, self._schema)


class CustomResources:
    """Keeps the registry in step with the CRD objects."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._rules: dict[int, tuple[Object, CustomRules]] = {}
        self._initializing: set[str] = set()
        self.serve_seconds = SERVE_SECONDS
        server.subscribe(TABLE, self._on_change)

    def rules(self, resource: ResourceType) -> CustomRules:
        version = resource.custom or {}
        found = self._rules.get(id(version))
        if found is None or found[0] is not version:
            found = self._rules[id(version)] = (version, CustomRules(version))
        return found[1]

    def check_ready(self, resource: ResourceType) -> None:
        """429 `ApiError` while the resource's CRD is not yet established."""
        if resource.custom is not None and resource.storage in self._initializing:
            raise errors.failure(
                429, "TooManyRequests", "storage is (re)initializing", details={"retryAfterSeconds": 1}
            )

    def _on_change(self, type_: EventType, new: Object, old: Object | None) -> None:
        spec = new["spec"]
        storage = f"{spec['names']['plural']}.{spec['group']}"
        if type_ == "DELETED":
            self._server.registry.remove(spec["group"], spec["names"]["plural"])
            self._initializing.discard(storage)
            self._server.store.drop_table(storage)
        elif new["metadata"].get("deletionTimestamp"):
            self._clean_up(new, storage)
        elif type_ == "ADDED":
            self._initializing.add(storage)
            register(self._server.registry, new)
            self._later(_ACCEPT_SECONDS, lambda: self._establish(new["metadata"]["name"]))
            self._later(self.serve_seconds, lambda: self._initializing.discard(storage))
        elif old is not None and spec != old["spec"]:
            self._server.registry.remove(spec["group"], spec["names"]["plural"])
            register(self._server.registry, new)

    @staticmethod
    def _later(seconds: float, call: Any) -> None:
        try:
            asyncio.get_running_loop().call_later(seconds, call)
        except RuntimeError:
            # Without a loop (as when a server is filled before it runs) there is nobody to wait for.
            call()

    def _establish(self, name: str) -> None:
        found = self._server.get(TABLE, None, name)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return
        now = timestamp(self._server.clock())

        def accept(changed: Object) -> None:
            names = changed["spec"]["names"]
            changed["status"] = {
                "conditions": [
                    _condition("NamesAccepted", "NoConflicts", "no conflicts found", now),
                    _condition("Established", "InitialNamesAccepted", "the initial names have been accepted", now),
                ],
                "acceptedNames": clone(names),
                "storedVersions": changed["status"].get("storedVersions") or [],
            }

        self._server.mutate(TABLE, None, name, accept, user=_USER, subresource="status")

    def _clean_up(self, definition: Object, storage: str) -> None:
        """A deleted CRD takes its objects along, then goes itself."""
        for obj in list(self._server.store.table(storage).objects()):
            metadata = obj["metadata"]
            if metadata.get("finalizers"):
                self._server.mutate(
                    storage,
                    metadata.get("namespace"),
                    metadata["name"],
                    lambda changed: changed["metadata"].pop("finalizers", None),
                    user=_USER,
                )
            try:
                self._server.delete(storage, metadata.get("namespace"), metadata["name"], user=_USER)
            except ApiError as error:
                if error.reason != "NotFound":
                    raise
        name = definition["metadata"]["name"]
        if self._server.get(TABLE, None, name) is None:
            return

        def release(changed: Object) -> None:
            kept = [item for item in changed["metadata"].get("finalizers") or () if item != _CLEANUP]
            changed["metadata"]["finalizers"] = kept

        if _CLEANUP in (definition["metadata"].get("finalizers") or ()):
            self._server.mutate(TABLE, None, name, release, user=_USER)


def _condition(kind: str, reason: str, message: str, now: str) -> Object:
    return {"type": kind, "status": "True", "lastTransitionTime": now, "reason": reason, "message": message}


def register(registry: Registry, definition: Object) -> None:
    """Add the served versions of a CRD, the stored one first."""
    spec = definition["spec"]
    names = spec["names"]
    versions = sorted(spec["versions"], key=lambda version: not version.get("storage"))
    storage = f"{names['plural']}.{spec['group']}"
    digest = hashlib.sha256(f"{spec['group']}/{versions[0]['name']}/{names['kind']}".encode()).digest()
    for version in versions:
        if not version.get("served"):
            continue
        subresources = []
        given = version.get("subresources") or {}
        if "scale" in given:
            subresources.append(Subresource("scale", _RW, "Scale", "autoscaling", "v1"))
        if "status" in given:
            subresources.append(Subresource("status", _RW, names["kind"]))
        registry.add(
            ResourceType(
                group=spec["group"],
                version=version["name"],
                plural=names["plural"],
                kind=names["kind"],
                singular=names.get("singular") or names["kind"].lower(),
                namespaced=spec["scope"] == "Namespaced",
                short_names=tuple(names.get("shortNames") or ()),
                categories=tuple(names.get("categories") or ()),
                subresources=tuple(subresources),
                verbs=_VERBS,
                storage=storage,
                list_kind=names.get("listKind") or f"{names['kind']}List",
                has_generation=True,
                storage_version_hash=base64.b64encode(digest[:8]).decode(),
                custom=version,
            )
        )
