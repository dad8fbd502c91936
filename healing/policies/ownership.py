"""Who else has set which field of a policy's resource. Pure.

Server-side apply refuses to change what others have set. What they are is worked out here beforehand, so that a person
can be shown the field, its manager and both values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from healing.managed_fields import Entry, own_entries, owns
from healing.policies.difference import Path, put, value_at

#: Our own field manager.
MANAGER = "recist"
#: On the resource: the person whose change we applied last.
CHANGED_BY = "recist.io/changed-by"


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """Somebody else's field. ``field`` is dotted, without ``spec``."""

    field: str
    manager: str
    theirs: Any
    yours: Any

    def as_json(self) -> dict[str, Any]:
        """For the API."""
        return {"field": self.field, "manager": self.manager, "theirs": self.theirs, "yours": self.yours}

    def __str__(self) -> str:
        return f"{self.field} is {self.theirs!r}, set by {self.manager}; you set {self.yours!r}"


def managers_of(resource: Mapping[str, Any], path: Path) -> list[str]:
    """Who has set the spec's field at ``path``, as names of field managers."""
    owners = [_name(entry) for entry in own_entries(resource) if owns(_of_spec(entry), path)]
    return list(dict.fromkeys(owners))


def writer_of(resource: Mapping[str, Any], changed: Iterable[Path]) -> str:
    """Whose change it was: who owns the changed fields now; where nobody does (taken away), who wrote last."""
    owners = list(dict.fromkeys(name for path in changed for name in managers_of(resource, path)))
    if len(owners) == 1:
        return owners[0]
    newest = sorted(own_entries(resource), key=lambda entry: entry.time)
    names = [name for entry in newest if (name := _name(entry)) in owners or not owners]
    return names[-1] if names else "unknown"


def conflicts(resource: Mapping[str, Any], wanted: Mapping[Path, Any]) -> list[FieldConflict]:
    """Fields that others have set to something else than we want."""
    spec = resource.get("spec") or {}
    return [
        FieldConflict(".".join(path), manager, value_at(spec, path), value)
        for path, value in wanted.items()
        for manager in managers_of(resource, path)
        if manager != MANAGER and value_at(spec, path) != value
    ]


def was_updated_by_us(resource: Mapping[str, Any]) -> bool:
    """Whether fields are ours by an update instead of an apply: to the API server that is another manager."""
    return any(entry.manager == MANAGER and entry.operation == "Update" for entry in own_entries(resource))


def apply_body(resource: Mapping[str, Any], wanted: Mapping[Path, Any], person: str) -> dict[str, Any]:
    """What to apply: the fields that are ours already, with their values, and the wanted ones. (What one owns and
    leaves out of an apply is taken away.)"""
    meta = resource["metadata"]
    spec: dict[str, Any] = {}
    for entry in own_entries(resource):
        if entry.manager == MANAGER and entry.operation == "Apply":
            _copy_owned(_of_spec(entry), resource.get("spec") or {}, (), spec)
    for path, value in wanted.items():
        put(spec, path, value)
    return {
        "metadata": {
            "name": meta["name"],
            "namespace": meta.get("namespace", ""),
            "uid": meta["uid"],
            "annotations": {CHANGED_BY: person},
        },
        "spec": spec,
    }


def _name(entry: Entry) -> str:
    return entry.manager or "unknown"


def _of_spec(entry: Entry) -> Any:
    return value_at(entry.fields, ("f:spec",))


def _copy_owned(fields: Any, spec: Mapping[str, Any], path: Path, into: dict[str, Any]) -> None:
    if not isinstance(fields, Mapping):
        return
    inner = {str(key)[2:]: value for key, value in fields.items() if str(key).startswith("f:")}
    value = value_at(spec, path, _GONE) if path else spec
    if value is _GONE:
        return
    if path and (not inner or not isinstance(value, Mapping)):
        put(into, path, value)
        return
    for name, children in inner.items():
        _copy_owned(children, spec, (*path, name), into)


_GONE = object()
