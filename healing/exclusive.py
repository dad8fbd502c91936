"""One at a time, across processes: for rounds that beat starts more often than a slow cluster lets them end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.cache import cache

#: A killed worker leaves its lock behind for this long.
_LOST_AFTER_SECONDS = 60


@contextmanager
def exclusive(name: str) -> Iterator[bool]:
    """Yields whether nobody else is at it; the rounds are idempotent, so a lock that expired does no harm."""
    is_mine = cache.add(f"exclusive:{name}", value=True, timeout=_LOST_AFTER_SECONDS)
    try:
        yield is_mine
    finally:
        if is_mine:
            cache.delete(f"exclusive:{name}")
