"""Which event belongs to which expectation. Pure: works on the record alone, so that anybody can do it again.

Times are seconds since the timeline began.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Event = Mapping[str, Any]
Expected = Mapping[str, Any]
#: kinds whose names are their owner's name and something more
_OWNED = frozenset({"Pod", "ReplicaSet", "Job", "ControllerRevision"})


def is_same(expected: Mapping[str, str], found: Mapping[str, str]) -> bool:
    """Whether a reference matches: what is empty in ``expected`` matches everything; a pod or ReplicaSet matches the
    workload it is of."""
    if not found or not expected:
        return False
    if expected.get("namespace") and expected["namespace"] != found.get("namespace", ""):
        return False
    if expected["kind"] == found["kind"]:
        return not expected.get("name") or expected["name"] == found["name"]
    owned = found["kind"] in _OWNED and expected["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
    return owned and bool(expected.get("name")) and found["name"].startswith(f"{expected['name']}-")


def first_finding(event: Event) -> Mapping[str, Any]:
    """``{"cause", "object"}`` of what it named first; empty when it named nothing."""
    findings: Sequence[Mapping[str, Any]] = event.get("findings") or ()
    return findings[0] if findings else {}


def names_object(event: Event, expected: Expected) -> bool:
    return is_same(expected.get("object") or {}, first_finding(event).get("object") or {})


def names_cause(event: Event, expected: Expected) -> bool:
    return first_finding(event).get("cause") in expected["causes"]


def closeness(event: Event, expected: Expected) -> int:
    """How clearly the event is about the expectation; 0: not at all."""
    target, subject = event.get("target") or {}, event.get("subject") or {}
    names = names_object(event, expected)
    if is_same(expected.get("object") or {}, target) or is_same(expected.get("object") or {}, subject):
        return 5 if names else 4
    if names:
        return 3
    if any(is_same(each, target) or is_same(each, subject) for each in expected["related"]):
        return 2 if names_cause(event, expected) else 1
    return 0


def seen_at(event: Event, since: float) -> float | None:
    """When the event was opened, or else first heard anything new, at or after ``since``."""
    moments = [event["detectedAt"], *(signal["at"] for signal in event.get("signals") or ())]
    later = [moment for moment in moments if moment >= since]
    return min(later) if later else None


def assign(events: Sequence[Event], expected: Sequence[Expected]) -> dict[str, int | None]:
    """Event name -> position of the expectation it belongs to; None: no expectation explains it.

    Of several the one it is closest to; of equals, the one whose step was the last before the event.
    """
    found: dict[str, int | None] = {}
    for event in events:
        best: tuple[int, float, int] | None = None
        for number, each in enumerate(expected):
            if each["stepAt"] is None or seen_at(event, each["stepAt"]) is None:
                continue
            close = closeness(event, each)
            if close:
                best = max(best or (0, 0.0, -1), (close, each["stepAt"], number))
        found[event["name"]] = best[2] if best is not None else None
    return found


def events_of(number: int, events: Sequence[Event], expected: Sequence[Expected]) -> list[Event]:
    """The events of one expectation: its own; if it has none, those of others that are about it as well (two faults
    of one workload are one event)."""
    assigned = assign(events, expected)
    own = [event for event in events if assigned[event["name"]] == number]
    if own:
        return own
    each = expected[number]
    if each["stepAt"] is None:
        return []
    return [event for event in events if closeness(event, each) and seen_at(event, each["stepAt"]) is not None]
