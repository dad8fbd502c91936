"""Metric evidence as small charts, with the fault, the action and the recovery marked.

Reads the ``data`` of metric evidence: ``points`` or ``values`` ([[unix seconds, number], ...]) or ``series`` (a list of
such under ``values``, as Prometheus answers), and optionally ``threshold`` and ``unit``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

from django.utils.translation import gettext as _

from healing.dashboard import words
from healing.dashboard.evidence import EvidenceView
from healing.models import ActionRun, HealingEvent

WIDTH = 320
HEIGHT = 84
_PAD = 6
_MAX_SERIES = 6
_MAX_ROWS = 40
#: Seconds of the year 9000: what is later is not a time.
_LATEST = 221_845_392_000


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment: ``kind`` is fault, action or recovery."""

    kind: str
    label: str
    x: float
    at: datetime

    @property
    def anchor(self) -> str:
        """On which side of its line the label has room."""
        return "end" if self.x > WIDTH * 0.7 else "start"

    @property
    def label_x(self) -> float:
        return self.x - 4 if self.anchor == "end" else self.x + 4


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured at one moment, as text; ``mark`` says what happened since the row before."""

    at: datetime
    values: list[str]
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """Points are in the coordinates of an SVG of `WIDTH` x `HEIGHT`. ``before`` is the middle value until the fault was
    seen (empty: it was there from the first point on), ``worst`` the highest since, ``last`` the newest. ``known_x`` is
    where the measured part ends."""

    title: str
    lines: list[str]
    threshold_y: float | None
    threshold: str
    before: str
    worst: str
    last: str
    table: list[Row]
    known_x: float
    marks: list[Mark]
    start: datetime
    end: datetime
    width: int = WIDTH
    height: int = HEIGHT


Points = list[tuple[float, float]]


def charts(event: HealingEvent, evidence: Iterable[EvidenceView], actions: Sequence[ActionRun]) -> list[Chart]:
    """A chart for each metric evidence that has at least two points."""
    moments = [("fault", _("fault seen"), event.detected_at)]
    moments += [("action", words.action_words(a.action), a.applied_at) for a in actions if a.applied_at is not None]
    if event.healed_at is not None:
        moments.append(("recovery", _("healed"), event.healed_at))
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
        if 0 <= at < _LATEST and math.isfinite(value):
            points.append((at, value))
    return sorted(points)


def _chart(item: EvidenceView, series: list[Points], moments: list[tuple[str, str, datetime]]) -> Chart:
    unit = str(item.data.get("unit", ""))
    limit = _number(item.data.get("threshold"))
    everything = [point for points in series for point in points]
    start, end = min(t for t, _ in everything), max(t for t, _ in everything)
    # What was done and what came of it lies after what the diagnosis has read: the axis goes on to it, the line does
    # not, unless it would leave no room for the line.
    until = max([end] + [t for _, _, at in moments if (t := at.timestamp()) <= end + (end - start)])
    until += (until - end) * 0.08
    high = max([v for _, v in everything] + ([limit] if limit is not None else []))
    low = min(0.0, *(v for _, v in everything))
    span_x, span_y = (until - start) or 1.0, (high - low) or 1.0

    def x(at: float) -> float:
        return round(_PAD + (at - start) / span_x * (WIDTH - 2 * _PAD), 1)

    def y(value: float) -> float:
        return round(HEIGHT - _PAD - (value - low) / span_y * (HEIGHT - 2 * _PAD), 1)

    seen = next((at.timestamp() for kind, _, at in moments if kind == "fault"), end)
    high_line = max(series, key=lambda points: max(v for _, v in points))
    before, worst = _before_and_worst(high_line, seen, limit)
    return Chart(
        title=item.title,
        lines=[" ".join(f"{x(t)},{y(v)}" for t, v in points) for points in series],
        threshold_y=y(limit) if limit is not None else None,
        threshold=quantity(limit, unit) if limit is not None else "",
        before=quantity(before, unit) if before is not None else "",
        worst=quantity(worst, unit),
        last=quantity(high_line[-1][1], unit),
        table=_table(series, unit, moments),
        known_x=x(end),
        marks=[
            Mark(kind, label, x(at.timestamp()), at) for kind, label, at in moments if start <= at.timestamp() <= until
        ],
        start=datetime.fromtimestamp(start, UTC),
        end=datetime.fromtimestamp(until, UTC),
    )


def _before_and_worst(points: Points, seen: float, limit: float | None) -> tuple[float | None, float]:
    """The middle value of what was still good, and the highest. A fault begins before it is seen: where there is a
    threshold, what is above it was not good any more."""
    calm = []
    for at, value in points:
        if at >= seen or (limit is not None and value > limit):
            break
        calm.append(value)
    return (median(calm) if calm else None), max(value for _, value in points)


def _table(series: list[Points], unit: str, moments: list[tuple[str, str, datetime]]) -> list[Row]:
    """The numbers behind the lines, at most `_MAX_ROWS` of them, with what happened in between."""
    at_times = sorted({at for points in series for at, _ in points})
    step = -(-len(at_times) // _MAX_ROWS)
    by_time = [dict(points) for points in series]
    rows: list[Row] = []
    last = float("-inf")
    for index, at in enumerate(at_times):
        if index % step and index != len(at_times) - 1:
            continue
        happened = [label for _, label, moment in moments if last < moment.timestamp() <= at and rows]
        cells = [quantity(values[at], unit) if at in values else "" for values in by_time]
        rows.append(Row(datetime.fromtimestamp(at, UTC), cells, ", ".join(happened)))
        last = at
    return rows


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
