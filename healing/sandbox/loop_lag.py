"""How late the event loop is: a world that lags is no world to judge anybody by."""

from __future__ import annotations

import asyncio
from typing import Any

_PERIOD_SECONDS = 0.1
#: buckets of a histogram, in seconds
_BOUNDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0)


class LoopLag:
    """Sleeps a tenth of a second again and again, and counts by how much it overslept."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS) + 1)
        self._most = 0.0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            expected = loop.time() + _PERIOD_SECONDS
            await asyncio.sleep(_PERIOD_SECONDS)
            self.note(loop.time() - expected)

    def note(self, seconds: float) -> None:
        index = next((i for i, bound in enumerate(_BOUNDS) if seconds <= bound), len(_BOUNDS))
        self._counts[index] += 1
        self._most = max(self._most, seconds)

    def report(self) -> dict[str, Any]:
        """Upper bounds of the quantiles, as far as the buckets tell."""
        return {
            "samples": sum(self._counts),
            "lagP50Seconds": self._quantile(0.5),
            "lagP95Seconds": self._quantile(0.95),
            "lagP99Seconds": self._quantile(0.99),
            "lagMaxSeconds": round(self._most, 3),
        }

    def _quantile(self, share: float) -> float:
        wanted, seen = share * sum(self._counts), 0
        for count, bound in zip(self._counts, (*_BOUNDS, self._most), strict=True):
            seen += count
            if count and seen >= wanted:
                return round(min(bound, self._most), 3)
        return 0.0
