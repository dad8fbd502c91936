"""What is watched for, and what a look finds. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from healing.models import WarningKind
from healing.ports.cluster import ObjectRef
from knowledge.forecasts import Breach, Outlook, Point


@dataclass(frozen=True, slots=True)
class Scale:
    """How far back is looked, in which steps, how far ahead, and how often. All in seconds.

    A leak of minutes and a disk of weeks need different windows; ``least_span_seconds`` of data must be there."""

    name: str
    window_seconds: float
    step_seconds: float
    horizon_seconds: float
    every_seconds: float
    least_span_seconds: float


MINUTES = Scale("minutes", 1800, 15, 3600, 30, 240)
HOURS = Scale("hours", 6 * 3600, 180, 12 * 3600, 300, 2 * 3600)
DAYS = Scale("days", 7 * 86_400, 3600, 7 * 86_400, 1800, 2 * 86_400)
SCALES = (MINUTES, HOURS, DAYS)


@dataclass(frozen=True, slots=True)
class Watched:
    """A series on its way to a limit. ``subject`` is where it is measured (a pod, a claim, a quota)."""

    kind: WarningKind
    subject: ObjectRef
    part: str
    points: tuple[Point, ...]
    limit: float
    unit: str
    query: str


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A warning to be. Times are seconds from now."""

    kind: WarningKind
    subject: ObjectRef
    part: str
    unit: str
    level: float
    limit: float
    breach: Breach
    confidence: float
    slope_per_second: float = 0.0
    points: tuple[Point, ...] = ()
    query: str = ""
    #: what the evidence says beside the numbers
    details: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, watched: Watched, outlook: Outlook, scale: Scale) -> Foreseen:
        assert outlook.breach is not None
        return cls(
            watched.kind,
            watched.subject,
            watched.part,
            watched.unit,
            outlook.level,
            watched.limit,
            outlook.breach,
            outlook.confidence,
            outlook.slope_per_second,
            watched.points,
            watched.query,
            {
                "samples": outlook.samples,
                "spanSeconds": round(outlook.span_seconds),
                "seasonSeconds": outlook.season_seconds and round(outlook.season_seconds),
                "scale": scale.name,
            },
        )
