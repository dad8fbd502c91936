"""Seasons: what comes back by itself (the traffic of a day, a job every ten minutes) is no trend.

Found by the autocorrelation of what is left when a robust line is taken out; a period counts only if it has been seen
at least twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knowledge.forecasts.history import Floats

#: A lag correlates by chance with about 1 / sqrt(n); a season is far above.
_CORRELATED = 0.5
_SEEN_AT_LEAST = 2.0
_SHORTEST_SAMPLES = 6


@dataclass(frozen=True, slots=True)
class Season:
    """``values``: what it adds at each of the series' times, with median 0; ``height``: from low to high."""

    seconds: float
    values: Floats
    height: float


def find(times: Floats, detrended: Floats) -> Season | None:
    """The strongest season of an evenly spaced series without its trend; None: there is none."""
    import numpy as np  # noqa: PLC0415

    n = len(times)
    if n < _SEEN_AT_LEAST * _SHORTEST_SAMPLES:
        return None
    step = float(np.median(np.diff(times)))
    grid = np.arange(times[0], times[-1] + step / 2, step)
    even = np.interp(grid, times, detrended)
    even = even - even.mean()
    power = float(even @ even)
    if power <= 0:
        return None
    size = len(even)
    full = np.correlate(even, even, mode="full")[size - 1 :] / power
    # unbiased: at long lags fewer samples are left to compare
    correlation = full * size / np.maximum(1, size - np.arange(size))
    longest = int(size / _SEEN_AT_LEAST)
    best, strength = 0, _CORRELATED
    # the first peak behind the first fall below zero: short lags correlate because the series is smooth
    below = np.flatnonzero(correlation[: longest + 1] < 0)
    if not len(below):
        return None
    for lag in range(max(_SHORTEST_SAMPLES, int(below[0])), min(longest + 1, size - 1)):
        peak = correlation[lag] >= correlation[lag - 1] and correlation[lag] >= correlation[lag + 1]
        if peak and correlation[lag] > strength * 1.05:  # a multiple of the period is not better, only as good
            best, strength = lag, float(correlation[lag])
    if not best:
        return None
    bins = max(4, min(best, 24))
    phase = ((times % (best * step)) / (best * step) * bins).astype(int) % bins
    profile = np.array([np.median(detrended[phase == b]) if (phase == b).any() else 0.0 for b in range(bins)])
    profile -= np.median(profile)
    return Season(best * step, profile[phase], float(np.ptp(profile)))
