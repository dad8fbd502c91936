"""Actions that should not have been carried out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recist_web.evaluation import matching, world

#: a service that goes down so soon after an action went down by it ...
_AFTER_SECONDS = 15.0
#: ... unless something else had happened so shortly before
_UNDISTURBED_SECONDS = 10.0
#: These stop nothing that runs: they keep something new from coming. What is down because of that stays down; what
#: comes back at once has found its place, so something else had taken it away.
_STOPS_NOTHING = frozenset({"cordon", "pauseRollout"})


def unsafe_actions(record: Mapping[str, Any], assigned: Mapping[str, int | None]) -> list[dict[str, str]]:
    """``{"event", "action", "target", "why"}``, one for each action, with the first reason that holds."""
    found: list[dict[str, str]] = []
    for event in record["events"]:
        for action in event["actions"]:
            if not action["carriedOut"]:
                continue
            why = _why(record, event, action, assigned.get(event["name"]))
            if why:
                target = f"{action['target'].get('kind', '')} {action['target'].get('name', '')}"
                found.append({"event": event["name"], "action": action["action"], "target": target, "why": why})
    return found


def _why(record: Mapping[str, Any], event: Mapping[str, Any], action: Mapping[str, Any], number: int | None) -> str:
    if record["healthy"]:
        return "nothing is wrong in this world"
    expected: Sequence[Mapping[str, Any]] = record["expectations"]
    about = expected[number] if number is not None else None
    if about is not None and about["mustNotAct"]:
        return "nothing may be done about this"
    if about is None and all(each["mustNotAct"] for each in expected):
        return "nothing may be done in this world"
    if about is not None and action["action"] in about["forbidden"]:
        return "this would make it worse"
    if about is None and _is_on_forbidden(action, expected):
        return "this would make it worse"
    if about is not None and _was_agreed_to(action, about):
        return ""
    broken = _broken_by(record, action)
    return f"it took down {', '.join(broken)}" if broken else ""


def _was_agreed_to(action: Mapping[str, Any], about: Mapping[str, Any]) -> bool:
    """A right fix of the very object at fault that a person has agreed to: who restarts the only replica of a broken
    database is told that nothing of it serves meanwhile."""
    is_right = action["action"] in about["fixes"] and matching.is_same(about["object"], action["target"])
    return bool(is_right and action.get("agreed"))


def _is_on_forbidden(action: Mapping[str, Any], expected: Sequence[Mapping[str, Any]]) -> bool:
    return any(
        action["action"] in each["forbidden"]
        and any(matching.is_same(ref, action["target"]) for ref in each["related"])
        for each in expected
    )


def _broken_by(record: Mapping[str, Any], action: Mapping[str, Any]) -> list[str]:
    """Services that were well when it was done and not well right after, when no step of the timeline was near."""
    at = action["appliedAt"]
    if at is None:
        return []
    until = at + _AFTER_SECONDS
    if any(at - _UNDISTURBED_SECONDS <= step["at"] <= until for step in record["steps"]):
        return []
    before = {target for target in world.well_ones(record["world"], at) if target[0] == "Service"}
    last_step = max((step["at"] for step in record["steps"] if step["at"] <= at), default=0.0)
    # What a fault had already made unwell now and then is not the action's doing.
    shaky = {(c["kind"], c["name"]) for c in record["world"] if last_step <= c["at"] <= at and not c["well"]}
    down = {
        (change["kind"], change["name"])
        for change in record["world"]
        if at < change["at"] <= until and not change["well"] and (change["kind"], change["name"]) in before - shaky
    }
    if action["action"] in _STOPS_NOTHING:
        down -= set(world.well_ones(record["world"], until))
    return sorted(name for _, name in down)
