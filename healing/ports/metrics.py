"""Prometheus as the healing loop needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Sample:
    """One instant value; NaN and infinities are kept as floats."""

    labels: Mapping[str, str]
    value: float
    #: seconds since the epoch
    time: float


@dataclass(frozen=True, slots=True)
class Series:
    """A range: ``points`` are (seconds since the epoch, value), oldest first."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


class Metrics(Protocol):
    """All calls raise `healing.ports.errors`; nothing found is an empty list."""

    def query(
        self, promql: str, *, at: datetime | None = None, timeout_seconds: float | None = None
    ) -> list[Sample]: ...

    def query_range(
        self, promql: str, *, start: datetime, end: datetime, step_seconds: float, timeout_seconds: float | None = None
    ) -> list[Series]: ...
