"""Functions of a range vector's one series: ``f(series, evaluation time) -> value or None``.

Extrapolation and regression follow Prometheus 2.42 (a range includes both its ends), step by step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

from healing.sandbox.signals.promql.values import RangeSeries, quantile

RangeFunction = Callable[[RangeSeries, int], float | None]


def extrapolated(series: RangeSeries, *, is_counter: bool, is_rate: bool) -> float | None:
    times, values = series.times, series.values
    count = len(values)
    if count < 2:
        return None
    result = values[-1] - values[0]
    if is_counter:
        previous = values[0]
        for value in values:
            if value < previous:
                result += previous
            previous = value
    to_start = (times[0] - series.start_ms) / 1000
    to_end = (series.end_ms - times[-1]) / 1000
    sampled = (times[-1] - times[0]) / 1000
    average = sampled / (count - 1)
    if is_counter and result > 0 and values[0] >= 0:
        # a counter cannot be below zero, so never extrapolate beyond where it would have been
        to_start = min(to_start, sampled * (values[0] / result))
    threshold = average * 1.1
    interval = sampled
    interval += to_start if to_start < threshold else average / 2
    interval += to_end if to_end < threshold else average / 2
    factor = interval / sampled
    if is_rate:
        factor /= (series.end_ms - series.start_ms) / 1000
    return result * factor


def rate(series: RangeSeries, _now: int) -> float | None:
    return extrapolated(series, is_counter=True, is_rate=True)


def increase(series: RangeSeries, _now: int) -> float | None:
    return extrapolated(series, is_counter=True, is_rate=False)


def delta(series: RangeSeries, _now: int) -> float | None:
    return extrapolated(series, is_counter=False, is_rate=False)


def _instant(series: RangeSeries, *, is_rate: bool) -> float | None:
    if len(series.values) < 2:
        return None
    before, last = series.values[-2:]
    interval_ms = series.times[-1] - series.times[-2]
    if interval_ms == 0:
        return None
    result = last if is_rate and last < before else last - before
    return result / (interval_ms / 1000) if is_rate else result


def irate(series: RangeSeries, _now: int) -> float | None:
    return _instant(series, is_rate=True)


def idelta(series: RangeSeries, _now: int) -> float | None:
    return _instant(series, is_rate=False)


def regression(series: RangeSeries, at_ms: int) -> tuple[float, float]:
    """Slope per second and the value of the fitted line at ``at_ms``."""
    values = series.values
    first = values[0]
    if all(value == first for value in values):
        return (math.nan, math.nan) if math.isinf(first) else (0.0, first)
    xs = [(time - at_ms) / 1000 for time in series.times]
    count = len(values)
    sum_x, sum_y = math.fsum(xs), sum(values)
    sum_xy = sum(x * y for x, y in zip(xs, values, strict=True))
    sum_xx = math.fsum(x * x for x in xs)
    covariance = sum_xy - sum_x * sum_y / count
    variance = sum_xx - sum_x * sum_x / count
    slope = covariance / variance
    return slope, sum_y / count - slope * sum_x / count


def deriv(series: RangeSeries, _now: int) -> float | None:
    if len(series.values) < 2:
        return None
    return regression(series, series.times[0])[0]


def predict_linear(series: RangeSeries, now: int, seconds: float) -> float | None:
    if len(series.values) < 2:
        return None
    slope, intercept = regression(series, now)
    return slope * seconds + intercept


def changes(series: RangeSeries, _now: int) -> float | None:
    values = series.values
    return float(
        sum(
            1
            for before, after in pairwise(values)
            if after != before and not (math.isnan(after) and math.isnan(before))
        )
    )


def resets(series: RangeSeries, _now: int) -> float | None:
    return float(sum(1 for before, after in pairwise(series.values) if after < before))


def _sum(values: list[float]) -> float:
    if all(math.isfinite(value) for value in values):
        return math.fsum(values)
    return sum(values)


def avg_over_time(series: RangeSeries, _now: int) -> float | None:
    return _sum(series.values) / len(series.values)


def _extreme(values: list[float], *, largest: bool) -> float:
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        return math.nan
    return max(numbers) if largest else min(numbers)


def _variance(values: list[float]) -> float:
    mean = _sum(values) / len(values)
    return _sum([(value - mean) ** 2 for value in values]) / len(values)


def quantile_over_time(series: RangeSeries, q: float) -> float | None:
    return quantile(q, series.values)


#: functions of one range vector argument
SIMPLE: dict[str, RangeFunction] = {
    "rate": rate,
    "increase": increase,
    "delta": delta,
    "irate": irate,
    "idelta": idelta,
    "deriv": deriv,
    "changes": changes,
    "resets": resets,
    "avg_over_time": avg_over_time,
    "sum_over_time": lambda series, _now: _sum(series.values),
    "min_over_time": lambda series, _now: _extreme(series.values, largest=False),
    "max_over_time": lambda series, _now: _extreme(series.values, largest=True),
    "count_over_time": lambda series, _now: float(len(series.values)),
    "last_over_time": lambda series, _now: series.values[-1],
    "present_over_time": lambda _series, _now: 1.0,
    "stdvar_over_time": lambda series, _now: _variance(series.values),
    "stddev_over_time": lambda series, _now: math.sqrt(_variance(series.values)),
}
