"""This process's own: environment, web settings, disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from django.conf import settings

from recist_web.doctor.report import Finding, error, ok, warning

_LOW_BYTES, _EMPTY_BYTES = 2 * 1024**3, 200 * 1024**2
_LOW_SHARE = 0.1


def environment() -> Iterator[Finding]:
    parsed = settings.ENVIRONMENT
    problems = (*parsed.problems, *settings.CLUSTER_PROBLEMS)
    for problem in problems:
        yield error("environment", problem.message, problem.hint)
    for problem in parsed.suspicions:
        yield warning("environment", problem.message, problem.hint)
    if not problems:
        yield ok("environment", f"{len(parsed.values.model_fields_set)} variables are set, all can be used.")


def web() -> Iterator[Finding]:
    if not settings.SECRET_KEY_IS_SET:
        yield error(
            "web", "SECRET_KEY is not set: the web process refuses to start.", "Set SECRET_KEY or SECRET_KEY_FILE."
        )
    elif len(settings.SECRET_KEY) < 50:
        yield warning("web", "SECRET_KEY is short.", "Use 50 random characters or more.")
    if settings.DEBUG:
        yield error("web", "DEBUG is on: error pages show settings and code.", "Set DEBUG=off.")
    if "*" in settings.ALLOWED_HOSTS:
        yield warning("web", "ALLOWED_HOSTS allows every name.", "Name the hosts under which people reach the site.")
    local = {"localhost", "127.0.0.1", "[::1]", "testserver"}
    elsewhere = [host for host in settings.ALLOWED_HOSTS if host not in local]
    if elsewhere and not settings.SESSION_COOKIE_SECURE:
        yield warning(
            "web",
            f"HTTPS_ONLY is off, and the site is served as {', '.join(elsewhere[:3])}: sessions travel in the clear.",
            "Put TLS before it and set HTTPS_ONLY=on.",
        )
    if settings.SESSION_COOKIE_SECURE and not settings.CSRF_TRUSTED_ORIGINS:
        yield warning(
            "web",
            "HTTPS_ONLY is on and CSRF_TRUSTED_ORIGINS is empty: behind a proxy that ends TLS, forms are refused.",
            "Set CSRF_TRUSTED_ORIGINS=https://HOST.",
        )
    if not settings.PUBLIC_URL:
        yield warning("web", "PUBLIC_URL is not set: messages to people have no links.", "Set PUBLIC_URL.")
    yield ok("web", f"served as {', '.join(settings.ALLOWED_HOSTS[:5])}")


def disk() -> Iterator[Finding]:
    where = settings.VAR_DIR
    existing = next(path for path in (where, *where.parents) if path.exists())
    usage = shutil.disk_usage(existing)
    told = f"{usage.free / 1024**3:.1f} of {usage.total / 1024**3:.1f} GiB are free at {existing}"
    advice = "Make room, or set RETENTION_DAYS lower and run manage.py prune."
    if usage.free < _EMPTY_BYTES:
        yield error("disk", f"{told}.", advice)
    elif usage.free < _LOW_BYTES and usage.free / usage.total < _LOW_SHARE:
        yield warning("disk", f"{told}.", advice)
    else:
        yield ok("disk", told)
    if where.exists() and not os.access(where, os.W_OK):
        yield warning("disk", f"{where} may not be written to.", "Set VAR_DIR to a directory of this user.")
