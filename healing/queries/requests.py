"""Asks for requests served: first which metrics there are and how often they are scraped, then only for those."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from healing.ports.metrics import Metrics, Sample
from healing.queries import catalogue, http
from healing.queries.load import RequestLoad

#: A family that has come to be is noticed within this time.
DISCOVER_EVERY_SECONDS = 15.0
#: How often a family is scraped hardly ever changes.
_MEASURE_EVERY_SECONDS = 300.0
#: Windows that may be the newest: the shortest that holds two scrapes of most series.
_NEWEST_SECONDS = (5, 10, 20, 30, 45, 60, 120, 300)

#: (kind, namespace, name) of a pod or Service -> preference of the family (0 is best) -> its requests
Loads = dict[tuple[str, str, str], dict[int, RequestLoad]]


@dataclass(frozen=True, slots=True)
class Windows:
    """Seconds that rates are taken over. ``newest`` holds two or three scrapes."""

    newest: int = 30
    middle: int = 30
    short: int = 30
    long: int = 60

    @classmethod
    def of(cls, newest: int) -> Windows:
        short = max(30, newest)
        return cls(newest, max(newest, short // 2), short, max(60, 2 * newest))

    def seconds(self, name: str) -> int:
        return int(getattr(self, name))


@dataclass(slots=True)
class _Known:
    """What one Prometheus holds."""

    families: list[http.Family] = field(default_factory=list)
    windows: dict[str, Windows] = field(default_factory=dict)
    #: families without a status or a place: not asked for until the next measuring
    mute: set[str] = field(default_factory=set)
    discovered_at: float = -math.inf
    measured_at: float = -math.inf


_known: WeakKeyDictionary[Metrics, _Known] = WeakKeyDictionary()
_lock = threading.Lock()


class RequestReader:
    """Reads the requests of pods and Services. What is known of a Prometheus is shared by all its readers."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        with _lock:
            self._of_server = _known.setdefault(metrics, _Known())

    def of_namespaces(
        self, namespaces: Iterable[str], *, window: str, errors: bool, latency: bool, timeout_seconds: float
    ) -> Loads:
        """``window``: newest, middle, short or long. Raises `healing.ports.errors`."""
        chosen = sorted(set(namespaces))
        loads: Loads = {}
        for family in self._wanted(errors=errors, latency=latency, timeout_seconds=timeout_seconds):
            for start in range(0, len(chosen), catalogue.NAMESPACES_AT_ONCE):
                batch = chosen[start : start + catalogue.NAMESPACES_AT_ONCE]
                where = _of_namespaces(family, batch)
                self._read(family, where, window, frozenset(chosen), loads, timeout_seconds)
        return loads

    def of_pods(
        self,
        namespace: str,
        pods: Iterable[str],
        *,
        window: str,
        errors: bool,
        latency: bool,
        timeout_seconds: float,
    ) -> Loads:
        """Only what pods say of themselves. Raises `healing.ports.errors`."""
        loads: Loads = {}
        for family in self._wanted(errors=errors, latency=latency, timeout_seconds=timeout_seconds):
            if not family.is_of_services:
                where = {"where": catalogue.of_pods(namespace, pods)}
                self._read(family, where, window, frozenset({namespace}), loads, timeout_seconds)
        return loads

    def over(self, namespaces: Iterable[str], *, window_seconds: int, timeout_seconds: float) -> Loads:
        """Requests and errors over a window of any length. Raises `healing.ports.errors`."""
        chosen = sorted(set(namespaces))
        loads: Loads = {}
        for family in self._wanted(errors=True, latency=False, timeout_seconds=timeout_seconds):
            for start in range(0, len(chosen), catalogue.NAMESPACES_AT_ONCE):
                batch = chosen[start : start + catalogue.NAMESPACES_AT_ONCE]
                where = _of_namespaces(family, batch)
                query = catalogue.RATES[family.name].text(**where, window=f"{window_seconds}s")
                for sample in self._metrics.query(query, timeout_seconds=timeout_seconds):
                    add(sample, family, loads, frozenset(chosen))
        return loads

    def window_seconds(self, window: str) -> int:
        """The longest of the families' windows of this name."""
        return max((w.seconds(window) for w in self._of_server.windows.values()), default=Windows().seconds(window))

    def _read(
        self,
        family: http.Family,
        where: Mapping[str, str],
        window: str,
        namespaces: frozenset[str],
        loads: Loads,
        timeout_seconds: float,
    ) -> None:
        seconds = self._of_server.windows.get(family.name, Windows()).seconds(window)
        query = catalogue.RATES[family.name].text(**where, window=f"{seconds}s")
        samples = self._metrics.query(query, timeout_seconds=timeout_seconds)
        useful = [add(sample, family, loads, namespaces) for sample in samples]
        if samples and not any(useful):
            self._of_server.mute.add(family.name)

    def _wanted(self, *, errors: bool, latency: bool, timeout_seconds: float) -> list[http.Family]:
        self._discover(timeout_seconds)
        known = self._of_server
        return [f for f in known.families if (latency if f.is_histogram else errors) and f.name not in known.mute]

    def _discover(self, timeout_seconds: float) -> None:
        known, now = self._of_server, self._clock()
        if now - known.discovered_at < DISCOVER_EVERY_SECONDS:
            return
        found = self._metrics.query(catalogue.HTTP_FAMILIES.text(), timeout_seconds=timeout_seconds)
        names = {sample.labels.get("__name__", "") for sample in found}
        families = [f for f in http.FAMILIES if _count_name(f) in names]
        again = now - known.measured_at >= _MEASURE_EVERY_SECONDS
        windows = {} if again else dict(known.windows)
        for family in families:
            if family.name not in windows:
                newest = self._newest_window(_count_name(family), timeout_seconds)
                if newest is not None:
                    windows[family.name] = Windows.of(newest)
        known.families, known.windows, known.discovered_at = families, windows, now
        if again:
            known.measured_at = now
            known.mute.clear()

    def _newest_window(self, metric: str, timeout_seconds: float) -> int | None:
        for seconds in _NEWEST_SECONDS:
            query = catalogue.SCRAPED_TWICE.text(metric=metric, window=f"{seconds}s")
            samples = self._metrics.query(query, timeout_seconds=timeout_seconds)
            if samples and samples[0].value >= 2:
                return seconds
        return None  # just born: asked again at the next discovery


def _of_namespaces(family: http.Family, batch: list[str]) -> Mapping[str, str]:
    return {"namespaces": "|".join(batch)} if family.is_of_services else {"where": catalogue.in_namespaces(batch)}


def _count_name(family: http.Family) -> str:
    return f"{family.name.removesuffix('_bucket')}_count" if family.is_histogram else family.name


def add(sample: Sample, family: http.Family, loads: Loads, namespaces: frozenset[str] = frozenset()) -> bool:
    """Count one series of a family's answer; False: it does not tell where or how requests ended."""
    place = http.place_of(family, sample.labels, namespaces)
    if place is None or not math.isfinite(sample.value):
        return False
    preference = http.FAMILIES.index(family)
    if family.is_histogram:
        try:
            bound = float(sample.labels.get("le", ""))
        except ValueError:
            return False
        load = loads.setdefault(place, {}).setdefault(preference, RequestLoad())
        load.buckets[bound * family.bucket_seconds] += sample.value
        return True
    status = http.status_of(family, sample.labels)
    if not status:  # requests whose outcome is not told say nothing about errors
        return False
    load = loads.setdefault(place, {}).setdefault(preference, RequestLoad())
    load.requests += sample.value
    if http.is_failure(status):
        load.errors += sample.value
    return True


def best(by_family: Mapping[int, RequestLoad]) -> RequestLoad:
    """Of metrics that count the same requests, the preferred one that has any; for their times likewise."""
    merged = RequestLoad()
    for _, load in sorted(by_family.items()):
        if not merged.requests and load.requests:
            merged.requests, merged.errors = load.requests, load.errors
        if not merged.timed and load.timed:
            merged.buckets = load.buckets
    return merged
