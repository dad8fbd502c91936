"""What a look ahead comes to."""

from __future__ import annotations

from dataclasses import dataclass

#: (seconds since the epoch, value)
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Breach:
    """When the limit is reached, in seconds from the last sample: the likeliest time and a 90 % interval.

    ``latest_seconds`` None: it may also never be reached."""

    seconds: float
    earliest_seconds: float
    latest_seconds: float | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """``breach`` None: nothing to warn of, and ``reason`` says why. Values are in the unit of the series."""

    reason: str
    level: float = 0.0
    slope_per_second: float = 0.0
    slope_low: float = 0.0
    slope_high: float = 0.0
    #: length and height of the season that was taken out
    season_seconds: float | None = None
    season_height: float = 0.0
    #: how much of the history the trend rests on
    span_seconds: float = 0.0
    samples: int = 0
    breach: Breach | None = None
    #: 0..1: how sure the trend is
    confidence: float = 0.0
