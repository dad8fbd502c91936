"""What actions share that write a workload's pod template."""

from __future__ import annotations

from typing import Any

from healing.actions import manifests
from healing.actions.base import Change
from healing.actions.reading import PAUSED_BY, WORKLOAD_KINDS, Workload
from healing.policies.spec import ActionName
from healing.ports.cluster import ObjectRef

PERMISSIONS = tuple((verb, kind) for kind in sorted(WORKLOAD_KINDS) for verb in ("get", "patch"))
#: These replace a workload's pods by others of a corrected template, each by one in its place, and lift our pause of
#: the rollout in the same write.
CORRECTIONS = frozenset(
    {
        ActionName.ROLLBACK,
        ActionName.UPDATE_RESOURCES,
        ActionName.UPDATE_CONFIG,
        ActionName.FIX_PROBE,
        ActionName.FIX_SCHEDULING,
    }
)


def diff(ref: ObjectRef, path: str, before: Any, after: Any) -> list[Change]:
    """The lines in which two JSON values differ; lists of named items are compared by name."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            change
            for key in dict.fromkeys((*before, *after))
            for change in diff(ref, _join(path, key), before.get(key), after.get(key))
        ]
    if _named(before) and _named(after):
        old, new = ({item["name"]: item for item in items} for items in (before, after))
        return [
            change
            for name in dict.fromkeys((*old, *new))
            for change in diff(ref, f"{path}[{name}]", old.get(name), new.get(name))
        ]
    return [] if before == after else [Change(ref, path, before, after)]


def _join(path: str, key: str) -> str:
    plain = key.replace("-", "").replace("_", "").isalnum()
    return f"{path}.{key}" if plain else f"{path}[{key}]"


def _named(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(i, dict) and "name" in i for i in value)


def pause_body(by: str) -> dict[str, Any]:
    """The merge patch that pauses a rollout; ``by``: the event that does; empty: somebody else."""
    return {"spec": {"paused": True}, "metadata": {"annotations": {PAUSED_BY: by or None}}}


def resume_body() -> dict[str, Any]:
    """The inverse of `pause_body`."""
    return {"spec": {"paused": None}, "metadata": {"annotations": {PAUSED_BY: None}}}


def unpause_body(workload: Workload) -> dict[str, Any]:
    """What a merge patch adds so that a rollout which *we* paused goes on with the corrected template."""
    return resume_body() if workload.paused_by_event else {}


def repause_body(workload: Workload) -> dict[str, Any]:
    """The inverse of `unpause_body`: back to the contained state that was found."""
    return pause_body(workload.paused_by_event) if workload.paused_by_event else {}


def unpause_changes(workload: Workload) -> list[Change]:
    """The diff of `unpause_body`."""
    return [Change(workload.ref, "spec.paused", True, None)] if workload.paused_by_event else []


def merged(*bodies: dict[str, Any]) -> dict[str, Any]:
    """Merge patches in one."""
    result: dict[str, Any] = {}
    for body in bodies:
        for key, value in body.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def replace_template(template: dict[str, Any], paused_by: str, *, pause: bool) -> list[dict[str, Any]]:
    """The whole template is replaced: a merge would keep what the bad revision added. A pause of ours is lifted with
    it in the same write, or the corrected template would wait for ever."""
    return [{"op": "replace", "path": "/spec/template", "value": template}, *pause_steps(paused_by, pause=pause)]


def pause_steps(paused_by: str, *, pause: bool) -> list[dict[str, Any]]:
    """As steps of a JSON patch: lift the pause of that event, or put it back; none without a pause of ours."""
    if not paused_by:
        return []
    annotation = manifests.pointer(("metadata", "annotations", PAUSED_BY))
    if pause:
        return [
            {"op": "add", "path": "/spec/paused", "value": True},
            {"op": "add", "path": annotation, "value": paused_by},
        ]
    return [{"op": "remove", "path": "/spec/paused"}, {"op": "remove", "path": annotation}]
