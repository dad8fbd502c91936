"""Limits per person and per address, counted in the cache. Without the cache nothing is limited and nothing breaks."""

from __future__ import annotations

import time

import structlog
from django.core.cache import cache
from django.http import HttpRequest
from ninja.throttling import BaseThrottle
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

REQUESTS_A_MINUTE = 1200
#: Alertmanager sends a group at most once in its group_interval, many groups at once in a storm.
WEBHOOKS_A_MINUTE = 300
_MINUTE = 60


def count(key: str, window_seconds: int, *, add: int = 1) -> int:
    """Add to a counter that starts anew every window; what it stands at."""
    name = counter(key, window_seconds)
    try:
        cache.add(name, 0, timeout=window_seconds * 2)
        return int(cache.incr(name, add)) if add else int(cache.get(name, 0))
    except (RedisError, OSError, ValueError) as error:  # ValueError: it expired between the two calls
        log.warning("limits are not counted", error=str(error))
        return 0


def counter(key: str, window_seconds: int) -> str:
    """The name of this window's counter in the cache."""
    return f"limit.{key}.{int(time.time() // window_seconds)}"


class PerPerson(BaseThrottle):
    """Requests of one person or token, whatever the operation."""

    def allow_request(self, request: HttpRequest) -> bool:
        user, token = getattr(request, "auth", None), getattr(request, "token", None)
        if user is None:
            return True
        caller = f"token.{token.pk}" if token is not None else f"person.{user.pk}"
        return count(caller, _MINUTE) <= self.a_minute()

    def a_minute(self) -> int:
        """How many requests."""
        return REQUESTS_A_MINUTE

    def wait(self) -> float:
        return _MINUTE - time.time() % _MINUTE


class PerWebhook(PerPerson):
    """Deliveries of one token."""

    def a_minute(self) -> int:
        return WEBHOOKS_A_MINUTE
