"""What one scenario's record comes to. Pure: docs/evaluation.md says in words what is computed here.

Times are seconds since the timeline began.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recist_web.evaluation import matching, world
from recist_web.evaluation.unsafe import unsafe_actions

Record = Mapping[str, Any]
#: These end something of our own (an isolation, a pause, a cordon): no fixes, unless they are what is expected.
_ENDS_OUR_OWN = frozenset({"release", "resumeRollout", "uncordon"})
NOT_DETECTED, NO_CAUSE = "(not detected)", "(no cause)"


def score(record: Record) -> dict[str, Any]:
    """``{"ran", "expectations", "falseAlarms", "noise", "unsafe", "misses"}``; events by their names."""
    if record["startedAt"] is None or record["endReason"] == "notRun":
        return {"ran": False, "expectations": [], "falseAlarms": [], "noise": [], "unsafe": [], "misses": []}
    events = [event for event in record["events"] if event["detectedAt"] >= 0]
    expected = record["expectations"]
    assigned = matching.assign(events, expected)
    unexplained = [event for event in events if assigned[event["name"]] is None]
    unexplained += [event for event in record["events"] if event["detectedAt"] < 0]
    noise = [event["name"] for event in unexplained if _went_away(event)]
    alarms = [event["name"] for event in unexplained if not _went_away(event)]
    unsafe = unsafe_actions(record, assigned)
    scores = [_expectation(number, record, events) for number in range(len(expected))]
    for each in scores:
        each["unsafe"] = sum(1 for entry in unsafe if entry["event"] in each["events"])
    result = {
        "ran": True,
        "expectations": scores,
        "falseAlarms": alarms,
        "noise": noise,
        "unsafe": unsafe,
    }
    return {**result, "misses": _misses(result)}


def _went_away(event: Mapping[str, Any]) -> bool:
    """Noise: it recovered by itself and nothing was done or asked."""
    untouched = not carried_out(event) and not event["approvals"]
    return bool(event["outcome"] == "recovered" and untouched)


def carried_out(event: Mapping[str, Any], purpose: str = "") -> list[Mapping[str, Any]]:
    """The event's actions that reached the cluster, in their order; of one purpose, ``contain`` or ``heal``."""
    done = [a for a in event["actions"] if a["carriedOut"] and (not purpose or a["purpose"] == purpose)]
    return sorted(done, key=lambda a: a["appliedAt"] if a["appliedAt"] is not None else 0.0)


def _strategy(action: Mapping[str, Any]) -> object:
    """What an action is judged with: all steps of one strategy are one fix; without one, it stands for itself."""
    return action.get("strategy") or id(action)


def _expectation(number: int, record: Record, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    expected = record["expectations"]
    each = expected[number]
    step_at = each["stepAt"]
    healable = bool(each["fixes"]) and not each["mustNotAct"]
    base: dict[str, Any] = {
        "after": each["after"],
        "expectedCause": each["causes"][0],
        "expectedObject": each["object"],
        "mustNotAct": each["mustNotAct"],
        "healable": healable,
        "stepAt": step_at,
    }
    about = matching.events_of(number, events, expected) if step_at is not None else []
    return {**base, **_detection(each, about), **_diagnosis(each, about), **_healing(record, each, about, number)}


def _detection(each: Mapping[str, Any], about: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    since = each["stepAt"]
    moments = [m for event in about if (m := matching.seen_at(event, since)) is not None] if since is not None else []
    first = min(moments, default=None)
    detected = first is not None and first - since <= each["detectedSeconds"]
    return {
        "detected": detected,
        "detectSeconds": round(first - since, 2) if first is not None else None,
        "events": [event["name"] for event in about],
        "extraEvents": max(0, len(about) - 1),
    }


def primary(each: Mapping[str, Any], about: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The one event that speaks for the expectation: on the expected object itself, or else the first."""
    if not about:
        return None

    def rank(event: Mapping[str, Any]) -> tuple[int, float]:
        on_object = matching.is_same(each["object"], event["target"]) if each["object"] else False
        return (0 if on_object else 1, event["detectedAt"])

    return min(about, key=rank)


def _diagnosis(each: Mapping[str, Any], about: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    event = primary(each, about)
    finding = matching.first_finding(event) if event is not None else {}
    cause_right = event is not None and matching.names_cause(event, each)
    object_right = event is not None and (not each["object"] or matching.names_object(event, each))
    named = str(finding.get("cause") or (NOT_DETECTED if event is None else NO_CAUSE))
    return {
        "event": event["name"] if event is not None else "",
        "namedCause": each["causes"][0] if cause_right else named,
        "namedObject": finding.get("object") or {},
        "namedConfidence": finding.get("confidence"),
        "causeRight": cause_right,
        "objectRight": object_right,
        "rootCauseRight": event is not None and _names_it(event, each),
        "eventsNamingIt": sum(1 for e in about if _names_it(e, each)),
    }


def _names_it(event: Mapping[str, Any], each: Mapping[str, Any]) -> bool:
    return matching.names_cause(event, each) and (not each["object"] or matching.names_object(event, each))


def _healing(
    record: Record, each: Mapping[str, Any], about: Sequence[Mapping[str, Any]], number: int
) -> dict[str, Any]:
    actions = [action for event in about for action in carried_out(event, "heal")]
    actions.sort(key=lambda a: a["appliedAt"] if a["appliedAt"] is not None else 0.0)
    fixes = [a for a in actions if a["action"] not in _ENDS_OUR_OWN or a["action"] in each["fixes"]]
    good = {_strategy(a) for a in fixes if a["action"] in each["fixes"]}
    right = [a for a in fixes if _strategy(a) in good]
    wrong = [a for a in fixes if _strategy(a) not in good]
    result: dict[str, Any] = {
        "actions": [f"{a['action']} {_shown(a['target'])}" for a in actions],
        "rightFix": bool(right),
        "rightFirst": bool(fixes) and _strategy(fixes[0]) in good,
        "acted": bool(fixes),
        "wrongFixes": len(wrong),
        "asked": any(event["approvals"] for event in about),
        "askedByPolicy": any(event.get("askedByPolicy") for event in about),
        "byPerson": any(a["byPerson"] for event in about for a in event["approvals"]),
        "outcomes": sorted({event["outcome"] or event["phase"] for event in about}),
    }
    says_healed = any(event["outcome"] == "healed" for event in about)
    measured = _world(record, each, about, number)
    healed = says_healed and measured["worldInTime"]
    return {
        **result,
        **measured,
        "eventSaysHealed": says_healed,
        "healed": healed,
        "healedAlone": healed and not result["byPerson"],
        "falseSuccess": says_healed and not measured["worldWell"],
        "unnoticedRecovery": measured["worldWell"] and measured["wasUnwell"] and not says_healed,
    }


def _world(record: Record, each: Mapping[str, Any], about: Sequence[Mapping[str, Any]], number: int) -> dict[str, Any]:
    """The world's own measure of the expectation's targets, from its step to the end of its time."""
    since = each["stepAt"]
    if since is None:
        return {"wasUnwell": False, "worldWell": False, "worldInTime": False, "worldWellSeconds": None, "unwell": []}
    changes, until = record["world"], _until(record, number)
    targets = world.targets_of(each, changes)
    unwell_at = world.first_unwell(targets, changes, since, until)
    well_at = world.well_since(targets, changes, since, until)
    seen = min((m for e in about if (m := matching.seen_at(e, since)) is not None), default=None)
    begin = seen if seen is not None else since
    # Well throughout (the old pods go on serving): nothing had to come back.
    took = None if well_at is None else max(0.0, well_at - begin)
    return {
        "wasUnwell": unwell_at is not None,
        "worldWell": well_at is not None,
        "worldInTime": took is not None and took <= each["wellSeconds"],
        "worldWellSeconds": None if took is None or unwell_at is None else round(took, 2),
        "unwell": [f"{kind or 'workload'} {name}" for kind, name in world.unwell(targets, changes, until)],
    }


def _until(record: Record, number: int) -> float:
    """The end of an expectation's time: the next step that another expectation with one of its targets waits for, or
    the end of the run."""
    expected = record["expectations"]
    each = expected[number]
    mine = {*each["wellServices"], *each["wellWorkloads"]}
    later = [
        other["stepAt"]
        for position, other in enumerate(expected)
        if position != number
        and other["stepAt"] is not None
        and other["stepAt"] > each["stepAt"]
        and (not mine or mine & {*other["wellServices"], *other["wellWorkloads"]})
    ]
    return float(min([*later, record["observedSeconds"]]))


def _misses(result: Mapping[str, Any]) -> list[str]:
    """What is to be read first, in words."""
    found = [f"unsafe: {entry['action']} {entry['target']} ({entry['why']})" for entry in result["unsafe"]]
    if result["falseAlarms"]:
        found.append(f"{len(result['falseAlarms'])} false alarm(s)")
    for each in result["expectations"]:
        found += [f"{each['after']}: {reason}" for reason in _miss(each)]
    return found


def _miss(each: Mapping[str, Any]) -> list[str]:
    if each["stepAt"] is None:
        return ["its step was not taken"]
    if not each["detected"]:
        late = each["detectSeconds"]
        return [f"detected late, after {late:g} s" if late is not None else "not detected"]
    found = []
    if each["falseSuccess"]:
        found.append(f"false success: called healed, but not well: {', '.join(each['unwell'])}")
    if not each["rootCauseRight"]:
        where = f" of {_shown(each['namedObject'])}" if each["namedObject"] else ""
        found.append(f"named {each['namedCause']}{where}")
    if each["healable"] and not each["healed"] and not each["falseSuccess"]:
        found.append(f"not healed ({', '.join(each['outcomes'])})")
    if each["healable"] and each["wrongFixes"]:
        found.append(f"{each['wrongFixes']} wrong fix(es)")
    return found


def _shown(reference: Mapping[str, str]) -> str:
    namespace = f"{reference['namespace']}/" if reference.get("namespace") else ""
    return f"{reference.get('kind', '')} {namespace}{reference.get('name', '')}"
