"""RFC 7386."""

from __future__ import annotations

from typing import Any

from healing.sandbox.api.meta import clone


def apply_merge_patch(document: Any, patch: Any) -> Any:
    """A patched copy: null removes, objects merge, everything else (lists too) replaces."""
    if not isinstance(patch, dict):
        return clone(patch)
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = apply_merge_patch(result.get(key), value)
        else:
            result[key] = clone(value)
    return result
