"""Metric queries: numbers over the lines of a window."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from healing.sandbox.signals.logql.errors import LogQLError
from healing.sandbox.signals.logql.nodes import Binary, MetricNode, Number, RangeAggregation, VectorAggregation
from healing.sandbox.signals.promql import binary
from healing.sandbox.signals.promql.aggregations import aggregate, group_key
from healing.sandbox.signals.promql.values import EvaluationFailed, Vector, print_labels, quantile
from healing.sandbox.signals.tsdb import Labels

#: (labels, nanoseconds, value) of every line that a range aggregation looks at
Points = list[tuple[Labels, int, float]]
#: the points of a range aggregation from ``start`` (exclusive) to ``end`` in nanoseconds
Source = Callable[[RangeAggregation, int, int], Points]


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / len(values)


def _counter_increase(values: Sequence[float]) -> float:
    return sum(after - before if after >= before else after for before, after in pairwise(values))


_OVER_TIME: dict[str, Callable[[Sequence[float]], float]] = {
    "count_over_time": lambda values: float(len(values)),
    "bytes_over_time": math.fsum,
    "sum_over_time": math.fsum,
    "avg_over_time": lambda values: math.fsum(values) / len(values),
    "min_over_time": min,
    "max_over_time": max,
    "first_over_time": lambda values: values[0],
    "last_over_time": lambda values: values[-1],
    "stdvar_over_time": _variance,
    "stddev_over_time": lambda values: math.sqrt(_variance(values)),
    "rate": math.fsum,
    "bytes_rate": math.fsum,
    "rate_counter": _counter_increase,
}


def evaluate(node: MetricNode, now_ns: int, source: Source) -> Vector | float:
    """Raises `LogQLError`."""
    try:
        return _evaluate(node, now_ns, source)
    except EvaluationFailed as error:
        raise LogQLError(str(error)) from error


def _evaluate(node: MetricNode, now: int, source: Source) -> Vector | float:
    if isinstance(node, Number):
        return node.value
    if isinstance(node, RangeAggregation):
        return _over_time(node, now, source)
    if isinstance(node, VectorAggregation):
        inner = _evaluate(node.inner, now, source)
        vector: Vector = inner if isinstance(inner, list) else [((), inner)]
        if node.op in ("sort", "sort_desc"):
            return sorted(vector, key=lambda sample: sample[1], reverse=node.op == "sort_desc")
        return aggregate(node.op, vector, by=node.by, names=node.names, param=node.parameter)
    return _binary(node, now, source)


def _binary(node: Binary, now: int, source: Source) -> Vector | float:
    left, right = _evaluate(node.left, now, source), _evaluate(node.right, now, source)
    if isinstance(left, list) and isinstance(right, list):
        if node.op in binary.SET_OPERATORS:
            return binary.set_operation(node.op, left, right, node.matching)
        return binary.vectors(node.op, left, right, node.matching, return_bool=node.return_bool)
    if isinstance(left, list) and not isinstance(right, list):
        return binary.vector_scalar(node.op, left, right, swapped=False, return_bool=node.return_bool)
    if isinstance(right, list) and not isinstance(left, list):
        return binary.vector_scalar(node.op, right, left, swapped=True, return_bool=node.return_bool)
    assert not isinstance(left, list)
    assert not isinstance(right, list)
    return binary.scalars(node.op, left, right)


def _over_time(node: RangeAggregation, now: int, source: Source) -> Vector:
    end = now - round(node.offset_seconds * 1e9)
    start = end - round(node.range_seconds * 1e9)
    series: dict[Labels, list[tuple[int, float]]] = {}
    for labels, time_ns, value in source(node, start, end):
        key = labels if node.by is None else group_key(labels, by=node.by, names=frozenset(node.names))
        series.setdefault(key, []).append((time_ns, value))
    if node.function == "absent_over_time":
        equal = {m.name: m.value for m in node.log.matchers if m.op == "="}
        return [] if series else [(tuple(sorted(equal.items())), 1.0)]
    result: Vector = []
    for labels, points in sorted(series.items()):
        values = [value for _, value in sorted(points, key=lambda point: point[0])]
        if node.function == "quantile_over_time":
            result.append((labels, quantile(node.parameter or 0.0, values)))
            continue
        value = _OVER_TIME[node.function](values)
        is_rate = node.function in ("rate", "bytes_rate", "rate_counter")
        result.append((labels, value / node.range_seconds if is_rate else value))
    return result


def pipeline_error(labels: Labels) -> LogQLError:
    """A metric over lines that a stage could not read is no metric."""
    kind = dict(labels).get("__error__", "")
    return LogQLError(
        f"pipeline error: '{kind}' for series: '{print_labels(labels)}'.\nUse a label filter to intentionally skip "
        f'this error. (e.g | __error__!="{kind}").\nTo skip all potential errors you can match empty errors.(e.g '
        '__error__="")\nThe label filter can also be specified after unwrap. (e.g | unwrap latency | __error__="" )\n'
    )
