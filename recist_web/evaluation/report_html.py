"""The report as one web page that needs nothing else: no script, no other file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

from healing.diagnosis.catalogue import CAUSES
from recist_web.evaluation import texts

_TOKENS = "static/css/tokens.css"
_SPLITS = ("dev", "sealed", "total")
_TIMELINE_SHOWN = 14


def render(report: Mapping[str, Any]) -> str:
    """HTML of the document that `recist_web.evaluation.report.build` makes."""
    tokens = (settings.BASE_DIR / _TOKENS).read_text(encoding="utf-8")
    scenarios = [_scenario(s) for s in report["scenarios"]]
    misses = [s for s in scenarios if s["misses"]]
    return render_to_string(
        "evaluation/report.html",
        {
            "tokens": mark_safe(tokens),  # noqa: S308 - our own file
            "report": report,
            "run": report["run"],
            "machine": report["machine"],
            "splits": [(split, report["measures"][split]["scenarios"]) for split in _SPLITS],
            "headlines": [_measure_row(report, *row) for row in texts.PROPORTIONS if row[0] in texts.HEADLINES],
            "unsafe": report["measures"]["total"]["counts"]["unsafeActions"],
            "measures": [_measure_row(report, *row) for row in texts.PROPORTIONS],
            "counts": [_count_row(report, *row) for row in texts.COUNTS],
            "times": [_time_row(report, *row) for row in texts.TIMES],
            "misses": [s for s in misses if s["split"] == "dev"],
            "sealed_misses": [s for s in misses if s["split"] == "sealed"],
            "not_run": [s for s in report["scenarios"] if not s["score"]["ran"]],
            "scenarios": scenarios,
            "families": _families(report),
            "calibration": [_calibration_row(row) for row in report["measures"]["total"]["calibration"]],
            "confusion": _confusion(report),
            "confused": [c for c in report["measures"]["total"]["confusion"] if c["expected"] != c["named"]],
        },
    )


def _measure_row(report: Mapping[str, Any], key: str, title: str, meaning: str, better: str) -> dict[str, Any]:
    cells = []
    for split in _SPLITS:
        found = report["measures"][split]["proportions"][key]
        share = found["proportion"]
        cells.append(
            {
                "count": found["count"],
                "of": found["of"],
                "percent": None if share is None else round(100 * share),
                "low": round(100 * found["low"], 1),
                "high": round(100 * found["high"], 1),
                "span": round(100 * (found["high"] - found["low"]), 1),
                "at": None if share is None else round(100 * share, 1),
            }
        )
    return {"title": title, "meaning": meaning, "better": better, "cells": cells}


def _count_row(report: Mapping[str, Any], key: str, title: str, meaning: str) -> dict[str, Any]:
    return {
        "title": title,
        "meaning": meaning,
        "cells": [report["measures"][split]["counts"][key] for split in _SPLITS],
    }


def _time_row(report: Mapping[str, Any], key: str, title: str, meaning: str) -> dict[str, Any]:
    found = report["measures"]["total"]["times"][key]
    budget = found["budgetSeconds"]
    # The bar's scale: the budget stands at two thirds, so that what is over it still shows.
    scale = 1.5 * budget if budget else max(found["p95"] or 0.0, 1.0)

    def width(seconds: float | None) -> float:
        return round(min(100.0, 100 * (seconds or 0.0) / scale), 1)

    return {
        "title": title,
        "meaning": meaning,
        "found": found,
        "p50_width": width(found["p50"]),
        "p95_width": width(found["p95"]),
        "budget_at": width(budget) if budget else None,
        "over": bool(budget and (found["p95"] or 0.0) > budget),
        "far_over": bool(budget and (found["p50"] or 0.0) > budget),
    }


def _scenario(s: Mapping[str, Any]) -> dict[str, Any]:
    score = s["score"]
    events = {event["name"]: event for event in s["events"]}
    false_alarms = [events[name] for name in score["falseAlarms"]]
    return {
        "name": s["name"],
        "title": s["title"],
        "family": s["family"],
        "split": s["split"],
        "ran": score["ran"],
        "problem": s["problem"],
        "healthy": s["healthy"],
        "misses": score["misses"],
        "result": texts.result(s),
        "good": score["ran"] and not score["misses"],
        "expectations": [
            {
                **e,
                "expected": _of(e["expectedCause"], e["expectedObject"]),
                "named": _of(e["namedCause"], e["namedObject"]),
            }
            for e in score["expectations"]
        ],
        "false_alarms": [_event(event) for event in false_alarms],
        "noise": [_event(events[name]) for name in score["noise"]],
        "unsafe": score["unsafe"],
        "events": [_event(event) for event in s["events"]],
        "detect_seconds": [e["detectSeconds"] for e in score["expectations"] if e["detectSeconds"] is not None],
    }


def _of(cause: str, where: Mapping[str, str]) -> str:
    return f"{cause} of {texts.reference(where)}" if where else cause


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    finding = event["findings"][0] if event["findings"] else None
    return {
        "name": event["name"],
        "path": f"/events/{event['name']}/",
        "target": texts.reference(event["target"]),
        "symptom": event["symptom"],
        "at": event["detectedAt"],
        "named": _of(finding["cause"], finding["object"]) if finding else "nothing",
        "end": event["outcome"] or event["phase"],
        "timeline": event["timeline"][:_TIMELINE_SHOWN],
        "more": max(0, len(event["timeline"]) - _TIMELINE_SHOWN),
    }


def _calibration_row(row: Mapping[str, Any]) -> dict[str, Any]:
    right = row["right"]
    return {
        "low": round(100 * row["from"]),
        "high": round(100 * row["to"]),
        "mean": round(100 * row["mean"]),
        "right": texts.share(right),
        "fits": right["low"] <= row["mean"] <= right["high"],
    }


def _families(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, **row} for name, row in report["measures"]["total"]["families"].items()]


def _confusion(report: Mapping[str, Any]) -> dict[str, Any]:
    """Families against families: so many causes in a matrix could not be read."""
    counts: dict[tuple[str, str], int] = {}
    for entry in report["measures"]["total"]["confusion"]:
        right = entry["expected"] == entry["named"]
        expected = _family(entry["expected"])
        named = "right" if right else _family(entry["named"])
        counts[expected, named] = counts.get((expected, named), 0) + entry["count"]
    rows = sorted({expected for expected, _ in counts})
    columns = ["right", *sorted({named for _, named in counts} - {"right"})]
    most = max(counts.values(), default=1)
    return {
        "columns": columns,
        "rows": [
            {
                "name": row,
                "cells": [_cell(counts.get((row, column), 0), most, right=column == "right") for column in columns],
            }
            for row in rows
        ],
    }


def _cell(count: int, most: int, *, right: bool) -> dict[str, Any]:
    return {"count": count, "right": right, "strength": round(15 + 70 * count / most) if count else 0}


def _family(code: str) -> str:
    return CAUSES[code].family if code in CAUSES else code
