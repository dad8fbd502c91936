"""Two specs compared field by field. Pure; specs are camelCase JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]
#: Objects that are changed as a whole, as the resource's schema says.
_WHOLE = frozenset({("targetLabels",)})
_MISSING = object()


@dataclass(frozen=True, slots=True)
class FieldChange:
    """``field`` is dotted, as in the resource: ``thresholds.cpu``."""

    field: str
    before: Any
    after: Any

    def as_json(self) -> dict[str, Any]:
        """For history, audit and API."""
        return {"field": self.field, "before": self.before, "after": self.after}


def leaves(spec: Mapping[str, Any], prefix: Path = ()) -> Iterator[tuple[Path, Any]]:
    """(path, value) of everything that is set; lists and labels count as one value."""
    for name, value in spec.items():
        path = (*prefix, name)
        if isinstance(value, Mapping) and path not in _WHOLE:
            yield from leaves(value, path)
        else:
            yield path, value


def value_at(spec: Mapping[str, Any], path: Path, default: Any = None) -> Any:
    """The value at a path, or the default where the path does not lead anywhere."""
    found: Any = spec
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return default
        found = found[name]
    return found


def put(spec: dict[str, Any], path: Path, value: Any) -> None:
    """Set the value at a path, making the objects on the way."""
    for name in path[:-1]:
        inner = spec.get(name)
        if not isinstance(inner, dict):
            inner = spec[name] = {}
        spec = inner
    spec[path[-1]] = value


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[FieldChange]:
    """What differs, by name; a field that only one side has is None on the other."""
    old, new = dict(leaves(before)), dict(leaves(after))
    return [
        FieldChange(".".join(path), old.get(path), new.get(path))
        for path in sorted({*old, *new})  # a database keeps no order
        if old.get(path, _MISSING) != new.get(path, _MISSING)
    ]


def merge(spec: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """``spec`` with what ``patch`` says; objects are merged, everything else replaced (labels too)."""
    merged = {**spec}
    for name, value in patch.items():
        inner = merged.get(name)
        is_whole = (name,) in _WHOLE
        merged[name] = (
            merge(inner, value) if isinstance(value, Mapping) and isinstance(inner, Mapping) and not is_whole else value
        )
    return merged
