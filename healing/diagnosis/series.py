"""Arithmetic on Prometheus series: rates, slopes, change points. No numpy: a few hundred points each."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from healing.ports.metrics import Series

#: Squares of larger values leave the range of floats.
_LARGEST = 1e150

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Shift:
    """A level before and after: ``ratio`` is after / before (inf from zero). ``at``: seconds since the epoch."""

    before: float
    after: float
    at: float

    @property
    def ratio(self) -> float:
        return self.after / self.before if self.before > 0 else (math.inf if self.after > 0 else 1.0)


@dataclass(frozen=True, slots=True)
class Trend:
    """A robust line: ``slope`` per second, ``fit`` 0..1 (share of rises among the moves, weighted by their size)."""

    slope: float
    fit: float
    first: float
    last: float
    seconds: float


def name(series: Series) -> str:
    """The metric's name."""
    return series.labels.get("__name__", "")


def finite(points: Points) -> Points:
    """Without NaN and infinities."""
    return tuple(p for p in points if math.isfinite(p[1]))


def rate(points: Points) -> Points:
    """Per-second increase of a counter between neighbouring points; a fall is a reset and counts from zero."""
    found = []
    for (t0, v0), (t1, v1) in pairwise(points):
        if t1 > t0 and math.isfinite(v0) and math.isfinite(v1):
            found.append((t1, (v1 - v0 if v1 >= v0 else v1) / (t1 - t0)))
    return tuple(found)


def total(many: Iterable[Points]) -> Points:
    """The sum of series at the times they have."""
    sums: dict[float, float] = {}
    for points in many:
        for time, value in points:
            sums[time] = sums.get(time, 0.0) + value
    return tuple(sorted(sums.items()))


def divide(one: Points, other: Points) -> Points:
    """Quotients at common times where the divisor is over zero."""
    divisors = dict(other)
    return tuple((t, v / divisors[t]) for t, v in one if divisors.get(t, 0) > 0)


def split_at_resets(points: Points, drop: float = 0.5) -> list[Points]:
    """Lives of a process: a new one begins where the value falls to less than ``drop`` of what it was."""
    lives: list[list[tuple[float, float]]] = []
    previous = 0.0
    for point in finite(points):
        if not lives or point[1] < previous * drop:
            lives.append([])
        lives[-1].append(point)
        previous = point[1]
    return [tuple(life) for life in lives]


def trend(points: Points) -> Trend | None:
    """Theil-Sen slope and how steadily it goes that way; None for fewer than four points."""
    points = _thinned(finite(points), 60)
    if len(points) < 4:
        return None
    slopes = [(v1 - v0) / (t1 - t0) for i, (t0, v0) in enumerate(points) for t1, v1 in points[i + 1 :] if t1 > t0]
    if not slopes:
        return None
    slope = statistics.median(slopes)
    moves = [v1 - v0 for (_, v0), (_, v1) in pairwise(points)]
    size = sum(abs(move) for move in moves)
    along = sum(move for move in moves if move > 0) if slope > 0 else -sum(move for move in moves if move < 0)
    return Trend(slope, along / size if size else 0.0, points[0][1], points[-1][1], points[-1][0] - points[0][0])


def shift(points: Points, *, recent_points: int = 3) -> Shift | None:
    """The split into before and after that explains the points best; None for fewer than six points.

    After has at least ``recent_points`` points: what happens now has lasted for a while, what is over is not now.
    """
    points = _thinned(finite(points), 120)
    values = [v for _, v in points]
    if len(points) < 6 or max(map(abs, values)) > _LARGEST:
        return None
    best, best_cost = 0, math.inf
    sums, squares = [0.0], [0.0]
    for value in values:
        sums.append(sums[-1] + value)
        squares.append(squares[-1] + value * value)

    def cost(start: int, end: int) -> float:
        count = end - start
        return squares[end] - squares[start] - (sums[end] - sums[start]) ** 2 / count

    for cut in range(3, len(values) - recent_points + 1):
        price = cost(0, cut) + cost(cut, len(values))
        if price < best_cost - 1e-12:
            best, best_cost = cut, price
    if not best:
        return None
    return Shift(statistics.median(values[:best]), statistics.median(values[best:]), points[best][0])


def latest(points: Points, count: int = 3) -> float | None:
    """Median of the last points."""
    values = [v for _, v in finite(points)[-count:]]
    return statistics.median(values) if values else None


def matching(series: Iterable[Series], names: Sequence[str], **labels: str) -> list[Series]:
    """Series with one of the names and all the labels."""
    return [s for s in series if name(s) in names and all(s.labels.get(k) == v for k, v in labels.items())]


def grouped(series: Iterable[Series], key: Callable[[Mapping[str, str]], str]) -> dict[str, list[Series]]:
    """Series by a key made of their labels; those with an empty key are left out."""
    groups: dict[str, list[Series]] = {}
    for one in series:
        label = key(one.labels)
        if label:
            groups.setdefault(label, []).append(one)
    return groups


def _thinned(points: Points, most: int) -> Points:
    """At most so many points: of the older half of them fewer, the newest all, for what is new shows there."""
    if len(points) <= most:
        return points
    newest = most // 2
    older, room = points[:-newest], most - newest
    step = len(older) / room
    return (*(older[min(len(older) - 1, round((i + 1) * step) - 1)] for i in range(room)), *points[-newest:])
