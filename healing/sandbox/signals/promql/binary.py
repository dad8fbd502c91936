"""Operators between scalars and vectors, with ``on``, ``ignoring``, ``group_left`` and ``group_right``."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from healing.sandbox.signals.promql.values import EvaluationFailed, Vector, print_labels, without_name
from healing.sandbox.signals.tsdb import Labels

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
SET_OPERATORS = ("and", "or", "unless")
#: Prometheus 2 leaves the metric's name on the result of this one
_KEEPS_NAME = "atan2"


@dataclass(frozen=True, slots=True)
class Matching:
    card: Literal["one-to-one", "many-to-one", "one-to-many", "many-to-many"] = "one-to-one"
    on: bool = False
    labels: frozenset[str] = frozenset()
    include: tuple[str, ...] = ()

    def signature(self, labels: Labels) -> Labels:
        if self.on:
            return tuple(pair for pair in labels if pair[0] in self.labels)
        return tuple(pair for pair in labels if pair[0] not in self.labels and pair[0] != "__name__")


def divide(left: float, right: float) -> float:
    if right == 0:
        if left == 0 or math.isnan(left):
            return math.nan
        return math.copysign(math.inf, left) * math.copysign(1.0, right)
    return left / right


def modulo(left: float, right: float) -> float:
    if right == 0 or math.isinf(left) or math.isnan(right):
        return math.nan
    return math.fmod(left, right)


def power(left: float, right: float) -> float:
    try:
        return math.pow(left, right)
    except OverflowError:
        return -math.inf if left < 0 and right % 2 == 1 else math.inf
    except ValueError:
        return math.inf if left == 0 else math.nan


ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": divide,
    "%": modulo,
    "^": power,
    "atan2": math.atan2,
}


def scalars(op: str, left: float, right: float) -> float:
    if op in COMPARISONS:
        return 1.0 if COMPARISONS[op](left, right) else 0.0
    return ARITHMETIC[op](left, right)


def vector_scalar(op: str, vector: Vector, scalar: float, *, swapped: bool, return_bool: bool) -> Vector:
    """``swapped``: the scalar stands on the left."""
    result: Vector = []
    compare = COMPARISONS.get(op)
    for labels, value in vector:
        left, right = (scalar, value) if swapped else (value, scalar)
        if compare is None:
            kept = labels if op == _KEEPS_NAME else without_name(labels)
            result.append((kept, ARITHMETIC[op](left, right)))
        elif return_bool:
            result.append((without_name(labels), 1.0 if compare(left, right) else 0.0))
        elif compare(left, right):
            result.append((labels, value))
    return result


def set_operation(op: str, left: Vector, right: Vector, matching: Matching) -> Vector:
    right_keys = {matching.signature(labels) for labels, _ in right}
    if op == "and":
        return [sample for sample in left if matching.signature(sample[0]) in right_keys]
    if op == "unless":
        return [sample for sample in left if matching.signature(sample[0]) not in right_keys]
    left_keys = {matching.signature(labels) for labels, _ in left}
    return [*left, *(sample for sample in right if matching.signature(sample[0]) not in left_keys)]


def vectors(op: str, left: Vector, right: Vector, matching: Matching, *, return_bool: bool) -> Vector:
    if not left or not right:  # nothing can match, so duplicates on the other side do not matter
        return []
    swapped = matching.card == "one-to-many"
    many, one = (right, left) if swapped else (left, right)
    by_signature: dict[Labels, tuple[Labels, float]] = {}
    for labels, value in one:
        key = matching.signature(labels)
        if key in by_signature:
            side = "left" if swapped else "right"
            raise EvaluationFailed(
                f"found duplicate series for the match group {print_labels(key)} on the {side} hand-side of the "
                f"operation: [{print_labels(labels)}, {print_labels(by_signature[key][0])}];many-to-many matching "
                "not allowed: matching labels must be unique on one side"
            )
        by_signature[key] = (labels, value)
    compare = COMPARISONS.get(op)
    result: Vector = []
    seen: dict[Labels, set[Labels]] = {}
    for labels, value in many:
        key = matching.signature(labels)
        found = by_signature.get(key)
        if found is None:
            continue
        one_labels, one_value = found
        first, second = (one_value, value) if swapped else (value, one_value)
        if compare is None:
            outcome = ARITHMETIC[op](first, second)
        elif return_bool:
            outcome = 1.0 if compare(first, second) else 0.0
        elif compare(first, second):
            outcome = first
        else:
            continue
        metric = _result_labels(
            labels, one_labels, matching, drop_name=return_bool or (compare is None and op != _KEEPS_NAME)
        )
        _check_single(seen, key, metric, matching)
        result.append((metric, outcome))
    return result


def _result_labels(labels: Labels, one_labels: Labels, matching: Matching, *, drop_name: bool) -> Labels:
    kept = dict(without_name(labels) if drop_name else labels)
    if matching.card == "one-to-one":
        if matching.on:
            kept = {name: value for name, value in kept.items() if name in matching.labels}
        else:
            kept = {name: value for name, value in kept.items() if name not in matching.labels}
    one = dict(one_labels)
    for name in matching.include:
        if one.get(name):
            kept[name] = one[name]
        else:
            kept.pop(name, None)
    return tuple(sorted(kept.items()))


def _check_single(seen: dict[Labels, set[Labels]], key: Labels, metric: Labels, matching: Matching) -> None:
    earlier = seen.setdefault(key, set())
    if matching.card == "one-to-one" and earlier:
        raise EvaluationFailed(
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
        )
    if metric in earlier:
        raise EvaluationFailed("multiple matches for labels: grouping labels must ensure unique matches")
    earlier.add(metric)
