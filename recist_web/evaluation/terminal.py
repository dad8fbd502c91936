"""What the person at the terminal reads while scenarios end, and at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recist_web.evaluation import texts

_COUNTS = ("falseAlarms", "noise", "unsafeActions", "wrongFixes")
_TIMES = ("detection", "Containment", "Diagnosis", "MetaCognition", "Knowledge", "total")


def line(record: Mapping[str, Any], score: Mapping[str, Any], number: int, of: int, *, show_sealed: bool) -> str:
    """One scenario, as it ends; what went wrong with a sealed one only if ``show_sealed``."""
    head = f"[{number:>{len(str(of))}}/{of}] {record['name']}"
    if not score["ran"]:
        return f"{head}: could not be run: {record['problem']}"
    if not score["misses"]:
        return f"{head}: {texts.result({**record, 'score': score})}"
    if record["split"] == "sealed" and not show_sealed:
        return f"{head}: MISS (sealed)"
    return f"{head}: MISS {'; '.join(score['misses'])}"


def summary(report: Mapping[str, Any]) -> str:
    """The table at the end: dev, sealed and total side by side."""
    parts = [(name, report["measures"][name]) for name in ("dev", "sealed", "total")]
    lines = [f"{'':<38}" + "".join(f"{name:>22}" for name, _ in parts)]
    for key, title, _, _ in texts.PROPORTIONS:
        lines.append(f"{title:<38}" + "".join(f"{_cell(m['proportions'][key]):>22}" for _, m in parts))
    for key, title, _ in texts.COUNTS:
        if key in _COUNTS:
            lines.append(f"{title:<38}" + "".join(f"{m['counts'][key]:>22}" for _, m in parts))
    times = report["measures"]["total"]["times"]
    lines.append("")
    lines += [f"{key:<16}{_time(times[key])}" for key in _TIMES]
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
