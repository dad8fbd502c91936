"""Charts as shapes for SVG: coordinates only, drawn by templates/dashboard/insight/. The table behind each says it in
numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from healing.dashboard.insight.numbers import Clock, Numbers, Tally

WIDTH, HEIGHT = 720, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 10, 22
_GRID = 4
#: Nice distances between grid lines, times a power of ten.
_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
#: … and of times, in seconds.
_NICE_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_MOST_LABELS = 8
CLOCK_WIDTH, CLOCK_HEIGHT = 320, 22


@dataclass(frozen=True, slots=True)
class Grid:
    """A horizontal line with what it stands for."""

    y: float
    value: float


@dataclass(frozen=True, slots=True)
class Label:
    """A moment below the drawing."""

    x: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a bar; ``kind`` is its colour's class."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Bars:
    """How events ended, a stack a step."""

    pieces: list[Piece]
    grid: list[Grid]
    labels: list[Label]
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True, slots=True)
class Dot:
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Lines:
    """Median and 95th percentile over time; a step without cases is a gap."""

    p50: list[str]
    p95: list[str]
    dots: list[Dot]
    grid: list[Grid]
    labels: list[Label]
    budget_y: float | None
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True, slots=True)
class ClockBar:
    """One phase: a bar to the median, a thinner one to the 95th percentile, a mark at the budget."""

    clock: Clock
    p50_width: float
    p95_width: float
    budget_x: float
    width: int = CLOCK_WIDTH
    height: int = CLOCK_HEIGHT


#: From the bottom up: what went best first.
STACK: Sequence[tuple[str, Callable[[Tally], int]]] = (
    ("alone", lambda tally: tally.alone),
    ("helped", lambda tally: tally.with_people),
    ("recovered", lambda tally: tally.recovered),
    ("declined", lambda tally: tally.declined),
    ("escalated", lambda tally: tally.escalated + tally.failed),
)


def bars(numbers: Numbers) -> Bars:
    """How events ended, over time."""
    trend = numbers.trend
    top, grid = _scale(max((tally.events for _, tally in trend), default=0), whole=True)
    width = (WIDTH - _LEFT - _RIGHT) / max(1, len(trend))
    gap = min(4.0, width * 0.2)
    pieces = []
    for index, (_, tally) in enumerate(trend):
        below = 0
        for kind, of in STACK:
            count = of(tally)
            if count:
                high, low = _y(below + count, top), _y(below, top)
                x = _LEFT + index * width + gap / 2
                pieces.append(Piece(kind, round(x, 1), round(high, 1), round(width - gap, 1), round(low - high, 1)))
            below += count
    return Bars(pieces, grid, _labels(trend))


def lines(numbers: Numbers, budget_seconds: float) -> Lines:
    """How long healing took, over time."""
    trend = numbers.trend
    highest = max((tally.total.p95 or 0.0 for _, tally in trend), default=0.0)
    top, grid = _scale(highest)
    width = (WIDTH - _LEFT - _RIGHT) / max(1, len(trend))

    def points(which: str) -> list[list[Dot]]:
        runs: list[list[Dot]] = [[]]
        for index, (_, tally) in enumerate(trend):
            value = getattr(tally.total, which)
            if value is None:
                runs.append([])
            else:
                runs[-1].append(Dot(round(_LEFT + (index + 0.5) * width, 1), round(_y(value, top), 1)))
        return [run for run in runs if run]

    medians = points("p50")
    return Lines(
        p50=[_path(run) for run in medians if len(run) > 1],
        p95=[_path(run) for run in points("p95") if len(run) > 1],
        dots=[dot for run in medians for dot in run],
        grid=grid,
        labels=_labels(trend),
        budget_y=round(_y(budget_seconds, top), 1) if highest and budget_seconds <= top else None,
    )


def clock_bars(clocks: Sequence[Clock]) -> list[ClockBar]:
    """Each phase against its budget, all in one scale of shares of the budget."""
    shares = [(clock.spread.p95 or 0.0) / clock.budget_seconds for clock in clocks]
    most = min(4.0, max(1.25, *shares)) if shares else 1.25
    return [
        ClockBar(
            clock,
            p50_width=round(min(1.0, (clock.spread.p50 or 0.0) / clock.budget_seconds / most) * CLOCK_WIDTH, 1),
            p95_width=round(min(1.0, share / most) * CLOCK_WIDTH, 1),
            budget_x=round(CLOCK_WIDTH / most, 1),
        )
        for clock, share in zip(clocks, shares, strict=True)
    ]


def _path(run: list[Dot]) -> str:
    return " ".join(f"{dot.x},{dot.y}" for dot in run)


def _y(value: float, top: float) -> float:
    return HEIGHT - _BOTTOM - value / top * (HEIGHT - _TOP - _BOTTOM)


def _scale(highest: float, *, whole: bool = False) -> tuple[float, list[Grid]]:
    """The value at the top, and lines at round values."""
    if highest <= 0:
        highest = 1.0
    rough = highest / _GRID
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in _NICE if power * nice >= rough * 0.999)
    if whole:
        step = max(1.0, math.ceil(step))
    elif rough > 0.5:
        step = float(next((nice for nice in _NICE_SECONDS if nice >= rough * 0.999), step))
    count = max(1, math.ceil(highest / step - 1e-9))
    top = step * count
    return top, [Grid(round(_y(step * index, top), 1), step * index) for index in range(count + 1)]


def _labels(trend: Sequence[tuple[datetime, Tally]]) -> list[Label]:
    width = (WIDTH - _LEFT - _RIGHT) / max(1, len(trend))
    every = max(1, math.ceil(len(trend) / _MOST_LABELS))
    return [
        Label(round(_LEFT + (index + 0.5) * width, 1), at) for index, (at, _) in enumerate(trend) if index % every == 0
    ]
