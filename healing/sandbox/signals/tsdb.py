"""An in-memory time series store: about an hour of samples, shared scrape times, runs of equal values.

Most series of a cluster (limits, phases, requests) hardly ever change. All series of one scrape target
share the target's list of scrape times, and a series stores only the samples at which its value changed, so a
constant costs one entry however long it lives. Times are milliseconds since the epoch, as in Prometheus.
"""

from __future__ import annotations

import math
import re
import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Labels = tuple[tuple[str, str], ...]  # sorted by name; the metric's name is the label __name__

#: Prometheus' own bit pattern for "this series has ended"; any NaN with it hides the series at once.
_STALE_BITS = 0x7FF0000000000002
STALE: float = struct.unpack("<d", struct.pack("<Q", _STALE_BITS))[0]


def is_stale(value: float) -> bool:
    return math.isnan(value) and struct.unpack("<Q", struct.pack("<d", value))[0] == _STALE_BITS


def make_labels(name: str, labels: Iterable[tuple[str, str]]) -> Labels:
    """Sorted labels; empty values are the same as absent ones, as in Prometheus."""
    return tuple(sorted([("__name__", name), *((key, value) for key, value in labels if value != "")]))


@dataclass(frozen=True, slots=True)
class Matcher:
    name: str
    #: ``=``, ``!=``, ``=~`` or ``!~``
    op: str
    value: str
    pattern: re.Pattern[str] | None = None

    def matches(self, value: str) -> bool:
        if self.op == "=":
            return value == self.value
        if self.op == "!=":
            return value != self.value
        assert self.pattern is not None
        found = self.pattern.fullmatch(value) is not None
        return found if self.op == "=~" else not found


def matcher(name: str, op: str, value: str) -> Matcher:
    """Raises `re.error` for a bad pattern."""
    pattern = re.compile(value, re.DOTALL) if op in ("=~", "!~") else None
    return Matcher(name, op, value, pattern)


class Series:
    """Samples of one label set at its target's scrapes; run ``i`` lasts from ``starts[i]`` to the next start."""

    __slots__ = ("end", "labels", "starts", "target", "values")

    def __init__(self, labels: Labels, target: Target) -> None:
        self.labels = labels
        self.target = target
        self.starts = array("q")
        self.values = array("d")
        self.end = 0  # number of the scrape after the last one seen

    def append(self, scrape: int, value: float) -> None:
        values = self.values
        if not values or values[-1] != value or self.end != scrape:
            self.starts.append(scrape)
            values.append(value)
        self.end = scrape + 1

    def window(self, start_ms: int, end_ms: int) -> tuple[list[int], list[float]]:
        """Samples with ``start_ms <= time <= end_ms``, staleness markers included."""
        target = self.target
        low = bisect_left(target.times, start_ms) + target.base
        high = min(bisect_right(target.times, end_ms) + target.base, self.end)
        starts, values = self.starts, self.values
        if not starts:
            return [], []
        low = max(low, starts[0])
        if low >= high:
            return [], []
        out: list[float] = []
        run = bisect_right(starts, low) - 1
        position = low
        while position < high:
            stop = min(starts[run + 1] if run + 1 < len(starts) else high, high)
            out.extend([values[run]] * (stop - position))
            position = stop
            run += 1
        return list(target.times[low - target.base : high - target.base]), out

    def trim(self, base: int) -> None:
        drop = bisect_right(self.starts, base) - 1
        if drop > 0:
            del self.starts[:drop]
            del self.values[:drop]
        if self.starts and self.starts[0] < base:
            self.starts[0] = base


@dataclass(slots=True)
class Target:
    """One scraped endpoint: its identity labels and when it was scraped. ``base`` counts forgotten scrapes."""

    name: str
    times: array[int] = field(default_factory=lambda: array("q"))
    base: int = 0
    live: dict[Labels, Series] = field(default_factory=dict)

    @property
    def next_scrape(self) -> int:
        return self.base + len(self.times)


class Store:
    """All series, findable by metric name and matchers."""

    def __init__(self, retention_seconds: float = 3600.0) -> None:
        self.retention_ms = int(retention_seconds * 1000)
        self.targets: dict[str, Target] = {}
        self._by_name: dict[str, dict[Labels, Series]] = {}

    def write(self, target_name: str, time_ms: int, samples: Iterable[tuple[Labels, float]]) -> None:
        """One scrape. A series of this target that is missing from ``samples`` gets a staleness marker."""
        target = self.targets.get(target_name)
        if target is None:
            target = self.targets[target_name] = Target(target_name)
        if target.times and time_ms <= target.times[-1]:
            return
        scrape = target.next_scrape
        target.times.append(time_ms)
        live = target.live
        for labels, value in samples:
            series = live.get(labels)
            if series is None:
                series = live[labels] = self._series(labels, target)
            series.append(scrape, value)
        gone = [labels for labels, series in live.items() if series.end <= scrape]
        for labels in gone:
            live.pop(labels).append(scrape, STALE)
        self._trim(target, time_ms)

    def _series(self, labels: Labels, target: Target) -> Series:
        named = self._by_name.setdefault(dict(labels)["__name__"], {})
        series = named.get(labels)
        # the same labels from another target (a pod's address used again) start over
        if series is None or series.target is not target:
            series = named[labels] = Series(labels, target)
        return series

    def _trim(self, target: Target, now_ms: int) -> None:
        oldest = now_ms - self.retention_ms
        if target.times[0] >= oldest - self.retention_ms // 10:
            return
        drop = bisect_left(target.times, oldest)
        target.times = target.times[drop:]
        target.base += drop
        for named in self._by_name.values():
            ended = []
            for labels, series in named.items():
                if series.target is target:
                    if series.end <= target.base:
                        ended.append(labels)
                    else:
                        series.trim(target.base)
            for labels in ended:
                del named[labels]

    def forget_idle_targets(self, now_ms: int) -> None:
        """Drop targets (pods) not scraped for longer than the retention, with their series."""
        idle = {t.name for t in self.targets.values() if t.times and t.times[-1] < now_ms - self.retention_ms}
        for name in idle:
            del self.targets[name]
        if idle:
            for named in self._by_name.values():
                for labels in [key for key, series in named.items() if series.target.name in idle]:
                    del named[labels]

    def select(self, matchers: Sequence[Matcher]) -> list[Series]:
        """Series that match, ordered by labels."""
        name_matchers = [m for m in matchers if m.name == "__name__"]
        others = [m for m in matchers if m.name != "__name__"]
        found: list[Series] = []
        exact = next((m.value for m in name_matchers if m.op == "="), None)
        names = [exact] if exact is not None else list(self._by_name)
        for name in names:
            if all(m.matches(name) for m in name_matchers):
                for labels, series in self._by_name.get(name, {}).items():
                    as_dict = dict(labels)
                    if all(m.matches(as_dict.get(m.name, "")) for m in others):
                        found.append(series)
        found.sort(key=lambda series: series.labels)
        return found

    def series_between(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[Labels]:
        """Labels of the series that have a sample in the range."""
        chosen = self.select(matchers) if matchers else self.all()
        return [s.labels for s in chosen if any(not is_stale(v) for v in s.window(start_ms, end_ms)[1])]

    def all(self) -> list[Series]:
        return [series for named in self._by_name.values() for series in named.values()]

    def latest(self) -> list[tuple[Labels, float]]:
        """The newest sample of each series that is still scraped."""
        return [
            (labels, series.values[-1])
            for target in self.targets.values()
            for labels, series in target.live.items()
            if series.values and not math.isnan(series.values[-1])
        ]

    def __len__(self) -> int:
        return sum(len(named) for named in self._by_name.values())
