"""RFC 6902."""

from __future__ import annotations

from typing import Any

from healing.sandbox.api import errors
from healing.sandbox.api.meta import clone


class _Failed(Exception):
    """An operation does not fit the document."""


def apply_json_patch(document: Any, patch: Any) -> Any:
    """A patched copy. 400 `ApiError` if ``patch`` is no list of operations, 422 if one does not fit."""
    if not isinstance(patch, list):
        kind = "object" if isinstance(patch, dict) else "string"
        raise errors.bad_request(
            f"error decoding patch: json: cannot unmarshal {kind} into Go value of type []handlers.jsonPatchOp"
        )
    result = clone(document)
    try:
        for operation in patch:
            result = _apply(result, operation)
    except (_Failed, KeyError, TypeError, AttributeError):
        raise errors.generic_invalid() from None
    return result


def _steps(pointer: Any) -> list[str]:
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise _Failed
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _index(container: list[Any], step: str, *, insert: bool = False) -> int:
    if insert and step == "-":
        return len(container)
    try:
        index = int(step)
    except ValueError:
        raise _Failed from None
    if index < 0:
        index += len(container)
    if not 0 <= index < len(container) + insert:
        raise _Failed
    return index


def _parent(document: Any, steps: list[str]) -> Any:
    for step in steps[:-1]:
        document = _child(document, step)
    return document


def _child(container: Any, step: str) -> Any:
    if isinstance(container, dict):
        if step not in container:
            raise _Failed
        return container[step]
    if isinstance(container, list):
        return container[_index(container, step)]
    raise _Failed


def _get(document: Any, steps: list[str]) -> Any:
    for step in steps:
        document = _child(document, step)
    return document


def _add(document: Any, steps: list[str], value: Any) -> Any:
    if not steps:
        return value
    parent = _parent(document, steps)
    if isinstance(parent, dict):
        parent[steps[-1]] = value
    elif isinstance(parent, list):
        parent.insert(_index(parent, steps[-1], insert=True), value)
    else:
        raise _Failed
    return document


def _remove(document: Any, steps: list[str]) -> Any:
    parent = _parent(document, steps)
    if isinstance(parent, dict):
        if steps[-1] not in parent:
            raise _Failed
        del parent[steps[-1]]
    elif isinstance(parent, list):
        del parent[_index(parent, steps[-1])]
    else:
        raise _Failed
    return document


def _apply(document: Any, operation: Any) -> Any:
    steps = _steps(operation["path"])
    name = operation["op"]
    if name == "add":
        return _add(document, steps, clone(operation["value"]))
    if name == "remove":
        return _remove(document, steps)
    if name == "replace":
        parent = _parent(document, steps)
        if not steps:
            return clone(operation["value"])
        _child(parent, steps[-1])
        if isinstance(parent, list):
            parent[_index(parent, steps[-1])] = clone(operation["value"])
        else:
            parent[steps[-1]] = clone(operation["value"])
        return document
    if name == "test":
        try:
            found = _get(document, steps)
        except _Failed:
            found = None
        if found != operation.get("value"):
            raise _Failed
        return document
    if name in ("move", "copy"):
        value = clone(_get(document, _steps(operation["from"])))
        if name == "move":
            document = _remove(document, _steps(operation["from"]))
        return _add(document, steps, value)
    raise _Failed
