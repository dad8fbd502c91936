"""Evaluates a parsed query. Samples are copied out of the store first, so evaluation may run in a thread."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

from healing.sandbox.signals.promql import aggregations, binary, functions, range_functions
from healing.sandbox.signals.promql.nodes import (
    Aggregation,
    At,
    Binary,
    Call,
    Negation,
    Node,
    Number,
    Range,
    Selector,
    String,
    Subquery,
)
from healing.sandbox.signals.promql.parse import parse
from healing.sandbox.signals.promql.values import (
    BadQuery,
    EvaluationFailed,
    RangeSeries,
    Value,
    Vector,
    check_unique,
    without_name,
)
from healing.sandbox.signals.tsdb import Labels, Store, is_stale

LOOKBACK_MS = 5 * 60 * 1000
DEFAULT_STEP_MS = 60 * 1000  # of subqueries: Prometheus' default evaluation interval
#: (labels, times, values) of each series of a selector
Samples = list[tuple[Labels, list[int], list[float]]]


@dataclass(slots=True)
class RangeResult:
    labels: Labels
    times: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


class Query:
    """One query over one time range, with its samples already at hand."""

    def __init__(self, text: str, store: Store, start_ms: int, end_ms: int) -> None:
        self.text = text
        self.expr = parse(text)
        self.start_ms, self.end_ms = start_ms, end_ms
        self._store = store
        self._samples: list[Samples] = []
        self._collect(self.expr, start_ms, end_ms)

    # Collecting: every selector's samples over all the time it may be asked about.

    def _collect(self, node: Node | None, low_ms: int, high_ms: int) -> None:
        if isinstance(node, Selector):
            self._load(node, low_ms, high_ms, LOOKBACK_MS)
        elif isinstance(node, Range):
            self._load(node.selector, low_ms, high_ms, node.range_ms)
        elif isinstance(node, Subquery):
            low, high = self._when(node.at, low_ms), self._when(node.at, high_ms)
            self._collect(node.expr, low - node.range_ms - DEFAULT_STEP_MS, high)
        elif isinstance(node, Call):
            for argument in node.args:
                self._collect(argument, low_ms, high_ms)
        elif isinstance(node, Binary):
            self._collect(node.left, low_ms, high_ms)
            self._collect(node.right, low_ms, high_ms)
        elif isinstance(node, Aggregation):
            self._collect(node.expr, low_ms, high_ms)
            self._collect(node.param, low_ms, high_ms)
        elif isinstance(node, Negation):
            self._collect(node.expr, low_ms, high_ms)

    def _load(self, selector: Selector, low_ms: int, high_ms: int, reach_ms: int) -> None:
        low, high = self._when(selector.at, low_ms) - reach_ms, self._when(selector.at, high_ms)
        selector.slot = len(self._samples)
        self._samples.append([(s.labels, *s.window(low, high)) for s in self._store.select(selector.matchers)])

    def _when(self, at: At, now_ms: int) -> int:
        """The time a selector looks at when the query is at ``now_ms``."""
        if at.kind == "start":
            now_ms = self.start_ms
        elif at.kind == "end":
            now_ms = self.end_ms
        elif at.kind == "fixed":
            now_ms = at.fixed_ms
        return now_ms - at.offset_ms

    # Evaluating

    def at(self, now_ms: int) -> Value:
        return self._eval(self.expr, now_ms)

    def _eval(self, node: Node, now: int) -> Value:
        if isinstance(node, Number | String):
            return node.value
        if isinstance(node, Selector):
            return self._instant(node, now)
        if isinstance(node, Negation):
            value = self._eval(node.expr, now)
            if isinstance(value, list):
                return check_unique([(without_name(labels), -number) for labels, number in value])
            return -float(value)
        if isinstance(node, Binary):
            return self._binary(node, now)
        if isinstance(node, Aggregation):
            return self._aggregate(node, now)
        if isinstance(node, Call):
            return self._call(node, now)
        raise EvaluationFailed("a range vector stands where an instant vector is needed")

    def _instant(self, node: Selector, now: int) -> Vector:
        when = self._when(node.at, now)
        result: Vector = []
        for labels, times, values in self._samples[node.slot]:
            index = bisect_right(times, when) - 1
            if index >= 0 and times[index] >= when - LOOKBACK_MS and not is_stale(values[index]):
                result.append((labels, values[index]))
        return result

    def ranges(self, node: Node, now: int) -> list[RangeSeries]:
        if isinstance(node, Subquery):
            return self._subquery(node, now)
        if not isinstance(node, Range):
            raise EvaluationFailed("expected a range vector")
        selector = node.selector
        end = self._when(selector.at, now)
        start = end - node.range_ms
        result = []
        for labels, times, values in self._samples[selector.slot]:
            low, high = bisect_left(times, start), bisect_right(times, end)
            kept_times, kept = times[low:high], values[low:high]
            if any(math.isnan(value) for value in kept):
                pairs = [(t, v) for t, v in zip(kept_times, kept, strict=True) if not is_stale(v)]
                kept_times, kept = [t for t, _ in pairs], [v for _, v in pairs]
            if kept:
                result.append(RangeSeries(labels, kept_times, kept, start, end))
        return result

    def _subquery(self, node: Subquery, now: int) -> list[RangeSeries]:
        end = self._when(node.at, now)
        start = end - node.range_ms
        step = node.step_ms or DEFAULT_STEP_MS
        found: dict[Labels, RangeSeries] = {}
        first = step * (start // step)
        if first < start:
            first += step
        for moment in range(first, end + 1, step):
            value = self._eval(node.expr, moment)
            vector = value if isinstance(value, list) else [((), float(value))]
            for labels, number in vector:
                series = found.setdefault(labels, RangeSeries(labels, [], [], start, end))
                series.times.append(moment)
                series.values.append(number)
        return list(found.values())

    def _binary(self, node: Binary, now: int) -> Value:
        op, return_bool = node.op, node.return_bool
        left, right = self._eval(node.left, now), self._eval(node.right, now)
        if isinstance(left, list) and isinstance(right, list):
            if op in binary.SET_OPERATORS:
                return binary.set_operation(op, left, right, node.matching)
            return binary.vectors(op, left, right, node.matching, return_bool=return_bool)
        if isinstance(left, list):
            assert not isinstance(right, list)
            return check_unique(binary.vector_scalar(op, left, float(right), swapped=False, return_bool=return_bool))
        if isinstance(right, list):
            return check_unique(binary.vector_scalar(op, right, float(left), swapped=True, return_bool=return_bool))
        return binary.scalars(op, float(left), float(right))

    def _aggregate(self, node: Aggregation, now: int) -> Vector:
        vector = self._vector(node.expr, now)
        param = None if node.param is None else self._eval(node.param, now)
        return aggregations.aggregate(
            node.op, vector, by=node.by, names=node.names, param=None if isinstance(param, list) else param
        )

    def _vector(self, node: Node, now: int) -> Vector:
        value = self._eval(node, now)
        if not isinstance(value, list):
            raise EvaluationFailed("expected an instant vector")
        return value

    def _scalar(self, node: Node, now: int) -> float:
        value = self._eval(node, now)
        if isinstance(value, list):
            raise EvaluationFailed("expected a scalar")
        return float(value)

    def _call(self, node: Call, now: int) -> Value:
        name, args = node.function, node.args
        if name in range_functions.SIMPLE:
            return self._over_range(name, args[0], now)
        if name in ("predict_linear", "quantile_over_time"):
            return self._over_range_with(name, args, now)
        if name == "absent_over_time":
            return [] if self.ranges(args[0], now) else [(_absent_labels(args[0]), 1.0)]
        if name in functions.ELEMENTWISE:
            return functions.elementwise(self._vector(args[0], now), functions.ELEMENTWISE[name])
        if name in functions.CALENDAR:
            vector: Vector = self._vector(args[0], now) if args else [((), now / 1000)]
            return functions.elementwise(vector, functions.CALENDAR[name])
        handler: Callable[[list[Node], int], Value] | None = getattr(self, f"_call_{name}", None)
        if handler is None:
            raise functions.unknown_function(name, self.text)
        return handler(args, now)

    def _over_range(self, name: str, arg: Node, now: int) -> Vector:
        function = range_functions.SIMPLE[name]
        result: Vector = []
        for series in self.ranges(arg, now):
            value = function(series, now)
            if value is not None:
                result.append((series.labels if name == "last_over_time" else without_name(series.labels), value))
        return check_unique(result)

    def _over_range_with(self, name: str, args: list[Node], now: int) -> Vector:
        result: Vector = []
        if name == "predict_linear":
            series_list, parameter = self.ranges(args[0], now), self._scalar(args[1], now)
        else:
            series_list, parameter = self.ranges(args[1], now), self._scalar(args[0], now)
        for series in series_list:
            if name == "predict_linear":
                value = range_functions.predict_linear(series, now, parameter)
            else:
                value = range_functions.quantile_over_time(series, parameter)
            if value is not None:
                result.append((without_name(series.labels), value))
        return check_unique(result)

    def _call_time(self, _args: list[Node], now: int) -> float:
        return now / 1000

    def _call_pi(self, _args: list[Node], _now: int) -> float:
        return math.pi

    def _call_vector(self, args: list[Node], now: int) -> Vector:
        return [((), self._scalar(args[0], now))]

    def _call_scalar(self, args: list[Node], now: int) -> float:
        vector = self._vector(args[0], now)
        return vector[0][1] if len(vector) == 1 else math.nan

    def _call_absent(self, args: list[Node], now: int) -> Vector:
        return [] if self._vector(args[0], now) else [(_absent_labels(args[0]), 1.0)]

    def _call_timestamp(self, args: list[Node], now: int) -> Vector:
        node = args[0]
        if not isinstance(node, Selector):
            return [(without_name(labels), now / 1000) for labels, _ in self._vector(node, now)]
        when = self._when(node.at, now)
        result: Vector = []
        for labels, times, values in self._samples[node.slot]:
            index = bisect_right(times, when) - 1
            if index >= 0 and times[index] >= when - LOOKBACK_MS and not is_stale(values[index]):
                result.append((without_name(labels), times[index] / 1000))
        return check_unique(result)

    def _call_round(self, args: list[Node], now: int) -> Vector:
        nearest = self._scalar(args[1], now) if len(args) > 1 else 1.0
        return functions.elementwise(self._vector(args[0], now), lambda v: functions.round_to(v, nearest))

    def _call_clamp(self, args: list[Node], now: int) -> Vector:
        low, high = self._scalar(args[1], now), self._scalar(args[2], now)
        if low > high:
            return []
        return functions.elementwise(self._vector(args[0], now), lambda v: functions.clamp(v, low, high))

    def _call_clamp_min(self, args: list[Node], now: int) -> Vector:
        low = self._scalar(args[1], now)
        return functions.elementwise(self._vector(args[0], now), lambda v: functions.clamp(v, low, math.inf))

    def _call_clamp_max(self, args: list[Node], now: int) -> Vector:
        high = self._scalar(args[1], now)
        return functions.elementwise(self._vector(args[0], now), lambda v: functions.clamp(v, -math.inf, high))

    def _call_histogram_quantile(self, args: list[Node], now: int) -> Vector:
        return functions.histogram_quantile(self._scalar(args[0], now), self._vector(args[1], now))

    def _call_sort(self, args: list[Node], now: int) -> Vector:
        return sorted(self._vector(args[0], now), key=lambda s: (math.isnan(s[1]), s[1]))

    def _call_sort_desc(self, args: list[Node], now: int) -> Vector:
        return sorted(self._vector(args[0], now), key=lambda s: (math.isnan(s[1]), -s[1]))

    def _call_label_replace(self, args: list[Node], now: int) -> Vector:
        target, replacement, source, pattern = (str(self._eval(arg, now)) for arg in args[1:5])
        return functions.label_replace(self._vector(args[0], now), target, replacement, source, pattern)

    def _call_label_join(self, args: list[Node], now: int) -> Vector:
        target, separator, *sources = (str(self._eval(arg, now)) for arg in args[1:])
        return functions.label_join(self._vector(args[0], now), target, separator, sources)


def _absent_labels(node: Node) -> Labels:
    """Labels that equality matchers tell; ones named twice or matched otherwise are unknown."""
    selector = node.selector if isinstance(node, Range) else node
    if not isinstance(selector, Selector):
        return ()
    named: dict[str, list[tuple[str, str]]] = {}
    for found in selector.matchers:
        if found.name != "__name__":
            named.setdefault(found.name, []).append((found.op, found.value))
    return tuple(sorted((name, ops[0][1]) for name, ops in named.items() if len(ops) == 1 and ops[0][0] == "="))


class Engine:
    """Queries over one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def prepare(self, text: str, start_ms: int, end_ms: int) -> Query:
        """Parse and copy the samples; raises `BadQuery`. Must run where the store is written."""
        return Query(text, self.store, start_ms, end_ms)

    def instant(self, text: str, now_ms: int) -> Value | list[RangeSeries]:
        query = self.prepare(text, now_ms, now_ms)
        if isinstance(query.expr, Range | Subquery):
            return query.ranges(query.expr, now_ms)
        return query.at(now_ms)

    @staticmethod
    def over(query: Query, start_ms: int, end_ms: int, step_ms: int) -> list[RangeResult]:
        """A prepared query at each step; safe in a thread."""
        if isinstance(query.expr, Range | Subquery | String):
            kind = "string" if isinstance(query.expr, String) else "range vector"
            raise BadQuery(f'invalid expression type "{kind}" for range query, must be Scalar or instant Vector')
        found: dict[Labels, RangeResult] = {}
        for now in range(start_ms, end_ms + 1, step_ms):
            value = query.at(now)
            for labels, number in value if isinstance(value, list) else [((), float(value))]:
                series = found.get(labels)
                if series is None:
                    series = found[labels] = RangeResult(labels)
                series.times.append(now)
                series.values.append(number)
        return [found[labels] for labels in sorted(found)]

    def range(self, text: str, start_ms: int, end_ms: int, step_ms: int) -> list[RangeResult]:
        return self.over(self.prepare(text, start_ms, end_ms), start_ms, end_ms, step_ms)
