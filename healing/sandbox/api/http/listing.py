"""LIST: selectors, pages, versions."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.datastructures import QueryParams
from starlette.responses import Response

from healing.sandbox.api import errors
from healing.sandbox.api.cluster import ApiServer
from healing.sandbox.api.conversion import is_converted, present
from healing.sandbox.api.http.request import Accept, Target, integer, resource_version
from healing.sandbox.api.http.respond import JsonResponse, encode
from healing.sandbox.api.meta import labels_of
from healing.sandbox.api.registry import ResourceType
from healing.sandbox.api.selectors import FieldSelector, LabelSelector, parse_field_selector, parse_label_selector
from healing.sandbox.api.store import Table, item_json
from healing.sandbox.api.tables import partial_metadata, table
from healing.sandbox.ports import ApiError, Object

_EXPIRED_CONTINUE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
_TOO_OLD = "The resourceVersion for the provided list is too old."


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a table are meant."""

    namespace: str | None
    labels: LabelSelector | None
    fields: FieldSelector | None

    def matches(self, obj: Object) -> bool:
        if self.namespace is not None and (obj["metadata"].get("namespace") or "") != self.namespace:
            return False
        if self.labels is not None and not self.labels.matches(labels_of(obj)):
            return False
        return self.fields is None or self.fields.matches(obj)

    @property
    def everything(self) -> bool:
        return self.labels is None and self.fields is None


def selection_of(resource: ResourceType, target: Target, query: QueryParams) -> Selection:
    labels, fields = query.get("labelSelector"), query.get("fieldSelector")
    selectable = {
        item.get("jsonPath", "").lstrip(".") for item in (resource.custom or {}).get("selectableFields") or ()
    }
    return Selection(
        target.namespace or None,
        parse_label_selector(labels) if labels else None,
        parse_field_selector(fields, resource.storage, lambda path: path in selectable) if fields else None,
    )


@dataclass(frozen=True, slots=True)
class _Page:
    version: int
    objects: Sequence[Object]
    #: JSON of the same items, if it is cached
    encoded: Sequence[bytes] | None
    token: str = ""
    remaining: int | None = None


def list_objects(
    server: ApiServer, resource: ResourceType, target: Target, query: QueryParams, accept: Accept
) -> Response:
    selection = selection_of(resource, target, query)
    page = _page(server, resource, selection, query)
    metadata: dict[str, Any] = {"resourceVersion": str(page.version)}
    if page.token:
        metadata["continue"] = page.token
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
    now = server.clock()
    if accept.form == "table":
        data = table(resource, page.objects, metadata, now, query.get("includeObject") or "Metadata")
        data["apiVersion"] = f"meta.k8s.io/{accept.version}"
        return JsonResponse(data)
    if accept.form == "partial":
        items = [partial_metadata(obj) for obj in page.objects]
        kind = "PartialObjectMetadataList"
        return JsonResponse({"kind": kind, "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items})
    if resource.custom is not None:
        metadata.setdefault("continue", "")
    head = {"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": metadata}
    if page.encoded is not None and accept.form == "json":
        return JsonResponse({**head, "items": [orjson.Fragment(item) for item in page.encoded]})
    shown = [present(resource, obj) for obj in page.objects]
    if resource.custom is None:
        shown = [{key: value for key, value in obj.items() if key not in ("kind", "apiVersion")} for obj in shown]
    return encode({**head, "items": shown}, accept)


def _page(server: ApiServer, resource: ResourceType, selection: Selection, query: QueryParams) -> _Page:
    limit = integer(query, "limit") or 0
    token = query.get("continue") or ""
    version = resource_version(query)
    match = query.get("resourceVersionMatch") or ""
    store_table = server.store.table(resource.storage)
    current = server.store.version
    if token:
        return _continued(server, resource, store_table, selection, token, limit)
    if version is not None and version > current:
        raise _too_large(version, current)
    if match == "Exact" and version:
        return _exact(resource, store_table, selection, version, limit)
    rows = store_table.rows(selection.namespace)
    if not selection.everything:
        rows = [row for row in rows if selection.matches(row.obj)]
    next_token, remaining = "", None
    if 0 < limit < len(rows):
        next_token = _token(current, _start_key(resource, selection, rows[limit - 1].obj))
        remaining = len(rows) - limit if selection.everything else None
        rows = rows[:limit]
    encoded = None
    if not is_converted(resource) or resource.custom is not None:
        encoded = [item_json(row, strip_kind=resource.custom is None) for row in rows]
    return _Page(current, [row.obj for row in rows], encoded, next_token, remaining)


def _too_large(version: int, current: int) -> ApiError:
    return errors.failure(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {version}, current: {current}",
        details={
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
    )


def _exact(
    resource: ResourceType, store_table: Table, selection: Selection, version: int, limit: int, after: str = ""
) -> _Page:
    """The list as it was at ``version``, from history."""
    if version < store_table.forgotten_version:
        raise errors.expired(_TOO_OLD)
    return _cut(resource, selection, store_table.snapshot(version), version, limit, after)


def _cut(
    resource: ResourceType,
    selection: Selection,
    objects: dict[tuple[str, str], Object],
    version: int,
    limit: int,
    after: str,
) -> _Page:
    found = [objects[key] for key in sorted(objects) if selection.matches(objects[key])]
    if after:
        found = [obj for obj in found if _start_key(resource, selection, obj) > after]
    token, remaining = "", None
    if 0 < limit < len(found):
        token = _token(version, _start_key(resource, selection, found[limit - 1]))
        remaining = len(found) - limit if selection.everything else None
        found = found[:limit]
    return _Page(version, found, None, token, remaining)


def _continued(
    server: ApiServer, resource: ResourceType, store_table: Table, selection: Selection, token: str, limit: int
) -> _Page:
    version, start = _read_token(token)
    if version < 0:
        version = server.store.version
    elif version < store_table.forgotten_version:
        raise errors.expired(_EXPIRED_CONTINUE, {"continue": _token(-1, start)})
    elif version > server.store.version:
        raise _too_large(version, server.store.version)
    return _cut(resource, selection, store_table.snapshot(version), version, limit, start)


def _start_key(resource: ResourceType, selection: Selection, obj: Object) -> str:
    metadata = obj["metadata"]
    if not resource.namespaced or selection.namespace is not None:
        return f"/{metadata['name']}\0"
    return f"{metadata.get('namespace', '')}/{metadata['name']}\0"


def _token(version: int, start: str) -> str:
    data = orjson.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": start})
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, str]:
    decoded = b""
    try:
        padded = token + "=" * (-len(token) % 4)
        decoded = base64.urlsafe_b64decode(padded)
        data = orjson.loads(decoded)
        version, start = int(data["rv"]), str(data["start"])
    except (ValueError, KeyError, TypeError) as error:
        first = chr(decoded[0]) if decoded else ""
        shown = first if first.isprintable() else f"\\u{ord(first):04x}"
        raise errors.bad_request(
            f"invalid continue token: continue key is not valid: invalid character '{shown}' looking for beginning of "
            "value"
        ) from error
    return version, start.lstrip("/") if start.count("/") > 1 else start
