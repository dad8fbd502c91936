"""client-go's Backoff: how long to wait before something that keeps failing is tried again."""

from __future__ import annotations


class BackOff:
    def __init__(self, initial_seconds: float, max_seconds: float) -> None:
        self._initial = initial_seconds
        self._max = max_seconds
        self.seconds = 0.0
        self._updated = 0.0

    def ends(self, since: float) -> float:
        """When a failure at ``since`` may be followed by the next try; ``since`` itself before the first one."""
        return since + self.seconds

    def next(self, now: float) -> None:
        """A try begins: the wait doubles, or starts anew after a quiet time of twice the maximum."""
        if not self.seconds or now - self._updated > 2 * self._max:
            self.seconds = self._initial
        else:
            self.seconds = min(self.seconds * 2, self._max)
        self._updated = now

    def text(self) -> str:
        """As Go prints a duration: ``10s``, ``1m20s``, ``5m0s``."""
        whole = int(self.seconds)
        return f"{whole // 60}m{whole % 60}s" if whole >= 60 else f"{whole}s"
