"""Whether and when a series reaches a limit.

The slope is Theil and Sen's (`scipy.stats.theilslopes`: the median of all slopes between two samples, so that spikes
do not move it) with its interval by Kendall's tau. Samples that follow each other are alike, which would make that
interval too narrow: it is widened by what the residuals' autocorrelation leaves of them. A trend is believed only if

- it is there without the season, and clearly above zero at the lower end of its interval;
- the line explains the series: what is left over is small beside the rise;
- it goes on: the newest third does not rise clearly slower than the whole. A cache that fills and a program that warms
  up rise too, and then stop;
- it is not trusted further ahead than it has been seen back: of what has gone on for an hour, half goes on for another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from knowledge.forecasts import season
from knowledge.forecasts.history import prepare, since_onset, since_reset
from knowledge.forecasts.model import Breach, Outlook, Point

if TYPE_CHECKING:
    from knowledge.forecasts.history import Floats

LEAST_SAMPLES = 12
_INTERVAL = 0.9
#: Quantile of the normal distribution for that interval, and the part that the newest samples have in the level.
_Z, _NEWEST_SAYS = 1.645, 0.06
_NOISE_OF_RISE = 0.35
_GOES_ON = 0.8
_AHEAD_OF_SPAN = 1.0
_ENOUGH_FOR_QUARTERS, _OF_THE_STEEPEST = 24, 0.7
_LEVELS_OFF = "its rise is slowing down: it levels off"


@dataclass(frozen=True, slots=True)
class _Trend:
    slope: float
    low: float
    high: float
    level: float
    #: half the width of the level's own interval
    level_error: float
    residuals: Floats


def look_ahead(
    points: Sequence[Point],
    limit: float,
    *,
    horizon_seconds: float,
    least_span_seconds: float = 0.0,
    least_rise: float = 0.0,
) -> Outlook:
    """Where the series is heading. ``least_rise``: less than this (in units of the series) over the history is flat."""
    times, values, resets = since_reset(*prepare(points))
    times, values = since_onset(times, values, least_samples=LEAST_SAMPLES, least_span_seconds=least_span_seconds)
    n = len(times)
    span = float(times[-1] - times[0]) if n else 0.0
    seen = Outlook("", level=float(values[-1]) if n else 0.0, span_seconds=span, samples=n)
    if n < LEAST_SAMPLES or span < least_span_seconds:
        since = " since it was reset" if resets else ""
        return replace(seen, reason=f"too little is known of it{since}: {n} samples over {span:.0f} s")
    trend, found = _trend(times, values)
    seen = replace(
        seen,
        level=trend.level,
        slope_per_second=trend.slope,
        slope_low=trend.low,
        slope_high=trend.high,
        season_seconds=found.seconds if found else None,
        season_height=found.height if found else 0.0,
    )
    if doubt := _doubt(times, values - (found.values if found else 0.0), trend, least_rise):
        return replace(seen, reason=doubt)
    # The season's crest comes with the trend: the limit is reached there first.
    room = limit - trend.level - (found.height / 2 if found else 0.0)
    breach = _breach(room, trend)
    seen = replace(seen, confidence=_confidence(trend, times, n))
    furthest = min(horizon_seconds, _AHEAD_OF_SPAN * span)
    if breach.seconds > furthest:
        return replace(seen, reason=f"the limit is {_words(breach.seconds)} away, further than {_words(furthest)}")
    return replace(seen, reason="it rises steadily toward the limit", breach=breach)


def _trend(times: Floats, values: Floats) -> tuple[_Trend, season.Season | None]:
    first = _line(times, values)
    found = season.find(times, first.residuals)
    if found is None:
        return first, None
    return _line(times, values - found.values), found


def _line(times: Floats, values: Floats) -> _Trend:
    import numpy as np  # noqa: PLC0415
    from scipy.stats import theilslopes  # noqa: PLC0415

    fit = theilslopes(values, times, alpha=_INTERVAL)
    slope = float(fit.slope)
    residuals = values - (float(fit.intercept) + slope * times)
    wider = _widening(residuals)
    return _Trend(
        slope,
        slope - (slope - float(fit.low_slope)) * wider,
        slope + (float(fit.high_slope) - slope) * wider,
        float(fit.intercept) + slope * float(times[-1]) + float(np.median(residuals[-5:])) / 2,
        _Z * wider * _noise(residuals) * math.sqrt(1 / len(times) + _NEWEST_SAYS),
        residuals,
    )


def _noise(residuals: Floats) -> float:
    """Standard deviation, by the median of what is left over: spikes do not count."""
    import numpy as np  # noqa: PLC0415

    return float(np.median(np.abs(residuals))) * 1.4826


def _widening(residuals: Floats) -> float:
    """How much wider an interval is if neighbouring residuals correlate: sqrt((1 + r) / (1 - r))."""
    import numpy as np  # noqa: PLC0415

    if len(residuals) < 4 or not float(np.ptp(residuals)):
        return 1.0
    centred = residuals - residuals.mean()
    r = float(centred[:-1] @ centred[1:]) / float(centred @ centred)
    r = min(max(r, 0.0), 0.95)
    return math.sqrt((1 + r) / (1 - r))


def _doubt(times: Floats, values: Floats, trend: _Trend, least_rise: float) -> str:
    """Why the trend is not believed; empty: it is."""
    import numpy as np  # noqa: PLC0415

    rise = trend.slope * float(times[-1] - times[0])
    if trend.slope <= 0 or rise <= least_rise:
        return "it does not rise"
    if trend.low <= 0:
        return "it may as well be level: the interval of its slope contains zero"
    noise = _noise(trend.residuals)
    if noise > _NOISE_OF_RISE * rise:
        return "it goes up and down more than it rises"
    third = len(times) - max(4, len(times) // 3)
    newest = _line(times[third:], values[third:])
    if newest.high < _GOES_ON * trend.slope or newest.slope < 0.5 * _GOES_ON * trend.slope:
        return _LEVELS_OFF
    quarters = [_line(t, v) for t, v in zip(np.array_split(times, 4), np.array_split(values, 4), strict=True)]
    if len(times) >= _ENOUGH_FOR_QUARTERS and quarters[3].high < _OF_THE_STEEPEST * max(q.slope for q in quarters):
        return _LEVELS_OFF  # the flank of something that comes and goes
    return ""


def _breach(room: float, trend: _Trend) -> Breach:
    if room <= 0:
        return Breach(0.0, 0.0, 0.0)
    error = trend.level_error
    return Breach(
        room / trend.slope,
        max(0.0, room - error) / trend.high,
        (room + error) / trend.low if trend.low > 0 else None,
    )


def _confidence(trend: _Trend, times: Floats, n: int) -> float:
    """Narrow intervals, many samples: 0..0.95."""
    narrow = 1 - min(1.0, (trend.high - trend.low) / (2 * trend.slope))
    enough = 1 - math.exp(-n / 20)
    return round(min(0.95, 0.5 * enough + 0.45 * narrow), 3)


def _words(seconds: float) -> str:
    for size, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
