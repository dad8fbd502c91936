"""The scores of many scenarios in sums: proportions with their intervals, times with their quantiles. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from healing.lifecycle import BUDGET_SECONDS
from recist_web.evaluation import accuracy
from recist_web.evaluation.intervals import Proportion, Times

#: A scenario's record with its score under ``score``.
Scored = Mapping[str, Any]
TOTAL_BUDGET_SECONDS = 60.0


def measure(scored: Sequence[Scored]) -> dict[str, Any]:
    """All measures of these scenarios, as JSON; docs/evaluation.md defines each."""
    ran = [s for s in scored if s["score"]["ran"]]
    expectations = [e for s in ran for e in s["score"]["expectations"]]
    healthy = [s for s in ran if s["healthy"]]
    healable = [e for e in expectations if e["healable"]]
    detected = [e for e in expectations if e["detected"]]
    acted = [e for e in healable if e["acted"]]
    allowed = [e for e in healable if not e["askedByPolicy"]]
    restrained = [e for e in expectations if e["mustNotAct"]]
    minutes = sum(s["observedSeconds"] for s in healthy) / 60
    alarms = sum(len(s["score"]["falseAlarms"]) for s in healthy)
    return {
        "scenarios": {
            "all": len(scored),
            "ran": len(ran),
            "healthy": len(healthy),
            "expectations": len(expectations),
            "healable": len(healable),
            "mustNotAct": len(restrained),
        },
        "proportions": {
            "clean": _share(ran, lambda s: not s["score"]["misses"]),
            "detected": _share(expectations, lambda e: e["detected"]),
            "rootCause": _share(expectations, lambda e: e["detected"] and e["rootCauseRight"]),
            "rootCauseOfDetected": _share(detected, lambda e: e["rootCauseRight"]),
            "causeOnly": _share(expectations, lambda e: e["detected"] and e["causeRight"]),
            "objectOnly": _share(expectations, lambda e: e["detected"] and e["objectRight"]),
            "healed": _share(healable, lambda e: e["healed"]),
            "healedAlone": _share(healable, lambda e: e["healedAlone"]),
            "healedAloneWhereAllowed": _share(allowed, lambda e: e["healedAlone"]),
            "rightFix": _share(acted, lambda e: e["rightFix"]),
            "rightFirst": _share(acted, lambda e: e["rightFirst"]),
            "falseSuccess": _share([e for e in expectations if e["eventSaysHealed"]], lambda e: e["falseSuccess"]),
            "oneEvent": _share(detected, lambda e: e["extraEvents"] == 0),
            "restraint": _share(restrained, lambda e: not e["unsafe"]),
            "healthyQuiet": _share(healthy, lambda s: not s["score"]["falseAlarms"] and not s["score"]["unsafe"]),
            "scenariosWithUnsafeActions": _share(ran, lambda s: bool(s["score"]["unsafe"])),
            "scenariosWithFalseAlarms": _share(ran, lambda s: bool(s["score"]["falseAlarms"])),
        },
        "counts": {
            "falseAlarms": sum(len(s["score"]["falseAlarms"]) for s in ran),
            "falseAlarmsInHealthy": alarms,
            "healthyMinutes": round(minutes, 2),
            "falseAlarmsPerHealthyMinute": round(alarms / minutes, 3) if minutes else None,
            "noise": sum(len(s["score"]["noise"]) for s in ran),
            "unsafeActions": sum(len(s["score"]["unsafe"]) for s in ran),
            "wrongFixes": sum(e["wrongFixes"] for e in healable),
            "falseSuccesses": sum(1 for e in expectations if e["falseSuccess"]),
            "unnoticedRecoveries": sum(1 for e in healable if e["unnoticedRecovery"]),
            "extraEvents": sum(e["extraEvents"] for e in detected),
            "asked": sum(1 for e in healable if e["asked"]),
        },
        "times": _times(ran, expectations),
        "families": _families(ran),
        "causes": accuracy.by_cause(expectations),
        "calibration": accuracy.calibration(expectations),
        "confusion": _confusion(expectations),
    }


def _share(items: Sequence[Any], holds: Callable[[Any], bool]) -> dict[str, Any]:
    return Proportion(sum(1 for item in items if holds(item)), len(items)).as_json()


def _times(ran: Sequence[Scored], expectations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of the events that belong to an expectation; the clocks are the dashboard's, without waiting for people."""
    events = [event for s in ran for event in s["events"] if event["name"] in _explained(s)]
    ended = [event for event in events if event["finishedAt"] is not None]
    result: dict[str, Any] = {
        "detection": Times(tuple(e["detectSeconds"] for e in expectations if e["detected"])).as_json()
    }
    for wound, budget in BUDGET_SECONDS.items():
        seconds = tuple(e["phaseSeconds"][wound] for e in ended if wound in e["phaseSeconds"])
        result[str(wound)] = Times(seconds, budget).as_json()
    for part in ("Planning", "Healing", "Verifying"):
        seconds = tuple(e["runSeconds"][part] for e in events if part in e.get("runSeconds", {}))
        result[part.lower()] = Times(seconds).as_json()
    for part in ("others", "cluster"):
        result[part] = Times(tuple(e[f"{part}Seconds"] for e in ended)).as_json()
    healed = tuple(e["healingSeconds"] for e in events if e["outcome"] == "healed")
    result["total"] = Times(healed, TOTAL_BUDGET_SECONDS).as_json()
    result["worldWell"] = Times(
        tuple(e["worldWellSeconds"] for e in expectations if e["healed"] and e["worldWellSeconds"] is not None)
    ).as_json()
    return result


def _explained(scored: Scored) -> set[str]:
    return {name for e in scored["score"]["expectations"] for name in e["events"]}


def _families(ran: Sequence[Scored]) -> dict[str, Any]:
    """By kind of scenario: how many expectations, and how many of them went how."""
    found: dict[str, dict[str, int]] = {}
    for s in ran:
        row = found.setdefault(s["family"], dict.fromkeys(_FAMILY_COLUMNS, 0))
        row["scenarios"] += 1
        row["clean"] += not s["score"]["misses"]
        row["falseAlarms"] += len(s["score"]["falseAlarms"])
        row["unsafe"] += len(s["score"]["unsafe"])
        for e in s["score"]["expectations"]:
            row["expectations"] += 1
            row["detected"] += e["detected"]
            row["rootCause"] += e["detected"] and e["rootCauseRight"]
            row["healable"] += e["healable"]
            row["healed"] += e["healable"] and e["healed"]
    return dict(sorted(found.items()))


_FAMILY_COLUMNS = (
    "scenarios", "clean", "expectations", "detected", "rootCause", "healable", "healed", "falseAlarms", "unsafe",
)  # fmt: skip


def _confusion(expectations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """``{"expected", "named", "count"}``; a cause that was named rightly stands under the expected one."""
    counts: dict[tuple[str, str], int] = {}
    for each in expectations:
        named = each["namedCause"] if each["detected"] else "(not detected)"
        key = (each["expectedCause"], named)
        counts[key] = counts.get(key, 0) + 1
    return [{"expected": e, "named": n, "count": c} for (e, n), c in sorted(counts.items())]
