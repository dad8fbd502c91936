"""Strategic merge patches: like merge patches, but lists merge by their key."""

from __future__ import annotations

from typing import Any

from healing.sandbox.api import errors
from healing.sandbox.api.meta import clone
from healing.sandbox.api.schema import ANY, Type
from healing.sandbox.ports import Object

_DIRECTIVE = "$patch"
_ORDER = "$setElementOrder/"
_DELETE_FROM = "$deleteFromPrimitiveList/"
_RETAIN = "$retainKeys"


def apply_strategic_patch(document: Object, patch: Any, kind: Type) -> Object:
    """A patched copy; `ApiError` 400 or 500 as the API answers to what cannot be merged."""
    if not isinstance(patch, dict):
        raise errors.bad_request(
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
        )
    merged = _merge_map(document, patch, kind)
    return merged if merged is not None else {}


def _bad_directive(directive: Any, patch: Any) -> Exception:
    return errors.failure(500, "", f"unknown patch type: {directive}") if patch else errors.generic_invalid()


def _merge_map(current: Any, patch: Object, kind: Type) -> Object | None:
    directive = patch.get(_DIRECTIVE)
    if directive == "delete":
        return {}
    if directive == "replace":
        return {key: clone(value) for key, value in patch.items() if key != _DIRECTIVE}
    if directive not in (None, "merge"):
        raise _bad_directive(directive, patch)
    result: Object = dict(current) if isinstance(current, dict) else {}
    if _RETAIN in patch:
        kept = set(patch[_RETAIN])
        result = {key: value for key, value in result.items() if key in kept}
    for key, value in patch.items():
        if key in (_DIRECTIVE, _RETAIN) or key.startswith((_ORDER, _DELETE_FROM)):
            continue
        if value is None:
            result.pop(key, None)
            continue
        child = _child(kind, key)
        if isinstance(value, dict) and child.kind != "any":
            result[key] = _merge_map(result.get(key), value, child)
        elif isinstance(value, dict):
            result[key] = _merge_map(result.get(key), value, ANY)
        elif isinstance(value, list) and child.kind == "list" and child.patch_key is not None:
            result[key] = _merge_list(result.get(key) or [], value, child, patch.get(_ORDER + key))
        else:
            result[key] = clone(value)
    _remaining_directives(result, patch, kind)
    return result


def _remaining_directives(result: Object, patch: Object, kind: Type) -> None:
    for key, value in patch.items():
        if key.startswith(_DELETE_FROM):
            field = key.removeprefix(_DELETE_FROM)
            if isinstance(result.get(field), list):
                result[field] = [item for item in result[field] if item not in value]
        elif key.startswith(_ORDER):
            field = key.removeprefix(_ORDER)
            child = _child(kind, field)
            if field not in patch and isinstance(result.get(field), list) and child.patch_key is not None:
                result[field] = _ordered(result[field], value, child.patch_key, result[field])


def _child(kind: Type, key: str) -> Type:
    if kind.kind == "struct":
        return kind.fields.get(key, ANY)
    return (kind.element or ANY) if kind.kind == "map" else ANY


def _merge_list(current: list[Any], patch: list[Any], kind: Type, order: list[Any] | None) -> list[Any]:
    key = kind.patch_key
    if not key:
        merged = [item for item in current if item not in patch] if order else list(current)
        merged += [clone(item) for item in patch if item not in merged]
        return _ordered(merged, order, "", current) if order is not None else merged
    element = kind.element or ANY
    if any(isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" and len(item) == 1 for item in patch):
        return [clone(item) for item in patch if item.get(_DIRECTIVE) != "replace"]
    result = list(current)
    added: list[Any] = []
    for item in patch:
        if not isinstance(item, dict) or item.get(key) is None:
            shown = " ".join(f"{name}:{value}" for name, value in item.items()) if isinstance(item, dict) else item
            raise errors.failure(500, "", f"map: map[{shown}] does not contain declared merge key: {key}")
        found = next((index for index, old in enumerate(result) if old.get(key) == item[key]), None)
        if item.get(_DIRECTIVE) == "delete":
            if found is not None:
                del result[found]
        elif found is None:
            fresh = _merge_map({}, item, element)
            added.append(fresh)
        else:
            result[found] = _merge_map(result[found], item, element)
    if order is not None:
        return _ordered(added + result, order, key, current)
    if not added:
        # Items the patch names come first, in its order.
        named = [item[key] for item in patch if item.get(_DIRECTIVE) != "delete"]
        return _patched_first(result, named, key)
    named = [item[key] for item in patch if item.get(_DIRECTIVE) != "delete"]
    return _patched_first(added + result, named, key)


def _patched_first(items: list[Any], named: list[Any], key: str) -> list[Any]:
    """Named items in the patch's order; the others keep their place relative to the named ones they followed."""
    return _ordered(items, [{key: name} for name in named], key, items)


def _ordered(items: list[Any], order: list[Any], key: str, server: list[Any]) -> list[Any]:
    def identity(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, dict) else item

    wanted = [identity(item) for item in order]
    by_identity = {_hashable(identity(item)): item for item in items}
    listed = [by_identity[_hashable(name)] for name in wanted if _hashable(name) in by_identity]
    listed_keys = {_hashable(identity(item)) for item in listed}
    unlisted = [item for item in items if _hashable(identity(item)) not in listed_keys]
    if not unlisted:
        return listed
    places = {_hashable(identity(item)): index for index, item in enumerate(server)}
    # Items the order does not name go before the first named one that followed them on the server.
    result: list[Any] = []
    rest = list(unlisted)
    for item in listed:
        place = places.get(_hashable(identity(item)))
        while rest and place is not None and places.get(_hashable(identity(rest[0])), -1) < place:
            result.append(rest.pop(0))
        result.append(item)
    return result + rest


def _hashable(value: Any) -> Any:
    return repr(value) if isinstance(value, (dict, list)) else value
