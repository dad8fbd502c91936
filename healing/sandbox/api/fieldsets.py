"""Sets of field paths in the FieldsV1 form of managedFields.

A set is a nested dict: ``{"f:spec": {"f:replicas": {}}}``. An empty dict is a member; a dict with children is a member
itself only if it holds ``"."``.
"""

from __future__ import annotations

from typing import Any

import orjson

FieldSet = dict[str, Any]
SELF = "."


def union(a: FieldSet, b: FieldSet) -> FieldSet:
    if not a and not b:
        return {}
    if not a or not b:
        # One side is only the member itself.
        result = dict(a or b)
        result[SELF] = {}
        return result
    result = dict(a)
    for key, child in b.items():
        mine = result.get(key)
        result[key] = child if mine is None or key == SELF else union(mine, child)
    return result


def join(a: FieldSet | None, b: FieldSet | None) -> FieldSet | None:
    """`union`, where None is the empty set."""
    if a is None:
        return b
    return a if b is None else union(a, b)


def difference(a: FieldSet | None, b: FieldSet | None) -> FieldSet | None:
    """The members of ``a`` that are not members of ``b``; None if none are left."""
    if a is None or b is None:
        return a
    if not a:
        return None if not b or SELF in b else a
    if not b:
        return {key: child for key, child in a.items() if key != SELF} or None
    result: FieldSet = {}
    for key, child in a.items():
        if key not in b:
            result[key] = child
        elif key != SELF:
            rest = difference(child, b[key])
            if rest is not None:
                result[key] = rest
    if not result:
        return None
    return {} if list(result) == [SELF] else result


def intersection(a: FieldSet | None, b: FieldSet | None) -> FieldSet | None:
    if a is None or b is None:
        return None
    if not a:
        return {} if not b or SELF in b else None
    if not b:
        return {} if SELF in a else None
    result: FieldSet = {}
    for key in a.keys() & b.keys():
        if key == SELF:
            result[SELF] = {}
            continue
        common = intersection(a[key], b[key])
        if common is not None:
            result[key] = common
    if not result:
        return None
    return {} if list(result) == [SELF] else result


def paths(fields: FieldSet, prefix: str = "") -> list[str]:
    """Members as ``.spec.containers[name="web"].image``."""
    if not fields:
        return [prefix]
    found = [prefix] if SELF in fields else []
    for key in sorted(fields):
        if key == SELF:
            continue
        tag, _, rest = key.partition(":")
        if tag == "f":
            step = f".{rest}"
        elif tag == "k":
            inner = ",".join(f"{name}={orjson.dumps(value).decode()}" for name, value in orjson.loads(rest).items())
            step = f"[{inner}]"
        else:
            step = f"[={rest}]"
        found += paths(fields[key], prefix + step)
    return found
