"""The database and Valkey."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import redis
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from recist_web.doctor.report import Finding, error, ok, warning

_POSTGRES_AT_LEAST = 14
_VALKEY_AT_LEAST = 6
_SKEW_SECONDS, _BAD_SKEW_SECONDS = 2.0, 10.0
_SLOW_SECONDS = 0.05
_TIMEOUT_SECONDS = 3


def database() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        started = time.monotonic()
        cursor.execute("SELECT 1")
        took = time.monotonic() - started
        if connection.vendor == "postgresql":
            yield from _postgresql(cursor)
        else:
            yield ok("database", f"SQLite {sqlite3.sqlite_version}; for one machine")
    if took > _SLOW_SECONDS:
        yield warning("database", f"The smallest query takes {took:.2f} s.", "Look at its load and at the network.")


def _postgresql(cursor: Any) -> Iterator[Finding]:
    cursor.execute("SHOW server_version_num")
    version = int(cursor.fetchone()[0]) // 10000
    before = datetime.now(UTC)
    cursor.execute("SELECT clock_timestamp()")
    theirs = cursor.fetchone()[0]
    after = datetime.now(UTC)
    if version < _POSTGRES_AT_LEAST:
        yield error("database", f"PostgreSQL {version} is too old.", f"Use {_POSTGRES_AT_LEAST} or newer.")
    else:
        yield ok("database", f"PostgreSQL {version}")
    skew = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    yield skewed("database", skew)
    cursor.execute("SELECT count(*), current_setting('max_connections')::int FROM pg_stat_activity")
    used, most = cursor.fetchone()
    if used > 0.8 * most:
        yield warning(
            "database", f"{used} of {most} connections are in use.", "Raise max_connections, or put a pooler before it."
        )


def skewed(part: str, seconds: float) -> Finding:
    """A finding about two clocks. Leases and expiries compare times of different machines."""
    advice = "Let NTP set the clocks of all machines."
    if seconds > _BAD_SKEW_SECONDS:
        return error(part, f"Its clock is {seconds:.0f} s off ours.", advice)
    if seconds > _SKEW_SECONDS:
        return warning(part, f"Its clock is {seconds:.1f} s off ours.", advice)
    return ok(part, f"its clock is ours (within {max(seconds, 0.1):.1f} s)")


def migrations() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if waiting:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in waiting[:4])
        yield error(
            "migrations", f"{len(waiting)} are not applied: {names}.", "Run manage.py migrate before the processes."
        )
    else:
        yield ok("migrations", "all are applied")
    known = set(executor.loader.disk_migrations)
    ours = {app for app, _ in known}
    newer = [f"{app}.{name}" for app, name in executor.loader.applied_migrations if app in ours]
    newer = [name for name in newer if tuple(name.split(".", 1)) not in known]
    if newer:
        yield warning(
            "migrations",
            f"The database has migrations that this version does not know: {', '.join(newer[:3])}.",
            "A newer version has been here: use it.",
        )


def valkey() -> Iterator[Finding]:
    with redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=_TIMEOUT_SECONDS, socket_timeout=_TIMEOUT_SECONDS, retry=None
    ) as client:
        started = time.monotonic()
        client.ping()
        took = time.monotonic() - started
        info: dict[str, Any] = client.info()
        name = "Valkey" if "valkey_version" in info else "Redis"
        version = str(info.get("valkey_version") or info.get("redis_version", "0"))
        if int(version.partition(".")[0]) < _VALKEY_AT_LEAST:
            yield error("valkey", f"{name} {version} is too old.", f"Use {_VALKEY_AT_LEAST} or newer.")
        else:
            yield ok("valkey", f"{name} {version}")
        policy, most = str(info.get("maxmemory_policy", "")), int(info.get("maxmemory", 0))
        if most and policy != "noeviction":
            yield error(
                "valkey",
                f"maxmemory-policy is {policy}: messages and locks may be thrown away.",
                "Set maxmemory-policy noeviction; caches of ours expire by themselves.",
            )
        if most and int(info.get("used_memory", 0)) > 0.85 * most:
            yield warning("valkey", "More than 85 % of maxmemory are used.", "Raise maxmemory.")
        seconds, microseconds = client.time()
        yield skewed("valkey", abs(time.time() - (seconds + microseconds / 1e6)))
        if took > _SLOW_SECONDS:
            yield warning("valkey", f"A ping takes {took:.2f} s.", "Look at its load and at the network.")
