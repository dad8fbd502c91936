"""How right the named causes are: by cause, and against the confidence they were named with. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recist_web.evaluation.intervals import Proportion

#: Lower edges of the confidence's bins; the last one ends at 1.
EDGES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9)
Expectation = Mapping[str, Any]


def by_cause(expectations: Sequence[Expectation]) -> list[dict[str, Any]]:
    """``{"cause", "faults", "detected", "rootCause"}`` of every expected cause, by its code."""
    found: dict[str, dict[str, int]] = {}
    for each in expectations:
        row = found.setdefault(each["expectedCause"], {"faults": 0, "detected": 0, "rootCause": 0})
        row["faults"] += 1
        row["detected"] += each["detected"]
        row["rootCause"] += each["detected"] and each["rootCauseRight"]
    return [{"cause": cause, **row} for cause, row in sorted(found.items())]


def calibration(expectations: Sequence[Expectation]) -> list[dict[str, Any]]:
    """One row a bin of confidence that has members: ``{"from", "to", "mean", "right"}``; ``right`` is a proportion with
    its interval. Well calibrated: ``mean`` lies within it. Only where something was named."""
    named = [e for e in expectations if e["detected"] and e["namedConfidence"] is not None]
    rows = []
    for low, high in zip(EDGES, (*EDGES[1:], 1.0), strict=True):
        members = [e for e in named if low <= e["namedConfidence"] < high or (high == 1.0 == e["namedConfidence"])]
        if members:
            right = Proportion(sum(1 for e in members if e["rootCauseRight"]), len(members))
            mean = sum(e["namedConfidence"] for e in members) / len(members)
            rows.append({"from": low, "to": high, "mean": round(mean, 3), "right": right.as_json()})
    return rows
