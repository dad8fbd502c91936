"""What the person at the terminal reads while scenarios end, and at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ROWS = (
    ("detected", "detected"),
    ("rootCause", "root cause named"),
    ("healed", "healed"),
    ("healedAlone", "healed without a person"),
    ("rightFirst", "first action was right"),
    ("falseSuccess", "false successes"),
    ("oneEvent", "one event a fault"),
    ("restraint", "held back where nothing may be done"),
    ("healthyQuiet", "healthy worlds left alone"),
    ("scenariosWithUnsafeActions", "worlds with an unsafe action"),
)


def line(record: Mapping[str, Any], score: Mapping[str, Any], number: int, of: int) -> str:
    """One scenario, as it ends."""
    head = f"[{number:>{len(str(of))}}/{of}] {record['name']}"
    if not score["ran"]:
        return f"{head}: could not be run: {record['problem']}"
    if not score["misses"]:
        return f"{head}: {_good(record, score)}"
    return f"{head}: MISS {'; '.join(score['misses'])}"


def _good(record: Mapping[str, Any], score: Mapping[str, Any]) -> str:
    if record["healthy"]:
        noise = f" ({len(score['noise'])} went away by themselves)" if score["noise"] else ""
        return f"left alone{noise}"
    expectations = score["expectations"]
    if all(each["mustNotAct"] for each in expectations):
        return "named, nothing done"
    seconds = [each["worldWellSeconds"] for each in expectations if each["worldWellSeconds"] is not None]
    return f"healed in {max(seconds):.0f} s" if seconds else "healed"


def summary(report: Mapping[str, Any]) -> str:
    """The table at the end: dev, sealed and total side by side."""
    parts = [(name, report["measures"][name]) for name in ("dev", "sealed", "total")]
    lines = [f"{'':<38}" + "".join(f"{name:>22}" for name, _ in parts)]
    for key, title in _ROWS:
        lines.append(f"{title:<38}" + "".join(f"{_cell(m['proportions'][key]):>22}" for _, m in parts))
    for key, title in (("falseAlarms", "false alarms"), ("noise", "noise"), ("unsafeActions", "unsafe actions")):
        lines.append(f"{title:<38}" + "".join(f"{m['counts'][key]:>22}" for _, m in parts))
    times = report["measures"]["total"]["times"]
    lines.append("")
    phases = ("detection", "Containment", "Diagnosis", "MetaCognition", "Knowledge", "total")
    lines += [f"{key:<16}{_time(times[key])}" for key in phases]
    machine = report["machine"]
    if machine:
        lines += ["", f"{machine.get('wallSeconds')} s, CPU {machine.get('cpuShare')}, loops {machine.get('hosts')}"]
    if report["saturated"]:
        lines += ["", report["saturated"]]
    return "\n".join(lines)


def _cell(proportion: Mapping[str, Any]) -> str:
    if not proportion["of"]:
        return "-"
    low, high = proportion["low"], proportion["high"]
    return f"{proportion['count']}/{proportion['of']} [{low:.0%}, {high:.0%}]"


def _time(times: Mapping[str, Any]) -> str:
    if not times["n"]:
        return "-"
    budget = f", budget {times['budgetSeconds']:g} s: {_cell(times['withinBudget'])}" if times["budgetSeconds"] else ""
    return f"p50 {times['p50']:g} s, p95 {times['p95']:g} s, n {times['n']}{budget}"
