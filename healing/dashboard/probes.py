"""Whether the stores that tell nothing by themselves answer: Prometheus, Loki and Qdrant, asked in the background.

A page never waits for them: the sockets' hub asks now and then, and pages read what was found in the cache.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx
import structlog
from django.conf import settings
from django.core.cache import cache
from django.utils.translation import gettext as _

log = structlog.get_logger(__name__)

EVERY_SECONDS = 15.0
TIMEOUT_SECONDS = 2.0
#: What was found longer ago says nothing about now.
KEPT_SECONDS = 60
_KEY, _TURN = "dashboard.probes", "dashboard.probes.turn"
#: Of very many clusters the first ones; each may cost the timeout.
AT_MOST = 20


def read() -> dict[str, str]:
    """By address: empty where it answered, else why not. Addresses that nobody asked lately are missing."""
    try:
        return {url: _words(found) for url, found in (cache.get(_KEY) or {}).items()}
    except Exception as error:  # noqa: BLE001 - whatever the cache's client raises
        log.debug("no probes", error=str(error))
        return {}


def ask_all() -> None:
    """Ask every address once; one process of all at a time. Blocks up to some seconds: not for a request."""
    try:
        if not cache.add(_TURN, 1, timeout=int(EVERY_SECONDS) - 1):
            return
        cache.set(_KEY, {url: _ask(url) for url in addresses().values()}, timeout=KEPT_SECONDS)
    except Exception as error:  # noqa: BLE001 - as above
        log.debug("not probed", error=str(error))


def addresses() -> Mapping[str, str]:
    """What is asked, by part (``Prometheus``, ``Loki@cluster``, ``Qdrant``)."""
    found: dict[str, str] = {}
    targets: list[Any] = list(settings.CLUSTERS.values())[:AT_MOST]
    for target in targets:
        if target.prometheus_url:
            found[f"Prometheus@{target.name}"] = f"{target.prometheus_url.rstrip('/')}/-/ready"
        if target.loki_url:
            found[f"Loki@{target.name}"] = f"{target.loki_url.rstrip('/')}/ready"
    if not settings.QDRANT_PATH:
        # The port for gRPC answers no HTTP; its neighbour does.
        found["Qdrant"] = f"{settings.QDRANT_URL.rstrip('/').replace(':6334', ':6333')}/readyz"
    return found


def _ask(url: str) -> str:
    """What is kept, for readers of any language: ``late:2``, ``away``, ``error:503``, or nothing where it answered."""
    started = time.monotonic()
    try:
        status = httpx.get(url, timeout=TIMEOUT_SECONDS, follow_redirects=False).status_code
    except httpx.TimeoutException:
        return f"late:{time.monotonic() - started:.0f}"
    except httpx.HTTPError as error:
        log.debug("not reached", url=url, error=str(error))
        return "away"
    # Whatever stands before it may hide the address of readiness; then it answers all the same.
    return f"error:{status}" if status >= httpx.codes.INTERNAL_SERVER_ERROR else ""


def _words(found: str) -> str:
    """What `_ask` found, to follow the name of what was asked."""
    what, _colon, detail = found.partition(":")
    match what:
        case "late":
            return _("does not answer within %(seconds)s s") % {"seconds": detail}
        case "away":
            return _("cannot be reached: nothing answers at its address")
        case "error":
            return _("answers with an error (%(status)s)") % {"status": detail}
        case _:
            return ""
