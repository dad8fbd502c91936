"""From what a Kubernetes API server answers to one error type per cause."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from healing.ports.errors import (
    AlreadyExists,
    BadResponse,
    Conflict,
    DisruptionBudgetExceeded,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    SourceError,
    Unauthorized,
    Unavailable,
)

_MESSAGE_LENGTH = 2000


def from_answer(status: int, body: bytes, headers: Mapping[str, str], call: str) -> SourceError:
    """The error behind an HTTP answer that is no success. ``call`` names the request in the message."""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        parsed = {"message": body.decode("utf-8", "replace").strip()}
    return from_status(parsed, call, code=status, retry_after=headers.get("Retry-After"))


def from_status(status: Mapping[str, Any], call: str, *, code: int = 0, retry_after: str | None = None) -> SourceError:
    """The error behind a ``Status`` object (also one inside a watch stream)."""
    code = code or _int(status.get("code")) or 500
    reason = str(status.get("reason") or "")
    details = status.get("details")
    details = details if isinstance(details, dict) else {}
    causes = [cause for cause in details.get("causes") or () if isinstance(cause, dict)]
    message = str(status.get("message") or f"HTTP {code}")
    if causes and code in (422, 429):
        message += " " + "; ".join(_cause(cause) for cause in causes)
    wait_seconds = _seconds(retry_after) or _seconds(details.get("retryAfterSeconds"))
    error_type = _error_type(code, reason, message, {str(cause.get("reason")) for cause in causes})
    message = message[:_MESSAGE_LENGTH] + (_what_to_grant(message) if error_type is Forbidden else "")
    return error_type(f"{call}: {message}", status=code, retry_after_seconds=wait_seconds)


def _error_type(code: int, reason: str, message: str, causes: set[str]) -> type[SourceError]:
    if code == 403 and _refused_by_admission(message):
        return Invalid
    if code == 409 and reason == "AlreadyExists":
        return AlreadyExists
    if code == 429 and "DisruptionBudget" in causes:
        return DisruptionBudgetExceeded
    known = _BY_CODE.get(code)
    if known is not None:
        return known
    if 400 <= code < 500:
        return Invalid
    return Unavailable if code >= 500 else BadResponse


_BY_CODE: Mapping[int, type[SourceError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    410: Expired,
    429: RateLimited,
}


#: How RBAC says no.
_CANNOT = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)


def _what_to_grant(message: str) -> str:
    """Which verb somebody has to add, and where."""
    found = _CANNOT.search(message)
    if found is None:
        return ""
    where = f"a Role of that user in namespace {found['namespace']}" if found["namespace"] else "its ClusterRole"
    group, resource, verb = found["group"], found["resource"], found["verb"]
    return f'. To allow it, add to {where}: apiGroups ["{group}"], resources ["{resource}"], verbs ["{verb}"]'


def _refused_by_admission(message: str) -> bool:
    """Quota, LimitRange, Pod Security and webhooks answer 403 as RBAC does; only RBAC says who ``cannot`` do what."""
    if "admission webhook" in message:
        return True
    return "is forbidden: " in message and 'forbidden: User "' not in message


def _cause(cause: Mapping[str, Any]) -> str:
    field = f"{cause['field']}: " if cause.get("field") else ""
    return field + str(cause.get("message") or cause.get("reason") or "")


def _int(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _seconds(value: Any) -> float | None:
    """``Retry-After`` as seconds; its other form, a date, is not used by API servers and is ignored."""
    try:
        return max(0.0, float(value)) if value is not None else None
    except (TypeError, ValueError):
        return None
