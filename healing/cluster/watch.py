"""A watch's stream of JSON lines, which ends when it should: at its timeout, or as soon as it is told to stop."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from healing.cluster import errors
from healing.cluster.transport import set_read_timeout
from healing.ports.cluster import WatchEvent
from healing.ports.errors import BadResponse, Unavailable

#: How much longer than asked a server may keep the stream open before we cut it.
GRACE_SECONDS = 5.0
_LOOK_EVERY_SECONDS = 0.1
_CHUNK_BYTES = 1 << 16
_MAX_LINE_BYTES = 64 * 1024 * 1024
_TYPES = frozenset({"ADDED", "MODIFIED", "DELETED", "BOOKMARK"})


@dataclass(slots=True)
class _Guarded:
    response: BaseHTTPResponse
    stop: threading.Event | None
    until: float
    cut: bool = False

    def is_over(self) -> bool:
        """Whether the stream was cut, or is to be."""
        return self.cut or (self.stop is not None and self.stop.is_set())


class Interrupter:
    """Wakes readers that sit in a silent stream, by shutting its socket down; one thread, only while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guarded: dict[int, _Guarded] = {}
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def guard(
        self, response: BaseHTTPResponse, stop: threading.Event | None, timeout_seconds: float
    ) -> Iterator[_Guarded]:
        """While this is open, the response is cut at the timeout or soon after ``stop`` is set."""
        entry = _Guarded(response, stop, time.monotonic() + timeout_seconds)
        with self._lock:
            self._guarded[id(entry)] = entry
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watch-interrupter", daemon=True)
                self._thread.start()
        try:
            yield entry
        finally:
            with self._lock:
                del self._guarded[id(entry)]

    def _run(self) -> None:
        while True:
            time.sleep(_LOOK_EVERY_SECONDS)
            with self._lock:
                if not self._guarded:
                    self._thread = None
                    return
                now = time.monotonic()
                for entry in self._guarded.values():
                    if not entry.cut and (now > entry.until or entry.is_over()):
                        entry.cut = True
                        with contextlib.suppress(HTTPError, OSError, ValueError, RuntimeError):
                            entry.response.shutdown()


#: One for all clusters: it looks at its streams ten times a second, and there may be hundreds.
INTERRUPTER = Interrupter()


def events(response: BaseHTTPResponse, entry: _Guarded, call: str) -> Iterator[WatchEvent]:
    """The stream's events until it ends or is cut. An error object in the stream is raised as its cause."""
    for line in _lines(response, entry, call):
        try:
            value = orjson.loads(line)
        except ValueError as error:
            raise BadResponse(f"{call}: a line of the watch is not JSON ({error}).") from error
        yield _event(value, call)


def _lines(response: BaseHTTPResponse, entry: _Guarded, call: str) -> Iterator[bytes]:
    rest = b""
    while not entry.is_over():
        try:
            set_read_timeout(response, entry.until - time.monotonic() + GRACE_SECONDS)
            chunk = response.read1(_CHUNK_BYTES)
        except (HTTPError, OSError, ValueError, AttributeError) as error:
            if entry.is_over():
                return
            raise Unavailable(f"{call}: the watch broke off ({error}).") from error
        if not chunk:
            break
        *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else [rest + chunk]
        if len(rest) > _MAX_LINE_BYTES:
            raise BadResponse(f"{call}: a line of the watch does not end.")
        yield from (line for line in lines if line.strip())
    if rest.strip() and not entry.is_over():
        yield rest  # an answer without a last newline is whole or no JSON


def _event(value: Any, call: str) -> WatchEvent:
    if not isinstance(value, dict) or not isinstance(value.get("object"), dict):
        raise BadResponse(f"{call}: an event of the watch has an unknown shape.")
    if value.get("type") == "ERROR":
        raise errors.from_status(value["object"], call)
    if value.get("type") not in _TYPES:
        raise BadResponse(f"{call}: an event of the watch has the unknown type {value.get('type')!r}.")
    return WatchEvent(type=value["type"], object=value["object"])
