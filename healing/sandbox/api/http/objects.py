"""The verbs on objects: get, create, update, patch, delete."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.datastructures import QueryParams
from starlette.responses import Response

from healing.sandbox.api import errors
from healing.sandbox.api.cluster import ApiServer
from healing.sandbox.api.conversion import present, store_form
from healing.sandbox.api.decode import DecodeError, parse_json, parse_yaml
from healing.sandbox.api.deletes import DeleteOptions
from healing.sandbox.api.http.bodies import (
    BodyReader,
    check_kind,
    delete_options,
    field_validation,
    media_type,
    read_body,
    unsupported_media,
)
from healing.sandbox.api.http.listing import selection_of
from healing.sandbox.api.http.request import Accept, Target, dry_run, flag, integer, options_error
from healing.sandbox.api.http.respond import JsonResponse, encode, object_response, success, warning_headers
from healing.sandbox.api.meta import clone
from healing.sandbox.api.patches.apply import apply_configuration
from healing.sandbox.api.patches.jsonpatch import apply_json_patch
from healing.sandbox.api.patches.merge import apply_merge_patch
from healing.sandbox.api.patches.strategic import apply_strategic_patch
from healing.sandbox.api.registry import ResourceType
from healing.sandbox.api.schema import model_type
from healing.sandbox.api.writes import Options
from healing.sandbox.ports import ApiError, Object, User

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
_CUSTOM_PATCHES = f"{JSON_PATCH}, {MERGE_PATCH}, {APPLY_PATCH}"


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a resource, read and authorized."""

    user: User
    resource: ResourceType
    target: Target
    query: QueryParams
    accept: Accept
    #: the client's name, which is its field manager if it gives none
    agent: str
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)

    @property
    def manager(self) -> str:
        return (self.query.get("fieldManager") or self.agent)[:128]


class Objects:
    def __init__(self, server: ApiServer) -> None:
        self._server = server

    def _options(self, call: Call, kind: str, *, keep_managed: bool = False) -> Options:
        return Options(
            call.user,
            dry_run=dry_run(call.query.getlist("dryRun"), kind),
            manager=call.manager,
            api_version=call.resource.api_version,
            keep_managed=keep_managed,
        )

    def _reader(self, call: Call, options_kind: str) -> BodyReader:
        validation = field_validation(call.query.get("fieldValidation"), options_kind)
        return BodyReader(call.resource, validation, self._server.kubernetes)

    def _stored_type(self, resource: ResourceType) -> ResourceType:
        """The type objects are stored as, whatever version is asked for."""
        return self._server.registry.by_storage(resource.storage) or resource

    def _answer(self, call: Call, obj: Object, code: int = 200, warnings: list[str] | None = None) -> Response:
        return object_response(
            call.resource,
            obj,
            call.accept,
            self._server.clock(),
            include=call.query.get("includeObject") or "Metadata",
            code=code,
            headers=warning_headers(warnings or []),
        )

    def find(self, call: Call) -> Object:
        found = self._server.get(call.resource.storage, call.target.namespace or None, call.target.name)
        if found is None:
            raise errors.not_found(call.resource.plural, call.resource.group, call.target.name)
        return found

    def get(self, call: Call) -> Response:
        return self._answer(call, self.find(call))

    # -- create ---------------------------------------------------------------------------------------------------

    def create(self, call: Call) -> Response:
        options = self._options(call, "CreateOptions")
        reader = self._reader(call, "CreateOptions")
        data = read_body(call.resource, call.body, call.content_type)
        obj = reader.of_create(data)
        namespace = self._namespace(call, obj)
        created = self._server.writes.create(self._stored_type(call.resource), namespace, obj, options)
        return self._answer(call, created, 201, reader.warnings)

    @staticmethod
    def _namespace(call: Call, obj: Object) -> str:
        if not call.resource.namespaced:
            return ""
        given = (obj.get("metadata") or {}).get("namespace")
        if given and call.target.namespace and given != call.target.namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        return call.target.namespace

    # -- update ---------------------------------------------------------------------------------------------------

    def replace(self, call: Call, subresource: str = "") -> Response:
        options = self._options(call, "UpdateOptions")
        reader = self._reader(call, "UpdateOptions")
        obj = reader.of_create(read_body(call.resource, call.body, call.content_type))
        self._namespace(call, obj)
        metadata = obj.setdefault("metadata", {})
        name = metadata.get("name")
        if name != call.target.name:
            if name:
                raise errors.bad_request(
                    f"the name of the object ({name}) does not match the name on the URL ({call.target.name})"
                )
            raise errors.bad_request("name must be provided")
        self.find(call)
        if call.resource.custom is not None and not metadata.get("resourceVersion"):
            cause = errors.invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
            raise errors.invalid(call.resource.plural, call.resource.group, call.target.name, [cause])
        updated = self._server.writes.update(
            self._stored_type(call.resource),
            call.target.namespace,
            call.target.name,
            lambda _old: obj,
            options,
            subresource,
        )
        return self._answer(call, updated, 200, reader.warnings)

    # -- patch ----------------------------------------------------------------------------------------------------

    def patch(self, call: Call, subresource: str = "") -> Response:
        media = media_type(call.content_type)
        if media == APPLY_PATCH:
            return self._apply(call, subresource)
        if flag(call.query, "force") or "force" in call.query:
            why = "may not be specified for non-apply patch"
            raise options_error("PatchOptions", [errors.forbidden_field("force", why)])
        if media not in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH):
            raise errors.failure(415, "UnsupportedMediaType", "415: Unsupported Media Type", details={})
        if media == STRATEGIC_PATCH and call.resource.custom is not None:
            raise unsupported_media(_CUSTOM_PATCHES)
        options = self._options(call, "PatchOptions")
        reader = self._reader(call, "PatchOptions")
        self.find(call)
        try:
            patch = parse_json(call.body)
        except DecodeError as error:
            raise errors.bad_request(f"error decoding patch: {error}") from error
        if media != JSON_PATCH and not isinstance(patch, dict):
            raise errors.bad_request(
                "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
            )

        def change(old: Object) -> Object:
            current = present(call.resource, old)
            if media == JSON_PATCH:
                patched = apply_json_patch(current, patch)
            elif media == MERGE_PATCH:
                patched = apply_merge_patch(current, patch)
            else:
                patched = apply_strategic_patch(current, patch, model_type(call.resource.model))
            return self._checked(call, old, reader.of_patch(clone(patched)))

        updated = self._server.writes.update(
            self._stored_type(call.resource), call.target.namespace, call.target.name, change, options, subresource
        )
        return self._answer(call, updated, 200, reader.warnings)

    @staticmethod
    def _checked(call: Call, old: Object, new: Object) -> Object:
        name = new.setdefault("metadata", {}).get("name")
        if name != old["metadata"]["name"]:
            raise errors.bad_request(
                f"the name of the object ({name}) does not match the name on the URL ({call.target.name})"
            )
        return new

    def _apply(self, call: Call, subresource: str) -> Response:
        if not call.query.get("fieldManager"):
            cause = errors.required("fieldManager", "is required for apply patch")
            raise options_error("PatchOptions", [cause])
        options = self._options(call, "PatchOptions", keep_managed=True)
        reader = self._reader(call, "PatchOptions")
        applied = self._applied(call, reader)
        force = call.query.get("force") == "true"
        stored = self._stored_type(call.resource)
        key = call.target.namespace if call.resource.namespaced else "", call.target.name
        exists = self._server.get(call.resource.storage, key[0], key[1]) is not None

        def merge(live: Object, *, created: bool) -> Object:
            return apply_configuration(
                stored,
                live,
                {**applied, "apiVersion": call.resource.api_version},
                manager=call.manager,
                force=force,
                subresource=subresource,
                now=self._server.clock(),
                created=created,
            )

        if exists:
            updated = self._server.writes.update(
                stored,
                call.target.namespace,
                call.target.name,
                lambda old: merge(old, created=False),
                options,
                subresource,
            )
            return self._answer(call, updated, 200, reader.warnings)
        if subresource:
            raise errors.not_found(call.resource.plural, call.resource.group, call.target.name)
        if (applied.get("metadata") or {}).get("uid"):
            raise errors.conflict(call.resource.plural, call.resource.group, call.target.name)
        empty: Object = {"kind": stored.kind, "apiVersion": stored.api_version, "metadata": {}}
        obj = merge(empty, created=True)
        obj["metadata"]["name"] = call.target.name
        created = self._server.writes.create(stored, call.target.namespace, obj, options)
        return self._answer(call, created, 201, reader.warnings)

    def _applied(self, call: Call, reader: BodyReader) -> Object:
        try:
            data = parse_yaml(call.body)
        except DecodeError as error:
            raise errors.bad_request(f"error decoding YAML: {error}") from error
        if not isinstance(data, dict):
            raise errors.bad_request("error decoding YAML: the configuration must be an object")
        if not data.get("kind") or not data.get("apiVersion"):
            raise errors.bad_request(
                "Object 'Kind' is missing" if not data.get("kind") else "Object 'apiVersion' is missing"
            )
        check_kind(call.resource, data)
        metadata = data.get("metadata") or {}
        if metadata.get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        name = metadata.get("name")
        if name and name != call.target.name:
            raise errors.bad_request(
                f"the name of the object ({name}) does not match the name on the URL ({call.target.name})"
            )
        self._namespace(call, data)
        obj = reader.of_create(data)
        return store_form(call.resource, obj) if call.resource.custom is None else obj

    # -- delete ---------------------------------------------------------------------------------------------------

    def delete(self, call: Call) -> Response:
        options = self._delete_options(call)
        deletion = self._server.delete_with(call.resource.storage, call.target.namespace, call.target.name, options)
        if deletion.remains:
            return self._answer(call, deletion.obj)
        return encode(success(call.resource, deletion.obj), Accept("json"))

    def delete_collection(self, call: Call) -> Response:
        options = self._delete_options(call)
        selection = selection_of(call.resource, call.target, call.query)
        table = self._server.store.table(call.resource.storage)
        gone = []
        for obj in list(table.objects(selection.namespace)):
            if not selection.matches(obj):
                continue
            metadata = obj["metadata"]
            try:
                deletion = self._server.delete_with(
                    call.resource.storage, metadata.get("namespace"), metadata["name"], options
                )
            except ApiError as error:
                # Deleting one may have taken others along.
                if error.reason != "NotFound":
                    raise
                continue
            gone.append(deletion.obj)
        shown = [present(call.resource, obj) for obj in gone]
        if call.resource.custom is None:
            shown = [{key: value for key, value in obj.items() if key not in ("kind", "apiVersion")} for obj in shown]
        return JsonResponse(
            {
                "kind": call.resource.list_kind,
                "apiVersion": call.resource.api_version,
                "metadata": {"resourceVersion": str(self._server.store.version)},
                "items": shown,
            }
        )

    @staticmethod
    def _delete_options(call: Call) -> DeleteOptions:
        data = delete_options(call.body)
        values = [*call.query.getlist("dryRun"), *(data.get("dryRun") or ())]
        propagation = call.query.get("propagationPolicy") or data.get("propagationPolicy") or ""
        if propagation not in ("", "Foreground", "Background", "Orphan"):
            supported = ("Foreground", "Background", "Orphan", "nil")
            raise options_error("DeleteOptions", [errors.not_supported("propagationPolicy", propagation, supported)])
        orphan = data.get("orphanDependents")
        if orphan is not None and not propagation:
            propagation = "Orphan" if orphan else "Background"
        grace = integer(call.query, "gracePeriodSeconds")
        if grace is None:
            grace = data.get("gracePeriodSeconds")
        preconditions = data.get("preconditions") or {}
        return DeleteOptions(
            call.user,
            dry_run=dry_run(values, "DeleteOptions"),
            grace_seconds=grace,
            propagation=propagation,
            uid=preconditions.get("uid") or "",
            resource_version=preconditions.get("resourceVersion") or "",
        )
