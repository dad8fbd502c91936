"""``sum by (...)`` and its relatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from healing.sandbox.signals.promql.values import BadQuery, EvaluationFailed, Vector, format_value, quantile
from healing.sandbox.signals.tsdb import Labels


def group_key(labels: Labels, *, by: bool, names: frozenset[str]) -> Labels:
    if by:
        return tuple(pair for pair in labels if pair[0] in names)
    return tuple(pair for pair in labels if pair[0] not in names and pair[0] != "__name__")


def _avg(values: Sequence[float]) -> float:
    mean = 0.0
    for count, value in enumerate(values, start=1):
        if math.isinf(mean) and (math.isinf(value) or math.isnan(value)):
            if math.isnan(value) or (value > 0) != (mean > 0):
                return math.nan
            continue
        if math.isinf(mean):
            continue
        mean += value / count - mean / count
    return mean


def _extreme(values: Sequence[float], *, largest: bool) -> float:
    numbers = [value for value in values if not math.isnan(value)]
    return (max if largest else min)(numbers) if numbers else math.nan


def _variance(values: Sequence[float]) -> float:
    # the first is taken as it is: one infinity alone has no variance, as in Prometheus
    mean, total = values[0], 0.0
    for count, value in enumerate(values[1:], start=2):
        offset = value - mean
        mean += offset / count
        total += offset * (value - mean)
    return total / len(values)


_PLAIN: dict[str, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "avg": _avg,
    "min": lambda values: _extreme(values, largest=False),
    "max": lambda values: _extreme(values, largest=True),
    "count": lambda values: float(len(values)),
    "group": lambda _values: 1.0,
    "stdvar": _variance,
    "stddev": lambda values: math.sqrt(_variance(values)),
}


def aggregate(op: str, vector: Vector, *, by: bool, names: Sequence[str], param: float | str | None = None) -> Vector:
    """``by=False`` with ``names`` is ``without``; no grouping at all is ``by ()``."""
    chosen = frozenset(names)
    groups: dict[Labels, list[tuple[Labels, float]]] = {}
    for labels, value in vector:
        groups.setdefault(group_key(labels, by=by, names=chosen), []).append((labels, value))
    plain = _PLAIN.get(op)
    if plain is not None:
        return [(key, plain([value for _, value in members])) for key, members in groups.items()]
    if op in ("topk", "bottomk"):
        return _ranked(op, groups, _count_parameter(param))
    if op == "quantile":
        q = float(param) if isinstance(param, float | int) else math.nan
        return [(key, quantile(q, [value for _, value in members])) for key, members in groups.items()]
    if op == "count_values":
        return _count_values(groups, str(param))
    raise BadQuery(f'1:1: parse error: unknown aggregation "{op}"')


def _count_parameter(param: float | str | None) -> int:
    if not isinstance(param, float | int) or math.isnan(param):
        raise EvaluationFailed("Scalar value NaN overflows int64")
    if abs(param) > 2**63:
        raise EvaluationFailed(f"Scalar value {param} overflows int64")
    return int(param)


def _ranked(op: str, groups: dict[Labels, list[tuple[Labels, float]]], k: int) -> Vector:
    if k < 1:
        return []
    result: Vector = []
    for members in groups.values():
        # NaN is last both ways
        sign = -1 if op == "topk" else 1
        ordered = sorted(members, key=lambda sample: (math.isnan(sample[1]), sign * sample[1]))
        result.extend(ordered[:k])
    return result


def _count_values(groups: dict[Labels, list[tuple[Labels, float]]], label: str) -> Vector:
    counts: dict[Labels, float] = {}
    for key, members in groups.items():
        for _, value in members:
            pairs = dict(key) | {label: format_value(value)}
            labels = tuple(sorted(pairs.items()))
            counts[labels] = counts.get(labels, 0.0) + 1
    return list(counts.items())
