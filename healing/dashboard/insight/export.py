"""The same numbers for machines: a JSON document, and a long table (one number a row) as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from healing.dashboard.insight.numbers import Numbers, Tally
from healing.dashboard.insight.percentiles import Spread

_TALLY = ("events", "healed", "alone", "recovered", "declined", "escalated", "failed")
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r")


def document(numbers: Numbers) -> dict[str, Any]:
    """Everything, camelCase; times in UTC, seconds in the names."""
    scope, people, warned = numbers.scope, numbers.people, numbers.warned
    return {
        "from": scope.start,
        "to": scope.end,
        "cluster": scope.cluster,
        "namespace": scope.namespace,
        "step": scope.step,
        "openNow": numbers.open_now,
        "total": {
            **_tally(numbers.all),
            "toldByPeople": numbers.told_by_people,
            "healedByHand": numbers.by_hand,
            "falseAlarms": numbers.false_alarms,
            "fixesPutBack": numbers.undone,
            "undosFailed": numbers.undo_failed,
        },
        "saved": {"minutesPerFix": scope.minutes_per_fix, "hours": round(numbers.saved_hours, 2)},
        "phases": [
            {"phase": c.wound.value, "budgetSeconds": c.budget_seconds, "withinBudget": c.within, **_spread(c.spread)}
            for c in numbers.clocks
        ],
        "trend": [{"at": at, **_tally(tally)} for at, tally in numbers.trend],
        "by": {name: [{"key": tally.key, **_tally(tally)} for tally in rows] for name, rows in numbers.by.items()},
        "approvals": {
            "asked": people.asked,
            "approved": people.approved,
            "overridden": people.overridden,
            "rejected": people.rejected,
            "edited": people.edited,
            "takenOver": people.taken,
            "expired": people.expired,
            "waiting": _spread(people.waiting),
            "disagreements": [
                {
                    "cause": d.cause,
                    "strategy": d.strategy,
                    "decided": d.decided,
                    "overridden": d.overridden,
                    "rejected": d.rejected,
                    "edited": d.edited,
                    "takenOver": d.taken,
                    "lastEvent": d.last.event.name if d.last else None,
                    "lastComment": d.last.comment if d.last else "",
                }
                for d in people.disagreements
            ],
        },
        "forecasts": {
            "cameTrue": warned.came_true,
            "prevented": warned.prevented,
            "wentAway": warned.cleared,
            "dismissed": warned.dismissed,
            "lead": _spread(warned.lead),
        },
    }


def table(numbers: Numbers) -> str:
    """CSV with the columns section, key, measure, value."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(("section", "key", "measure", "value"))
    for row in _rows(document(numbers)):
        writer.writerow([_safe(value) for value in row])
    return out.getvalue()


def _rows(found: dict[str, Any]) -> Iterator[tuple[str, str, str, object]]:
    scope = {"from": found["from"].isoformat(), "to": found["to"].isoformat()}
    sections: list[tuple[str, str, dict[str, Any]]] = [
        ("scope", "", {**scope, "cluster": found["cluster"], "namespace": found["namespace"]}),
        ("total", "", {**found["total"], "openNow": found["openNow"]}),
        ("saved", "", found["saved"]),
        *(("phase", phase["phase"], _without(phase, "phase")) for phase in found["phases"]),
        *((found["step"], point["at"].isoformat(), _without(point, "at")) for point in found["trend"]),
        *((name, row["key"], _without(row, "key")) for name, rows in found["by"].items() for row in rows),
        ("approvals", "", found["approvals"]),
        *(("disagreement", f"{d['cause']} {d['strategy']}", d) for d in found["approvals"]["disagreements"]),
        ("forecasts", "", found["forecasts"]),
    ]
    for section, key, values in sections:
        for measure, value in _flat(values):
            yield section, key, measure, value


def _without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def _flat(values: dict[str, Any]) -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", each) for inner, each in value.items())
        elif not isinstance(value, list):
            yield name, value


def _safe(value: object) -> object:
    """What a spreadsheet would take for a formula is shown as the text it is; nothing stays empty."""
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(_DANGEROUS) else value


def _tally(tally: Tally) -> dict[str, Any]:
    counts = {name: getattr(tally, name) for name in _TALLY}
    counts["healedWithoutPeople"] = counts.pop("alone")
    return {**counts, "healing": _spread(tally.total)}


def _spread(spread: Spread) -> dict[str, Any]:
    return {"n": spread.n, "p50Seconds": _rounded(spread.p50), "p95Seconds": _rounded(spread.p95)}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
