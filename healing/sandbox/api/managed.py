"""Who owns which field, and the comparison that finds what changed."""

from __future__ import annotations

from typing import Any

import orjson

from healing.sandbox.api.crd_types import custom_type
from healing.sandbox.api.fieldsets import SELF, FieldSet, difference, join
from healing.sandbox.api.meta import timestamp
from healing.sandbox.api.registry import ResourceType
from healing.sandbox.api.schema import ANY, Type, model_type
from healing.sandbox.ports import Object

#: metadata nobody owns: the server writes it
_UNOWNED = frozenset(
    "name namespace uid creationTimestamp generation resourceVersion managedFields selfLink deletionTimestamp "
    "deletionGracePeriodSeconds".split()
)
#: parts of built-in types that are always there, so nobody adds them
_ALWAYS_THERE = frozenset(
    "metadata spec status template strategy updateStrategy jobTemplate podSelector names scaleTargetRef".split()
)
#: more of these, but only outside of lists (a list's new item brings its own)
_ALWAYS_THERE_AT_TOP = frozenset({"containers", "loadBalancer", "resources", "source"})


# -- sets of objects --------------------------------------------------------------------------------------------------


def item_key(item: Any, keys: tuple[str, ...]) -> str:
    """The path element of a list's item: ``k:{"name":"web"}`` or ``v:"x"``."""
    if not keys:
        return "v:" + orjson.dumps(item).decode()
    picked = {key: item.get(key, "TCP" if key == "protocol" else None) for key in sorted(keys)}
    return "k:" + orjson.dumps({key: value for key, value in picked.items() if value is not None}).decode()


def field_set(value: Any, kind: Type) -> FieldSet:
    """All fields an applied configuration names."""
    if kind.atomic or kind.kind == "scalar":
        return {}
    if kind.kind == "list":
        if not value:
            return {}
        element = kind.element or ANY
        items: FieldSet = {}
        for item in value:
            child = field_set(item, element)
            items[item_key(item, kind.keys)] = {SELF: {}, **child} if child else {}
        return items
    if not isinstance(value, dict) or not value:
        return {}
    result: FieldSet = {}
    for key, item in value.items():
        if kind.kind == "struct":
            result[f"f:{key}"] = field_set(item, kind.fields.get(key, ANY))
        else:
            child = field_set(item, kind.element or ANY)
            result[f"f:{key}"] = {SELF: {}, **child} if child else {}
    return result


def object_fields(obj: Object, kind: Type) -> FieldSet:
    """`field_set` of a whole object, without what nobody owns."""
    result = {}
    for key, value in obj.items():
        if key in ("apiVersion", "kind"):
            continue
        if key == "metadata":
            kept = {name: item for name, item in value.items() if name not in _UNOWNED}
            if kept:
                result["f:metadata"] = field_set(kept, model_type("V1ObjectMeta"))
            continue
        result[f"f:{key}"] = field_set(value, kind.fields.get(key, ANY) if kind.kind == "struct" else ANY)
    return result


# -- comparison -------------------------------------------------------------------------------------------------------

Difference = tuple[FieldSet | None, FieldSet | None]  # changed or added, removed
_NOTHING: Difference = (None, None)
_MISSING: Any = object()


class _Compare:
    def __init__(self, *, builtin: bool) -> None:
        self._builtin = builtin

    def compare(self, old: Any, new: Any, kind: Type, name: str = "", *, in_list: bool = False) -> Difference:
        if old is new or old == new:
            return _NOTHING
        if old is _MISSING and (new is None or (new == {} and self._always(name, in_list=in_list))):
            return _NOTHING
        leaf = kind.atomic or kind.kind == "scalar" or (not _filled(old) and not _filled(new))
        if leaf or not (_container(old) and _container(new)):
            if new is _MISSING:
                return None, {}
            return {}, None
        if kind.kind == "list":
            changed, removed = self._lists(old, new, kind)
        else:
            changed, removed = self._maps(old, new, kind, in_list=in_list)
        if old is _MISSING and not self._always(name, in_list=in_list) and changed is not None:
            changed = {SELF: {}, **changed}
        if new is _MISSING and removed is not None:
            removed = {SELF: {}, **removed}
        return changed, removed

    def _always(self, name: str, *, in_list: bool) -> bool:
        return self._builtin and (name in _ALWAYS_THERE or (name in _ALWAYS_THERE_AT_TOP and not in_list))

    def _maps(self, old: Any, new: Any, kind: Type, *, in_list: bool) -> Difference:
        before = {} if old is _MISSING or old is None else old
        after = {} if new is _MISSING or new is None else new
        changed: FieldSet = {}
        removed: FieldSet = {}
        for key in before.keys() | after.keys():
            child = kind.fields.get(key, ANY) if kind.kind == "struct" else kind.element or ANY
            more, less = self.compare(before.get(key, _MISSING), after.get(key, _MISSING), child, key, in_list=in_list)
            if more is not None:
                changed[f"f:{key}"] = more
            if less is not None:
                removed[f"f:{key}"] = less
        return changed or None, removed or None

    def _lists(self, old: Any, new: Any, kind: Type) -> Difference:
        element = kind.element or ANY
        before = {} if not _filled(old) else {item_key(item, kind.keys): item for item in old}
        after = {} if not _filled(new) else {item_key(item, kind.keys): item for item in new}
        changed: FieldSet = {}
        removed: FieldSet = {}
        for key in before.keys() | after.keys():
            more, less = self.compare(before.get(key, _MISSING), after.get(key, _MISSING), element, in_list=True)
            if more is not None:
                changed[key] = more
            if less is not None:
                removed[key] = less
        return changed or None, removed or None


def _container(value: Any) -> bool:
    return value is _MISSING or value is None or isinstance(value, (dict, list))


def _filled(value: Any) -> bool:
    return isinstance(value, (dict, list)) and bool(value)


def compare_objects(old: Object | None, new: Object, kind: Type, *, builtin: bool) -> Difference:
    """What changed or came, and what went, between two versions of an object."""
    compare = _Compare(builtin=builtin).compare
    before = old or {}
    changed: FieldSet = {}
    removed: FieldSet = {}
    for key in before.keys() | new.keys():
        if key in ("apiVersion", "kind"):
            continue
        left, right = before.get(key, _MISSING), new.get(key, _MISSING)
        if key == "metadata":
            child = model_type("V1ObjectMeta")
            left = {k: v for k, v in left.items() if k not in _UNOWNED} if left is not _MISSING else {}
            right = {k: v for k, v in right.items() if k not in _UNOWNED}
        else:
            child = kind.fields.get(key, ANY) if kind.kind == "struct" else ANY
        more, less = compare(left, right, child, key)
        if more is not None:
            changed[f"f:{key}"] = more
        if less is not None:
            removed[f"f:{key}"] = less
    return changed or None, removed or None


# -- managedFields ----------------------------------------------------------------------------------------------------


def type_of(resource: ResourceType) -> Type:
    """The type whose structure field paths follow."""
    if resource.custom is not None:
        return custom_type(resource)
    return model_type(resource.model)


def sort_entries(entries: list[Object]) -> list[Object]:
    return sorted(
        entries,
        key=lambda entry: (entry.get("operation") != "Apply", entry.get("time", ""), entry.get("manager", "")),
    )


def entry_for(manager: str, operation: str, api_version: str, subresource: str, fields: FieldSet, now: str) -> Object:
    entry: Object = {
        "manager": manager,
        "operation": operation,
        "apiVersion": api_version,
        "time": now,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    if subresource:
        entry["subresource"] = subresource
    return entry


def is_entry(entry: Object, manager: str, operation: str, api_version: str, subresource: str) -> bool:
    return (
        entry.get("manager") == manager
        and entry.get("operation") == operation
        and entry.get("apiVersion") == api_version
        and entry.get("subresource", "") == subresource
    )


def without_fields(entry: Object, fields: FieldSet | None) -> Object | None:
    """``entry`` without ``fields``; None if nothing is left of it; the very same entry if nothing was in it."""
    left = difference(entry.get("fieldsV1") or {}, fields)
    if left is None:
        return None
    return entry if left == entry.get("fieldsV1") else {**entry, "fieldsV1": left}


def record_update(
    resource: ResourceType,
    old: Object | None,
    new: Object,
    manager: str,
    api_version: str,
    subresource: str,
    now: float,
) -> None:
    """Make ``manager`` the owner of what it changed, and take it from the others."""
    seen = new
    if old is None and resource.has_status:
        # The status sent with a create is dropped.
        seen = {key: value for key, value in new.items() if key != "status"}
    changed, removed = compare_objects(old, seen, type_of(resource), builtin=resource.custom is None)
    entries = [entry for entry in new["metadata"].get("managedFields") or [] if entry.get("manager")]
    version = api_version or new["apiVersion"]
    if changed is None and removed is None:
        new["metadata"]["managedFields"] = entries
        return
    lost = join(changed, removed)
    kept: list[Object] = []
    mine: FieldSet | None = None
    for entry in entries:
        if is_entry(entry, manager, "Update", version, subresource):
            mine = entry.get("fieldsV1")
            continue
        rest = without_fields(entry, lost)
        if rest is not None:
            kept.append(rest)
    mine = join(difference(mine, removed), changed)
    if mine:
        kept.append(entry_for(manager, "Update", version, subresource, mine, timestamp(now)))
    new["metadata"]["managedFields"] = sort_entries(kept)
