"""Server-side apply: merging an applied configuration, with owners and conflicts."""

from __future__ import annotations

from typing import Any

from healing.sandbox.api import errors
from healing.sandbox.api.fieldsets import FieldSet, difference, intersection, join, paths
from healing.sandbox.api.managed import (
    compare_objects,
    entry_for,
    is_entry,
    item_key,
    object_fields,
    sort_entries,
    type_of,
    without_fields,
)
from healing.sandbox.api.meta import clone, timestamp
from healing.sandbox.api.registry import ResourceType
from healing.sandbox.api.schema import ANY, Type, model_type
from healing.sandbox.ports import ApiError, Object

#: parts of an applied configuration that are not fields to own
_SYSTEM_METADATA = frozenset(
    "uid creationTimestamp generation resourceVersion managedFields selfLink deletionTimestamp "
    "deletionGracePeriodSeconds".split()
)


def apply_configuration(
    resource: ResourceType,
    live: Object,
    applied: Object,
    *,
    manager: str,
    force: bool,
    subresource: str,
    now: float,
    created: bool,
) -> Object:
    """``live`` with ``applied`` merged in and managedFields rewritten; a 409 `ApiError` lists all conflicts."""
    kind = type_of(resource)
    version = applied.get("apiVersion") or resource.api_version
    applied = _owned_part(resource, applied, subresource)
    wanted = object_fields(applied, kind)
    entries = [entry for entry in live["metadata"].get("managedFields") or [] if entry.get("manager")]
    mine = next((entry for entry in entries if is_entry(entry, manager, "Apply", version, subresource)), None)
    others = [entry for entry in entries if entry is not mine]
    merged: Object = _merge(live, applied, kind)
    if mine is not None:
        merged = _prune(merged, mine.get("fieldsV1") or {}, wanted, others, kind)
    changed, removed = compare_objects(live, merged, kind, builtin=resource.custom is None)
    kept: list[Object] = []
    conflicts: list[tuple[Object, FieldSet]] = []
    for entry in others:
        contested = intersection(entry.get("fieldsV1") or {}, changed)
        if contested is not None and not (entry["manager"] == manager and entry["operation"] == "Apply"):
            conflicts.append((entry, contested))
        rest = without_fields(entry, join(contested, removed))
        if rest is not None:
            kept.append(rest)
    if conflicts and not force and not created:
        raise _conflict(conflicts)
    same_fields = mine is not None and mine.get("fieldsV1") == wanted
    if wanted:
        entry = entry_for(manager, "Apply", version, subresource, wanted, timestamp(now))
        if same_fields and changed is None and removed is None and mine is not None:
            entry = mine
        elif mine is None and changed is None and removed is None and not created:
            # Nothing changed but the owner: real servers write no time here.
            entry.pop("time")
        kept.append(entry)
    merged["metadata"]["managedFields"] = sort_entries(kept)
    return merged


def _owned_part(resource: ResourceType, applied: Object, subresource: str) -> Object:
    """Only what this request can write."""
    part = {key: value for key, value in applied.items() if key not in ("apiVersion", "kind")}
    metadata = {key: value for key, value in (part.get("metadata") or {}).items() if key not in _SYSTEM_METADATA}
    part["metadata"] = metadata
    if subresource == "status":
        return {"metadata": {"name": metadata.get("name")}, "status": part.get("status") or {}}
    if resource.has_status:
        part.pop("status", None)
    return part


def _conflict(conflicts: list[tuple[Object, FieldSet]]) -> ApiError:
    causes = []
    by_manager: dict[str, list[str]] = {}
    for entry, fields in conflicts:
        label = f'"{entry["manager"]}"'
        if entry.get("subresource"):
            label += f' with subresource "{entry["subresource"]}"'
        if entry["operation"] == "Update":
            label += f" using {entry['apiVersion']}"
        for path in paths(fields):
            causes.append({"reason": "FieldManagerConflict", "message": f"conflict with {label}", "field": path})
            by_manager.setdefault(label, []).append(path)
    if len(causes) == 1:
        text = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        parts = []
        for label, fields_of in by_manager.items():
            listed = "\n".join(f"- {path}" for path in fields_of)
            parts.append(f"conflicts with {label}:\n{listed}")
        text = f"Apply failed with {len(causes)} conflicts: " + "\n".join(parts)
    return errors.failure(409, "Conflict", text, details={"causes": causes})


def _merge(live: Any, applied: Any, kind: Type) -> Any:
    if not isinstance(applied, dict):
        return clone(applied)
    result = dict(live)
    for key, value in applied.items():
        child = kind.fields.get(key, ANY) if kind.kind == "struct" else ANY
        if key == "metadata":
            child = model_type("V1ObjectMeta")
        result[key] = _merge_value(result.get(key), value, child)
    return clone(result)


def _merge_value(live: Any, applied: Any, kind: Type) -> Any:
    if kind.atomic or kind.kind == "scalar" or live is None or applied is None:
        return clone(applied)
    if kind.kind == "list" and isinstance(live, list) and isinstance(applied, list):
        return _merge_list(live, applied, kind)
    if isinstance(live, dict) and isinstance(applied, dict):
        result = dict(live)
        for key, value in applied.items():
            child = kind.fields.get(key, ANY) if kind.kind == "struct" else kind.element or ANY
            result[key] = _merge_value(result.get(key), value, child)
        return result
    return clone(applied)


def _merge_list(live: list[Any], applied: list[Any], kind: Type) -> list[Any]:
    if not kind.keys:
        return [*live, *(item for item in applied if item not in live)]
    element = kind.element or ANY
    wanted = {item_key(item, kind.keys): item for item in applied}
    result = []
    for item in live:
        key = item_key(item, kind.keys)
        result.append(_merge_value(item, wanted.pop(key), element) if key in wanted else item)
    # New items come after the old ones, in the order of the configuration.
    return [*result, *(clone(item) for item in wanted.values())]


def _prune(merged: Object, before: FieldSet, wanted: FieldSet, others: list[Object], kind: Type) -> Object:
    """Remove what this manager applied before, names no more, and nobody else owns."""
    dropped = difference(before, wanted)
    for entry in others:
        dropped = difference(dropped, entry.get("fieldsV1") or {})
    if dropped is None:
        return merged
    for key, fields in dropped.items():
        name = key.partition(":")[2]
        child = model_type("V1ObjectMeta") if name == "metadata" else kind.fields.get(name, ANY)
        _remove(merged, name, fields, child, _owned_below(others, wanted, key))
    return merged


def _owned_below(others: list[Object], wanted: FieldSet, key: str) -> FieldSet | None:
    owned: FieldSet | None = wanted.get(key)
    for entry in others:
        owned = join(owned, (entry.get("fieldsV1") or {}).get(key))
    return owned


def _remove(container: Object, name: str, fields: FieldSet, kind: Type, owned: FieldSet | None) -> None:
    if name not in container:
        return
    value = container[name]
    whole = (not fields or "." in fields) and owned is None
    if whole or kind.atomic or kind.kind == "scalar":
        del container[name]
        return
    if kind.kind == "list" and isinstance(value, list):
        container[name] = _remove_items(value, fields, kind, owned)
    elif isinstance(value, dict):
        for key, child_fields in fields.items():
            if key == ".":
                continue
            step = key.partition(":")[2]
            child = kind.fields.get(step, ANY) if kind.kind == "struct" else kind.element or ANY
            _remove(value, step, child_fields, child, (owned or {}).get(key))
    if not container[name] and owned is None and isinstance(container[name], (dict, list)):
        del container[name]


def _remove_items(items: list[Any], fields: FieldSet, kind: Type, owned: FieldSet | None) -> list[Any]:
    kept = []
    for item in items:
        key = item_key(item, kind.keys)
        mine = fields.get(key)
        theirs = (owned or {}).get(key)
        if mine is None:
            kept.append(item)
        elif theirs is None:
            continue
        else:
            holder = {"item": item}
            _remove(holder, "item", mine, kind.element or ANY, theirs)
            kept.append(holder["item"])
    return kept
