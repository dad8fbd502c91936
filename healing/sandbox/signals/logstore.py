"""Every line the containers print, by stream, bounded in number; outlives the pods, as Loki's copy does."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field

from healing.sandbox.signals.tsdb import Matcher

StreamLabels = tuple[tuple[str, str], ...]
Entry = tuple[int, str, StreamLabels]
_LEVEL = re.compile(
    r"(?:level|lvl|severity)[\"']?\s*[=:]\s*[\"']?(?P<key>\w+)"
    r"|\b(?P<word>fatal|critical|error|warn(?:ing)?|info|debug|trace)\b",
    re.IGNORECASE,
)
_NAMES = {
    "warning": "warn", "err": "error", "information": "info", "notice": "info", "emerg": "fatal", "panic": "fatal",
}  # fmt: skip
_KNOWN = frozenset({"fatal", "critical", "error", "warn", "info", "debug", "trace"})


def detect_level(text: str) -> str:
    """Loki's ``detected_level``: from a level field if there is one, else from a telling word."""
    unknown = "unknown"
    for found in _LEVEL.finditer(text[:500]):
        name = (found.group("key") or found.group("word")).lower()
        name = _NAMES.get(name, name)
        if name in _KNOWN:
            return name
    return unknown


@dataclass(slots=True)
class Stream:
    labels: StreamLabels
    #: (nanoseconds, text, structured metadata), in order
    entries: deque[Entry]
    levels: dict[str, str] = field(default_factory=dict)


class LogStore:
    """Streams of lines. ``max_lines`` a stream and ``max_total`` over all, oldest streams first."""

    def __init__(self, max_lines: int = 5000, max_total: int = 400_000) -> None:
        self._max_lines = max_lines
        self._max_total = max_total
        self._streams: dict[StreamLabels, Stream] = {}
        self._total = 0

    def push(self, labels: dict[str, str], time_ns: int, text: str, metadata: StreamLabels = ()) -> None:
        key = tuple(sorted(labels.items()))
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = Stream(key, deque(maxlen=self._max_lines))
        entries = stream.entries
        if entries and time_ns <= entries[-1][0]:
            time_ns = entries[-1][0] + 1  # keep the order of lines printed at one moment
        if len(entries) < self._max_lines:
            self._total += 1
        entries.append((time_ns, text, metadata))
        if self._total > self._max_total:
            self._evict()

    def _evict(self) -> None:
        oldest = min(self._streams.values(), key=lambda stream: stream.entries[-1][0])
        self._total -= len(oldest.entries)
        del self._streams[oldest.labels]

    def streams(self, matchers: list[Matcher], start_ns: int, end_ns: int) -> list[Stream]:
        """Streams that match and have a line in ``[start, end)``."""
        found = []
        for stream in self._streams.values():
            pairs = dict(stream.labels)
            if all(m.matches(pairs.get(m.name, "")) for m in matchers) and (
                stream.entries[0][0] < end_ns and stream.entries[-1][0] >= start_ns
            ):
                found.append(stream)
        return found

    @staticmethod
    def between(stream: Stream, start_ns: int, end_ns: int) -> list[Entry]:
        entries = list(stream.entries)
        low, high = (bisect_left(entries, at, key=lambda entry: entry[0]) for at in (start_ns, end_ns))
        return entries[low:high]
