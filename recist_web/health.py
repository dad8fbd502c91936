"""/livez: the process answers. /readyz: what it needs to do its work is there; each part is named with its truth."""

import time
from collections.abc import Callable

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

VALKEY_TIMEOUT_SECONDS = 2


@never_cache
@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when every part is ready, else 503; the body names each part: `{"ok": bool, "seconds": s, "error": str}`."""
    parts = {name: _timed(check) for name, check in CHECKS.items()}
    ready = all(part["ok"] for part in parts.values())
    return JsonResponse({"ready": ready, "parts": parts}, status=200 if ready else 503)


def _database() -> str | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return None


def _migrations() -> str | None:
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return f"{len(waiting)} migrations are not applied: run manage.py migrate" if waiting else None


def _valkey() -> str | None:
    with redis.Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=VALKEY_TIMEOUT_SECONDS,
        socket_timeout=VALKEY_TIMEOUT_SECONDS,
        retry=None,
    ) as client:
        client.ping()
    return None


CHECKS: dict[str, Callable[[], str | None]] = {
    "database": _database,
    "migrations": _migrations,
    "valkey": _valkey,
}


def _timed(check: Callable[[], str | None]) -> dict[str, object]:
    started = time.monotonic()
    try:
        error = check()
    except (DatabaseError, redis.RedisError, OSError) as reason:
        # The class says what kind of trouble it is; the text could hold addresses, which the log gets, not the world.
        error = type(reason).__name__
    part: dict[str, object] = {"ok": error is None, "seconds": round(time.monotonic() - started, 4)}
    if error is not None:
        part["error"] = error
    return part
