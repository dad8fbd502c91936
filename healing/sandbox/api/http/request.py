"""What a request asks for: its path, parameters and the answer's form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from starlette.datastructures import QueryParams

from healing.sandbox.api import errors
from healing.sandbox.api.errors import Cause
from healing.sandbox.ports import ApiError

Form = Literal["json", "yaml", "table", "partial"]
MEDIA_TYPES = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of an API path; empty strings are parts that are not there."""

    group: str
    version: str
    plural: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def parse_path(path: str) -> Target | None:
    """None if ``path`` is not below /api/VERSION or /apis/GROUP/VERSION."""
    parts = [part for part in path.split("/") if part]
    if len(parts) >= 2 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 3 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if len(rest) >= 2 and rest[0] == "namespaces":
        # Below a namespace lie resources; only its own subresources have names of their own.
        if len(rest) >= 3 and not (group == "" and len(rest) == 3 and rest[2] in _NAMESPACE_SUBRESOURCES):
            namespace, rest = rest[1], rest[2:]
        else:
            namespace = ""
    padded = [*rest, "", "", ""]
    subresource = "/".join(rest[2:])
    return Target(group, version, padded[0], namespace, padded[1], subresource)


@dataclass(frozen=True, slots=True)
class Accept:
    form: Form
    #: meta.k8s.io version of tables and partial metadata
    version: str = "v1"


def negotiate(header: str) -> Accept:
    """The first form of the Accept header that the server has; 406 `ApiError` if there is none."""
    if not header:
        return Accept("json")
    for part in header.split(","):
        media, *parameters = [piece.strip() for piece in part.split(";")]
        options = dict(piece.split("=", 1) for piece in parameters if "=" in piece)
        kind, version = options.get("as", ""), options.get("v", "v1")
        if media in ("application/json", "*/*", "application/*"):
            if kind == "Table" and version in ("v1", "v1beta1"):
                return Accept("table", version)
            if kind in ("PartialObjectMetadata", "PartialObjectMetadataList"):
                return Accept("partial", version)
            if not kind:
                return Accept("json")
        elif media == "application/yaml" and not kind:
            return Accept("yaml")
    raise errors.failure(
        406,
        "NotAcceptable",
        f"406: Not Acceptable\n\nAvailable representations: {MEDIA_TYPES}",
        details={},
    )


def integer(query: QueryParams, name: str) -> int | None:
    """A numeric parameter; 400 `ApiError` in Go's words if it is none."""
    text = query.get(name)
    if text in (None, ""):
        return None
    try:
        return int(text)
    except ValueError:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def flag(query: QueryParams, name: str) -> bool:
    text = query.get(name)
    return text is not None and text.lower() not in ("false", "0", "no")


def resource_version(query: QueryParams) -> int | None:
    """The resourceVersion asked for; None if there is none."""
    text = query.get("resourceVersion")
    if not text:
        return None
    if not text.isdigit():
        raise errors.bad_request(
            f'invalid resource version: resourceVersion: Invalid value: "{text}": '
            f'strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)


def options_error(kind: str, causes: list[Cause]) -> ApiError:
    """422 about CreateOptions, PatchOptions, ..."""
    return errors.invalid(kind, "meta.k8s.io", "", causes)


def dry_run(values: list[str], kind: str) -> bool:
    """Is this a dry run; 422 `ApiError` for any value but All."""
    given = [value for value in values if value]
    if not given:
        return False
    if any(value != "All" for value in given):
        raise options_error(kind, [errors.not_supported("dryRun", given, ("All",))])
    return True
