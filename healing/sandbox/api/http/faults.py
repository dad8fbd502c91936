"""Faults of the API itself, for tests of clients: slow answers, errors, dropped connections, expired watches."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from healing.sandbox.api import errors
from healing.sandbox.ports import Object

_KINDS = ("latency", "error", "throttle", "drop")


class DropConnection(Exception):
    """The connection is to be closed without an answer."""


@dataclass(slots=True)
class ApiFault:
    """``count`` requests whose path starts with ``path`` (and method matches) meet the fault; None is until removed."""

    kind: str
    path: str = "/"
    method: str = ""
    count: int | None = None
    seconds: float = 0.0
    code: int = 500

    def as_object(self) -> Object:
        return {
            "kind": self.kind,
            "path": self.path,
            "method": self.method,
            "count": self.count,
            "seconds": self.seconds,
            "code": self.code,
        }


def parse_fault(data: object) -> ApiFault:
    """A fault from JSON; 400 `ApiError` that says what is wrong."""
    if not isinstance(data, dict) or data.get("kind") not in _KINDS:
        raise errors.bad_request(f"a fault is an object with kind one of {', '.join(_KINDS)}, or expire-watches")
    known = {"kind", "path", "method", "count", "seconds", "code"}
    unknown = sorted(set(data) - known)
    if unknown:
        raise errors.bad_request(
            f"unknown fields of a fault: {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    try:
        count = data.get("count")
        return ApiFault(
            kind=data["kind"],
            path=str(data.get("path") or "/"),
            method=str(data.get("method") or "").upper(),
            count=None if count is None else int(count),
            seconds=float(data.get("seconds") or 0.0),
            code=int(data.get("code") or 500),
        )
    except (TypeError, ValueError) as error:
        raise errors.bad_request(f"count, seconds and code of a fault are numbers: {error}") from error


@dataclass(slots=True)
class ApiFaults:
    faults: list[ApiFault] = field(default_factory=list)

    async def meet(self, method: str, path: str) -> None:
        """Suffer what is on for this request: wait, raise an `ApiError`, or raise `DropConnection`."""
        for fault in list(self.faults):
            if not path.startswith(fault.path) or (fault.method and fault.method != method):
                continue
            if fault.count is not None:
                fault.count -= 1
                if fault.count <= 0:
                    self.faults.remove(fault)
            if fault.kind == "latency":
                await asyncio.sleep(fault.seconds)
            elif fault.kind == "drop":
                raise DropConnection
            elif fault.kind == "throttle":
                raise errors.failure(
                    429,
                    "TooManyRequests",
                    "The server has received too many requests and has asked us to try again later",
                    details={"retryAfterSeconds": max(1, int(fault.seconds))},
                )
            else:
                raise errors.failure(fault.code, "InternalError", "Internal error occurred: injected by the sandbox")
