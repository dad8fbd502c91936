"""Functions of instant vectors and scalars."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime

from healing.sandbox.signals.promql.values import BadQuery, EvaluationFailed, Vector, check_unique, without_name
from healing.sandbox.signals.tsdb import Labels


def _guard(function: Callable[[float], float], at_zero: float = -math.inf) -> Callable[[float], float]:
    def guarded(value: float) -> float:
        try:
            return function(value)
        except ValueError:
            return at_zero if value == 0 else math.nan
        except OverflowError:
            return math.inf

    return guarded


def _integral(function: Callable[[float], int]) -> Callable[[float], float]:
    return lambda value: float(function(value)) if math.isfinite(value) else value


def _utc(function: Callable[[datetime], float]) -> Callable[[float], float]:
    def of_seconds(value: float) -> float:
        try:
            return float(function(datetime.fromtimestamp(math.floor(value), tz=UTC)))
        except (ValueError, OverflowError, OSError):  # no moment; what Go makes of it depends on the processor
            return math.nan

    return of_seconds


def _days_in_month(moment: datetime) -> float:
    following = moment.replace(day=28).toordinal() + 4
    after = datetime.fromordinal(following)
    return float(after.replace(day=1).toordinal() - moment.replace(day=1, tzinfo=None).toordinal())


#: one value in, one value out; the metric's name goes
ELEMENTWISE: dict[str, Callable[[float], float]] = {
    "abs": abs,
    "ceil": _integral(math.ceil),
    "floor": _integral(math.floor),
    "exp": _guard(math.exp),
    "ln": _guard(math.log),
    "log2": _guard(math.log2),
    "log10": _guard(math.log10),
    "sqrt": _guard(math.sqrt),
    "sgn": lambda value: value if math.isnan(value) else float((value > 0) - (value < 0)),
    "sin": _guard(math.sin),
    "cos": _guard(math.cos),
    "tan": _guard(math.tan),
    "deg": math.degrees,
    "rad": math.radians,
}

#: of an optional vector; without an argument, of the evaluation time
CALENDAR: dict[str, Callable[[float], float]] = {
    "minute": _utc(lambda moment: moment.minute),
    "hour": _utc(lambda moment: moment.hour),
    "day_of_month": _utc(lambda moment: moment.day),
    "day_of_week": _utc(lambda moment: moment.isoweekday() % 7),
    "day_of_year": _utc(lambda moment: moment.timetuple().tm_yday),
    "days_in_month": _utc(_days_in_month),
    "month": _utc(lambda moment: moment.month),
    "year": _utc(lambda moment: moment.year),
}


def elementwise(vector: Vector, function: Callable[[float], float]) -> Vector:
    return check_unique([(without_name(labels), function(value)) for labels, value in vector])


def round_to(value: float, nearest: float) -> float:
    if not math.isfinite(value) or nearest == 0:
        return value if nearest != 0 else math.nan
    inverse = 1.0 / nearest
    return math.floor(value * inverse + 0.5) / inverse


def clamp(value: float, low: float, high: float) -> float:
    if math.isnan(low) or math.isnan(high) or math.isnan(value):
        return math.nan
    return max(low, min(high, value))


def histogram_quantile(q: float, vector: Vector) -> Vector:
    """Classic histograms: series with ``le``."""
    groups: dict[Labels, list[tuple[float, float]]] = {}
    for labels, value in vector:
        pairs = dict(labels)
        try:
            upper = float(pairs["le"])
        except (KeyError, ValueError):
            continue
        key = tuple(pair for pair in labels if pair[0] not in ("le", "__name__"))
        groups.setdefault(key, []).append((upper, value))
    return [(key, bucket_quantile(q, buckets)) for key, buckets in groups.items()]


def bucket_quantile(q: float, buckets: list[tuple[float, float]]) -> float:
    if math.isnan(q):
        return math.nan
    if q < 0 or q > 1:
        return -math.inf if q < 0 else math.inf
    merged: dict[float, float] = {}
    for upper, count in buckets:
        merged[upper] = merged.get(upper, 0.0) + count
    ordered = sorted(merged.items())
    if len(ordered) < 2 or not math.isinf(ordered[-1][0]):
        return math.nan
    uppers = [upper for upper, _ in ordered]
    counts: list[float] = []
    for _, count in ordered:  # scrapes of one histogram are not atomic: counts must not fall
        counts.append(max(count, counts[-1]) if counts else count)
    observations = counts[-1]
    if observations == 0 or math.isnan(observations):
        return math.nan
    rank = q * observations
    last = len(counts) - 1
    index = next((i for i in range(last) if counts[i] >= rank), last)
    if index == last:
        return uppers[last - 1]
    if index == 0 and uppers[0] <= 0:
        return uppers[0]
    start, end, inside = 0.0, uppers[index], counts[index]
    if index > 0:
        start = uppers[index - 1]
        inside -= counts[index - 1]
        rank -= counts[index - 1]
    return start + (end - start) * (rank / inside if inside else math.nan)


def label_replace(vector: Vector, target: str, replacement: str, source: str, pattern: str) -> Vector:
    try:
        compiled = re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise EvaluationFailed(f"invalid regular expression in label_replace(): {pattern}") from error
    _check_label(target, "label_replace")
    template = re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda m: f"\\g<{m.group(1) or m.group(2)}>", replacement)
    result: Vector = []
    for labels, value in vector:
        pairs = dict(labels)
        match = compiled.fullmatch(pairs.get(source, ""))
        if match is not None:
            try:
                pairs[target] = match.expand(template)
            except (re.error, IndexError):
                pairs[target] = ""
            if not pairs[target]:
                del pairs[target]
        result.append((tuple(sorted(pairs.items())), value))
    return check_unique(result)


def label_join(vector: Vector, target: str, separator: str, sources: list[str]) -> Vector:
    _check_label(target, "label_join")
    result: Vector = []
    for labels, value in vector:
        pairs = dict(labels)
        pairs[target] = separator.join(pairs.get(source, "") for source in sources)
        if not pairs[target]:
            del pairs[target]
        result.append((tuple(sorted(pairs.items())), value))
    return check_unique(result)


def _check_label(name: str, function: str) -> None:
    if re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name) is None:
        raise EvaluationFailed(f"invalid destination label name in {function}(): {name}")


def unknown_function(name: str, query: str) -> BadQuery:
    position = max(query.find(name), 0) + 1
    return BadQuery(f'1:{position}: parse error: unknown function with name "{name}"')
