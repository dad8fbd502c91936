"""Who owns which field of a Kubernetes object, by its ``metadata.managedFields``. Pure.

Whoever sets a field owns it. What writes a subresource (status, scale) has entries of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """What one field manager owns by one way of writing.

    ``operation``: ``Apply`` or ``Update``. ``subresource``: empty for the object itself. ``time``: of its last write,
    ISO 8601 in whole seconds; empty: it does not say. ``fields``: the set of what it owns (``fieldsV1``)."""

    manager: str
    operation: str
    subresource: str
    time: str
    fields: Mapping[str, Any]

    @property
    def at(self) -> datetime | None:
        """When it wrote last."""
        return datetime.fromisoformat(self.time) if self.time else None


def entries(obj: Mapping[str, Any]) -> list[Entry]:
    """All of an object's, in its order."""
    return [
        Entry(
            manager=str(entry.get("manager") or ""),
            operation=str(entry.get("operation") or ""),
            subresource=str(entry.get("subresource") or ""),
            time=str(entry.get("time") or ""),
            fields=entry.get("fieldsV1") or {},
        )
        for entry in (obj.get("metadata") or {}).get("managedFields") or ()
        if isinstance(entry, Mapping)
    ]


def own_entries(obj: Mapping[str, Any]) -> list[Entry]:
    """Those of the object itself, without its subresources."""
    return [entry for entry in entries(obj) if not entry.subresource]


def owns(fields: Any, path: Iterable[str]) -> bool:
    """Whether a set of fields has what is at a path below it. A step is a field's name, or the key of an item of a map
    or a list (``web`` for ``k:{"name":"web"}``).

    A set that is empty from the start owns nothing; one that is empty on the way owns all that is below it."""
    if not fields:
        return False
    for step in path:
        if not isinstance(fields, Mapping):
            return False
        if not fields:
            return True
        fields = _below(fields, step)
    return fields is not None


def _below(fields: Mapping[str, Any], step: str) -> Any:
    """The set below a step; None: it is not in it."""
    if f"f:{step}" in fields:
        return fields[f"f:{step}"]
    for key, inner in fields.items():
        if key.startswith("k:") and step in map(str, json.loads(key[2:]).values()):
            return inner
    return None
