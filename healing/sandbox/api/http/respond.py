"""Answers: objects, lists, tables, Status, in the form asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import yaml
from starlette.responses import Response

from healing.sandbox.api.conversion import present
from healing.sandbox.api.http.request import Accept
from healing.sandbox.api.registry import ResourceType
from healing.sandbox.api.tables import partial_metadata, table
from healing.sandbox.ports import ApiError, Object

JSON = "application/json"


class JsonResponse(Response):
    """The body is encoded already, or any JSON data."""

    media_type = JSON

    def render(self, content: Any) -> bytes:
        return content if isinstance(content, bytes) else orjson.dumps(content)


def error_response(error: ApiError) -> Response:
    headers = {}
    retry = (error.status.get("details") or {}).get("retryAfterSeconds")
    if retry:
        headers["Retry-After"] = str(retry)
    return JsonResponse(error.status, error.code, headers)


def not_a_page() -> Response:
    return Response("404 page not found\n", 404, media_type="text/plain")


def text(content: str, code: int = 200) -> Response:
    return Response(content, code, media_type="text/plain")


def warning_headers(warnings: Sequence[str]) -> dict[str, str]:
    """Starlette keeps one header a name, so several warnings share one."""
    quoted = ['299 - "' + item.replace("\\", "\\\\").replace('"', '\\"') + '"' for item in warnings]
    return {"Warning": ", ".join(quoted)} if quoted else {}


def encode(data: Any, accept: Accept, code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Plain JSON, or YAML if that was asked for."""
    if accept.form == "yaml":
        text_form = yaml.safe_dump(orjson.loads(orjson.dumps(data)), sort_keys=False, allow_unicode=True)
        return Response(text_form, code, dict(headers or {}), media_type="application/yaml")
    return JsonResponse(data, code, dict(headers or {}))


def object_response(
    resource: ResourceType,
    obj: Object,
    accept: Accept,
    now: float,
    *,
    include: str = "Metadata",
    code: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    shown = present(resource, obj)
    if accept.form == "table":
        metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        data = table(resource, [obj], metadata, now, include)
        data["apiVersion"] = f"meta.k8s.io/{accept.version}"
        return JsonResponse(data, code, dict(headers or {}))
    if accept.form == "partial":
        return JsonResponse(partial_metadata(shown), code, dict(headers or {}))
    return encode(shown, accept, code, headers)


def success(resource: ResourceType, obj: Object) -> Object:
    """The Status of a delete that left nothing."""
    details: Object = {"name": obj["metadata"]["name"]}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.plural
    details["uid"] = obj["metadata"]["uid"]
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
