"""Counts of all processes together, in Valkey: one hash a metric.

Workers are several processes, and a scrape reaches only the web process. So each process adds up what it counts in
memory, and a thread of its own adds that to Valkey once a second. A Valkey that is away costs nothing but memory for
one number a series until it is back; one that was emptied is a reset of all counters, which Prometheus knows.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence

import redis
import structlog
from django.conf import settings

from healing.telemetry.catalogue import COUNTED, Definition

log = structlog.get_logger(__name__)

KEY_PREFIX = "recist-metrics:"
FLUSH_EVERY_SECONDS = 1.0
_TIMEOUT_SECONDS = 1.0
_PAUSE_SECONDS = 5.0
#: More different labels than this in one process are counted together: whoever invents names cannot fill Valkey.
SERIES_AT_MOST = 400
OTHER = "other"
_LABEL_LENGTH = 80

#: A series of one metric: its labels' values, and of a histogram the bucket's bound, "+Inf" or "sum"
_Field = tuple[str, ...]


class _Buffer:
    """What one process has counted and not told yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[tuple[str, _Field], float] = {}
        self._marks: dict[tuple[str, _Field], float] = {}
        self._known: dict[str, set[_Field]] = {}
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._client: redis.Redis | None = None
        self._url = ""
        self._telling = threading.Lock()

    def add(self, definition: Definition, labels: Sequence[str], parts: Mapping[_Field, float]) -> None:
        with self._lock:
            bounded = self._bounded(definition, labels)
            for part, amount in parts.items():
                key = definition.name, (*bounded, *part)
                self._sums[key] = self._sums.get(key, 0.0) + amount
        self._start()

    def mark(self, definition: Definition, labels: Sequence[str], value: float) -> None:
        with self._lock:
            self._marks[definition.name, self._bounded(definition, labels)] = value
        self._start()

    def _bounded(self, definition: Definition, labels: Sequence[str]) -> _Field:
        if len(labels) != len(definition.labels):
            raise ValueError(f"{definition.name} has the labels {definition.labels}")
        wanted = tuple(str(label)[:_LABEL_LENGTH] for label in labels)
        known = self._known.setdefault(definition.name, set())
        if wanted not in known and len(known) >= SERIES_AT_MOST:
            return tuple(OTHER for _ in wanted)
        known.add(wanted)
        return wanted

    def _start(self) -> None:
        if self._thread is not None and self._pid == os.getpid():
            return
        with self._lock:
            if self._thread is not None and self._pid == os.getpid():
                return
            self._pid = os.getpid()
            self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        pid, pause = os.getpid(), FLUSH_EVERY_SECONDS
        while pid == os.getpid():
            self._wake.wait(pause)
            pause = FLUSH_EVERY_SECONDS if self.tell() else _PAUSE_SECONDS

    def tell(self) -> bool:
        """Add what is there to Valkey. False: it did not take it, and it is kept."""
        with self._telling:
            with self._lock:
                sums, self._sums = self._sums, {}
                marks, self._marks = self._marks, {}
            if not sums and not marks:
                return True
            try:
                self._send(sums, marks)
            except Exception as error:  # noqa: BLE001 - whatever the client raises: healing goes on
                log.debug("counts wait for Valkey", error=type(error).__name__)
                with self._lock:
                    for key, amount in sums.items():
                        self._sums[key] = self._sums.get(key, 0.0) + amount
                    self._marks = {**marks, **self._marks}
                return False
            return True

    def _send(self, sums: Mapping[tuple[str, _Field], float], marks: Mapping[tuple[str, _Field], float]) -> None:
        with self._connection().pipeline(transaction=True) as pipeline:
            for (name, field), amount in sums.items():
                pipeline.hincrbyfloat(KEY_PREFIX + name, json.dumps(field), amount)
            for (name, field), value in marks.items():
                pipeline.hset(KEY_PREFIX + name, json.dumps(field), str(value))
            pipeline.execute()

    def _connection(self) -> redis.Redis:
        url = settings.REDIS_URL
        if self._client is None or self._url != url or self._pid != os.getpid():
            self._client, self._url = connect(), url
        return self._client


def connect() -> redis.Redis:
    """Valkey, with little patience."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=_TIMEOUT_SECONDS, socket_timeout=_TIMEOUT_SECONDS, retry=None
    )


_buffer = _Buffer()


def count(name: str, *labels: str, amount: float = 1.0) -> None:
    """Add to a counter of the catalogue; ``labels`` in its order. Never raises."""
    try:
        _buffer.add(COUNTED[name], labels, {(): amount})
    except Exception:
        log.exception("not counted", metric=name)


def observe(name: str, *labels: str, value: float) -> None:
    """Add an observation to a histogram of the catalogue. Never raises."""
    try:
        definition = COUNTED[name]
        bound = next((f"{bound:g}" for bound in definition.buckets if value <= bound), "+Inf")
        _buffer.add(definition, labels, {(bound,): 1.0, ("sum",): value})
    except Exception:
        log.exception("not observed", metric=name)


def mark(name: str, *labels: str, value: float) -> None:
    """Set a gauge of the catalogue. Never raises."""
    try:
        _buffer.mark(COUNTED[name], labels, value)
    except Exception:
        log.exception("not marked", metric=name)


def flush() -> bool:
    """Tell Valkey now. False: it cannot be reached; what was counted is kept."""
    return _buffer.tell()


def read(client: redis.Redis) -> dict[str, dict[_Field, float]]:
    """What all processes have counted, by metric and field. One round trip; raises what the client raises."""
    with client.pipeline(transaction=False) as pipeline:
        for name in COUNTED:
            pipeline.hgetall(KEY_PREFIX + name)
        answers = pipeline.execute()
    return {name: dict(_fields(answer)) for name, answer in zip(COUNTED, answers, strict=True)}


def _fields(answer: Mapping[bytes, bytes]) -> Iterator[tuple[_Field, float]]:
    for field, value in answer.items():
        try:
            yield tuple(json.loads(field)), float(value)
        except (ValueError, TypeError):
            continue  # of another version of ours


atexit.register(flush)
