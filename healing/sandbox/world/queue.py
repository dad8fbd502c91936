"""A work queue as client-go's: a key waits once, a failing key waits ever longer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)

#: client-go's ItemExponentialFailureRateLimiter
BASE_DELAY_SECONDS = 0.005
MAX_DELAY_SECONDS = 1000.0


class WorkQueue(Generic[KeyT]):
    """Keys to reconcile, in order, each at most once. One consumer; it never runs a key twice at a time."""

    def __init__(self) -> None:
        self._ready: deque[KeyT] = deque()
        self._queued: set[KeyT] = set()
        self._timers: dict[KeyT, asyncio.TimerHandle] = {}
        self._failures: dict[KeyT, int] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: KeyT) -> None:
        if key not in self._queued:
            self._queued.add(key)
            self._ready.append(key)
            self._filled.set()

    def add_after(self, key: KeyT, delay_seconds: float) -> None:
        """As `add`, later. Of two waits for one key the earlier counts."""
        if delay_seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + delay_seconds
        waiting = self._timers.get(key)
        if waiting is not None:
            if waiting.when() <= due:
                return
            waiting.cancel()
        self._timers[key] = loop.call_at(due, self._wake, key)

    def add_rate_limited(self, key: KeyT) -> None:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(BASE_DELAY_SECONDS * 2 ** min(failures, 40), MAX_DELAY_SECONDS))

    def forget(self, key: KeyT) -> None:
        """The key succeeded: its next failure waits shortly again."""
        self._failures.pop(key, None)

    async def wait(self) -> None:
        """Return when a key is ready."""
        while not self._ready:
            self._filled.clear()
            await self._filled.wait()

    def pop(self) -> KeyT:
        key = self._ready.popleft()
        self._queued.discard(key)
        return key

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _wake(self, key: KeyT) -> None:
        self._timers.pop(key, None)
        self.add(key)
