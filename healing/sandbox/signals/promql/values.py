"""The values PromQL knows, how they are printed, and the two ways a query fails."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from healing.sandbox.signals.tsdb import Labels

Vector = list[tuple[Labels, float]]


@dataclass(slots=True)
class RangeSeries:
    """One series of a range vector; the range is ``[start_ms, end_ms]`` whatever samples there are."""

    labels: Labels
    times: list[int]
    values: list[float]
    start_ms: int
    end_ms: int


Value = float | str | Vector


class BadQuery(Exception):
    """HTTP 400 ``bad_data``."""


class EvaluationFailed(Exception):
    """HTTP 422 ``execution``."""


@lru_cache(maxsize=200_000)
def without_name(labels: Labels) -> Labels:
    return tuple(pair for pair in labels if pair[0] != "__name__")


def print_labels(labels: Labels) -> str:
    def quoted(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ", ".join(f'{name}="{quoted(value)}"' for name, value in labels) + "}"


def format_value(value: float) -> str:
    """As Go's ``FormatFloat(v, 'f', -1, 64)``: shortest digits, never an exponent."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(float(value))
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def check_unique(vector: Vector) -> Vector:
    if len({labels for labels, _ in vector}) != len(vector):
        raise EvaluationFailed("vector cannot contain metrics with the same labelset")
    return vector


def quantile(q: float, values: list[float]) -> float:
    """Prometheus' linear interpolation; ``values`` need not be sorted."""
    if not values or math.isnan(q):
        return math.nan
    if q < 0:
        return -math.inf
    if q > 1:
        return math.inf
    ordered = sorted(values, key=lambda v: (not math.isnan(v), v))
    rank = q * (len(ordered) - 1)
    lower = max(0, math.floor(rank))
    upper = min(len(ordered) - 1, lower + 1)
    weight = rank - math.floor(rank)
    return ordered[lower] * (1 - weight) + ordered[upper] * weight
