"""Refusals in the API server's words, as complete Status objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from healing.sandbox.ports import ApiError, Object


@dataclass(frozen=True, slots=True)
class Cause:
    """One field that is wrong: ``reason`` is FieldValueInvalid, FieldValueRequired, ..."""

    reason: str
    message: str
    field: str

    def as_object(self) -> Object:
        return {"reason": self.reason, "message": self.message, "field": self.field}


def failure(
    code: int,
    reason: str,
    message: str,
    *,
    details: Object | None = None,
    metadata: Object | None = None,
) -> ApiError:
    """An `ApiError` with a Failure Status; ``reason`` may be empty, as in the API's plain 500s."""
    status: Object = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": metadata or {},
        "status": "Failure",
        "message": message,
    }
    if reason:
        status["reason"] = reason
    if details is not None:
        status["details"] = details
    status["code"] = code
    return ApiError(status)


def _details(name: str, group: str, kind: str) -> Object:
    details: Object = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    details["kind"] = kind
    return details


def qualified(plural: str, group: str) -> str:
    """``pods`` or ``deployments.apps``."""
    return f"{plural}.{group}" if group else plural


def not_found(plural: str, group: str, name: str) -> ApiError:
    return failure(
        404, "NotFound", f'{qualified(plural, group)} "{name}" not found', details=_details(name, group, plural)
    )


def already_exists(plural: str, group: str, name: str) -> ApiError:
    return failure(
        409,
        "AlreadyExists",
        f'{qualified(plural, group)} "{name}" already exists',
        details=_details(name, group, plural),
    )


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(plural: str, group: str, name: str, why: str = MODIFIED) -> ApiError:
    return failure(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}',
        details=_details(name, group, plural),
    )


def forbidden(plural: str, group: str, name: str, why: str, causes: Sequence[Object] | None = None) -> ApiError:
    what = f'{qualified(plural, group)} "{name}"' if name else qualified(plural, group)
    details = _details(name, group, plural)
    if causes:
        details["causes"] = list(causes)
    return failure(403, "Forbidden", f"{what} is forbidden: {why}", details=details)


def bad_request(message: str) -> ApiError:
    return failure(400, "BadRequest", message)


def no_such_resource() -> ApiError:
    return failure(404, "NotFound", "the server could not find the requested resource", details={})


def method_not_allowed() -> ApiError:
    return failure(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource", details={}
    )


def invalid(kind: str, group: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """422 with one cause a field; several causes are listed in brackets, the same one is listed once."""
    unique = list(dict.fromkeys(causes))
    texts = [f"{cause.field}: {cause.message}" for cause in unique]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = _details(name, group, kind)
    details["causes"] = [cause.as_object() for cause in unique]
    return failure(422, "Invalid", f'{qualified(kind, group)} "{name}" is invalid: {text}', details=details)


def generic_invalid() -> ApiError:
    return failure(422, "Invalid", "the server rejected our request due to an error in our request", details={})


def expired(message: str, metadata: Object | None = None) -> ApiError:
    return failure(410, "Expired", message, metadata=metadata)


def go_value(value: Any) -> str:
    """A value as Go's field errors print it: strings quoted, objects as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if value is None:
        return "null"
    return orjson.dumps(value).decode()


def invalid_value(field: str, value: Any, why: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {go_value(value)}: {why}", field)


def required(field: str, why: str = "") -> Cause:
    return Cause("FieldValueRequired", f"Required value: {why}" if why else "Required value", field)


def forbidden_field(field: str, why: str) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {why}", field)


def not_supported(field: str, value: Any, supported: Sequence[str]) -> Cause:
    listed = ", ".join(f'"{item}"' for item in supported)
    return Cause("FieldValueNotSupported", f"Unsupported value: {go_value(value)}: supported values: {listed}", field)


def duplicate(field: str, value: Any) -> Cause:
    return Cause("FieldValueDuplicate", f"Duplicate value: {go_value(value)}", field)


def field_not_found(field: str, value: Any) -> Cause:
    return Cause("FieldValueNotFound", f"Not found: {go_value(value)}", field)
