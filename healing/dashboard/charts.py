"""Metric evidence as small charts, with the fault, the action and the recovery marked.

Reads the ``data`` of metric evidence: ``points`` or ``values`` ([[unix seconds, number], ...]) or ``series`` (a list of
such under ``values``, as Prometheus answers), and optionally ``threshold`` and ``unit``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from healing.dashboard.evidence import EvidenceView
from healing.models import ActionRun, HealingEvent, PhaseRun

WIDTH = 320
HEIGHT = 84
_PAD = 6
_MAX_SERIES = 6


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment: ``kind`` is fault, action or recovery."""

    kind: str
    label: str
    x: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Points are in the coordinates of an SVG of `WIDTH` x `HEIGHT`; first and last as numbers for the text."""

    title: str
    lines: list[str]
    threshold_y: float | None
    threshold: str
    first: str
    last: str
    highest: str
    marks: list[Mark]
    start: datetime
    end: datetime
    width: int = WIDTH
    height: int = HEIGHT


Points = list[tuple[float, float]]


def charts(
    event: HealingEvent, evidence: Iterable[EvidenceView], runs: Sequence[PhaseRun], actions: Sequence[ActionRun]
) -> list[Chart]:
    """A chart for each metric evidence that has at least two points."""
    moments = [("fault", "fault seen", event.detected_at)]
    moments += [("action", a.action, a.applied_at) for a in actions if a.applied_at is not None]
    if event.healed_at is not None:
        moments.append(("recovery", "healed", event.healed_at))
    found = []
    for item in evidence:
        series = _series(item.data)
        if item.kind == "metric" and series:
            found.append(_chart(item, series, moments))
    return found


def _series(data: dict[str, Any]) -> list[Points]:
    raw = data.get("series")
    lists = (
        [s.get("values") for s in raw if isinstance(s, dict)]
        if isinstance(raw, list)
        else [data.get("points") or data.get("values")]
    )
    parsed = [_points(values) for values in lists if isinstance(values, list)]
    return [points for points in parsed if len(points) > 1][:_MAX_SERIES]


def _points(values: list[Any]) -> Points:
    points: Points = []
    for pair in values:
        try:
            at, value = float(pair[0]), float(pair[1])
        except (TypeError, ValueError, IndexError, KeyError):
            continue
        if math.isfinite(at) and math.isfinite(value):
            points.append((at, value))
    return sorted(points)


def _chart(item: EvidenceView, series: list[Points], moments: list[tuple[str, str, datetime]]) -> Chart:
    unit = str(item.data.get("unit", ""))
    limit = _number(item.data.get("threshold"))
    everything = [point for points in series for point in points]
    start, end = min(t for t, _ in everything), max(t for t, _ in everything)
    high = max([v for _, v in everything] + ([limit] if limit is not None else []))
    low = min(0.0, *(v for _, v in everything))
    span_x, span_y = (end - start) or 1.0, (high - low) or 1.0

    def x(at: float) -> float:
        return round(_PAD + (at - start) / span_x * (WIDTH - 2 * _PAD), 1)

    def y(value: float) -> float:
        return round(HEIGHT - _PAD - (value - low) / span_y * (HEIGHT - 2 * _PAD), 1)

    marks = [Mark(k, label, x(at.timestamp())) for k, label, at in moments if start <= at.timestamp() <= end]
    last = max(series, key=lambda points: points[-1][1])
    return Chart(
        title=item.title,
        lines=[" ".join(f"{x(t)},{y(v)}" for t, v in points) for points in series],
        threshold_y=y(limit) if limit is not None else None,
        threshold=quantity(limit, unit) if limit is not None else "",
        first=quantity(last[0][1], unit),
        last=quantity(last[-1][1], unit),
        highest=quantity(max(v for _, v in everything), unit),
        marks=marks,
        start=datetime.fromtimestamp(start, UTC),
        end=datetime.fromtimestamp(end, UTC),
    )


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def quantity(value: float, unit: str) -> str:
    """A value in its unit: ``312 MiB``, ``48 %``, ``230 ms``."""
    match unit:
        case "bytes":
            for name, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
                if abs(value) >= size:
                    return f"{value / size:.3g} {name}"
            return f"{value:.0f} B"
        case "fraction" | "ratio":
            return f"{value * 100:.3g} %"
        case "seconds":
            return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
        case "milliseconds":
            return f"{value:.3g} ms"
        case _:
            return f"{value:.4g} {unit}".strip()
