"""How fast an API server answers, so that a slow one is given the time it takes.

Callers say how long they would wait for a server as servers are. One whose answers take seconds would never be heard to
the end that way, and nothing could ever be done there: it gets a few times what it has taken lately.
"""

from __future__ import annotations

import threading

#: Below this a server is as servers are.
_SLOW_SECONDS = 0.5
_TIMES = 2.5
_AT_MOST_SECONDS = 15.0
#: How much the newest answer counts.
_WEIGHT = 0.3


class Pace:
    """Of one server. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._typical_seconds = 0.0

    def answered(self, seconds: float) -> None:
        """An answer began after that time (or had not begun by then)."""
        with self._lock:
            self._typical_seconds += _WEIGHT * (seconds - self._typical_seconds)

    def gave_up(self, seconds: float) -> None:
        """There was no answer within that time: it is slower than that, by nobody knows how much."""
        with self._lock:
            self._typical_seconds = max(self._typical_seconds, min(2 * seconds, _AT_MOST_SECONDS / _TIMES))

    def patience(self, asked_seconds: float) -> float:
        """How long to wait instead of ``asked_seconds``."""
        with self._lock:
            typical = self._typical_seconds
        if typical < _SLOW_SECONDS:
            return asked_seconds
        return max(asked_seconds, min(_TIMES * typical, _AT_MOST_SECONDS))
