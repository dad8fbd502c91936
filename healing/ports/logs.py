"""Loki as the healing loop needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line with its stream's labels; ``time`` in UTC."""

    time: datetime
    labels: Mapping[str, str]
    text: str


class Logs(Protocol):
    """All calls raise `healing.ports.errors`; nothing found is an empty list."""

    def query_range(
        self,
        logql: str,
        *,
        start: datetime,
        end: datetime,
        limit: int = 1000,
        newest_first: bool = True,
        timeout_seconds: float | None = None,
    ) -> list[LogLine]: ...
