"""List, then watch, for ever: keeps one kind of the cache up to date through disconnects, 410 and outages."""

from __future__ import annotations

import random
import threading
import time
from typing import Protocol

import structlog

from healing.detection.cache import Key, ObjectCache
from healing.ports.cluster import Cluster
from healing.ports.errors import Expired, Forbidden, NotFound, SourceError

log = structlog.get_logger(__name__)

LIST_TIMEOUT_SECONDS = 30.0
#: Spread, so that watches do not end together.
WATCH_SECONDS = (60.0, 120.0)
_FIRST_BACKOFF_SECONDS = 0.2
_LONGEST_BACKOFF_SECONDS = 15.0
#: How soon a kind that does not exist, or must not be read, is asked for again.
ABSENT_SECONDS = 5.0
#: The same for a kind that we can do without.
OPTIONAL_ABSENT_SECONDS = 30.0
_SAY_AGAIN_SECONDS = 60.0
_random = random.SystemRandom()


class Sink(Protocol):
    """Who is told."""

    def changed(self, key: Key) -> None:
        """One object was added, changed or deleted."""

    def synced(self, kind: str, keys: list[Key]) -> None:
        """The whole kind was read anew; an empty list too when the cluster does not have or show it."""


class Informer:
    """`run` in a thread of its own. ``last_heard_at`` is the monotonic time of the last sign of life."""

    def __init__(
        self,
        kind: str,
        cluster: Cluster,
        cache: ObjectCache,
        sink: Sink,
        stop: threading.Event,
        *,
        is_optional: bool = False,
        namespace: str = "",
    ) -> None:
        """``is_optional``: that the cluster does not have the kind, or does not show it to us, is no problem.
        ``namespace``: only what is in it (empty: all)."""
        self.kind = kind
        self.namespace = namespace
        self.is_optional = is_optional
        self.last_heard_at = 0.0
        self.problem = ""
        self._cluster = cluster
        self._cache = cache
        self._sink = sink
        self._stop = stop
        self._version = ""
        self._backoff = _FIRST_BACKOFF_SECONDS
        self._said: dict[str, float] = {}

    def run(self) -> None:
        """Until ``stop`` is set."""
        while not self._stop.is_set():
            started_at = time.monotonic()
            try:
                if not self._version:
                    self._list()
                self._watch()
                self._backoff = _FIRST_BACKOFF_SECONDS
                if time.monotonic() - started_at < 1.0:
                    self._pause(_FIRST_BACKOFF_SECONDS)  # a server that ends every watch at once
            except Expired:
                log.info("watch expired, listing again", kind=self.kind)
                self._version = ""
                self._back_off()
            except (NotFound, Forbidden) as error:
                self._version = ""
                self._absent(error)
            except SourceError as error:
                self._say("watch interrupted", error)
                self._back_off()
            except Exception:  # an object of an unknown shape: start over rather than die
                log.exception("watch failed", kind=self.kind)
                self._version = ""
                self._back_off()

    def _list(self) -> None:
        listed = self._cluster.list(self.kind, self.namespace, timeout_seconds=LIST_TIMEOUT_SECONDS)
        keys = self._cache.replace(self.kind, listed.items, self.namespace)
        self._heard()
        self._sink.synced(self.kind, sorted(keys))
        self._version = listed.resource_version

    def _watch(self) -> None:
        stream = self._cluster.watch(
            self.kind,
            self.namespace,
            resource_version=self._version,
            timeout_seconds=_random.uniform(*WATCH_SECONDS),
            stop=self._stop,
        )
        for event in stream:
            if self._stop.is_set():
                return
            self._heard()
            self._backoff = _FIRST_BACKOFF_SECONDS
            if event.type != "BOOKMARK":
                self._sink.changed(self._cache.apply(event.type, event.object))
            self._version = str((event.object.get("metadata") or {}).get("resourceVersion") or self._version)
        self._heard()

    def _heard(self) -> None:
        self.last_heard_at = time.monotonic()
        self.problem = ""

    def _absent(self, error: SourceError) -> None:
        """The kind is not there (yet), or not for us: go on without it."""
        if self.is_optional:
            self.problem = ""
            log.debug("kind cannot be watched", kind=self.kind, error=str(error))
        else:
            self._say("kind cannot be watched", error)
        self._sink.synced(self.kind, sorted(self._cache.replace(self.kind, (), self.namespace)))
        seconds = OPTIONAL_ABSENT_SECONDS if self.is_optional else ABSENT_SECONDS
        self._pause(seconds * _random.uniform(0.8, 1.2))

    def _back_off(self) -> None:
        self._pause(self._backoff * _random.uniform(0.5, 1.5))
        self._backoff = min(self._backoff * 2, _LONGEST_BACKOFF_SECONDS)

    def _pause(self, seconds: float) -> None:
        self._stop.wait(seconds)

    def _say(self, what: str, error: SourceError) -> None:
        """Once a minute each."""
        self.problem = str(error)
        now = time.monotonic()
        if now - self._said.get(what, float("-inf")) > _SAY_AGAIN_SECONDS:
            self._said[what] = now
            log.warning(what, kind=self.kind, error=str(error))
