"""Asks Prometheus every few seconds for what the policies have thresholds on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connections

from healing import shared_clock
from healing.detection.cache import Key, ObjectCache
from healing.detection.metrics import METRIC, REQUEST_SYMPTOMS, RequestWindow, Results, metric_sightings
from healing.detection.policies import PolicyBook, PolicySet
from healing.detection.queries import BATCH, CPU, LATENCY, MEMORY, REQUESTS, promql
from healing.detection.sighting import Sighting
from healing.detection.tracking import Tracker
from healing.ports.errors import SourceError
from healing.ports.metrics import Metrics, Sample
from healing.queries.requests import Loads, RequestReader

log = structlog.get_logger(__name__)

#: Between two polls: the longest, the shortest where Prometheus answers quickly, and how many times as long as an
#: answer takes, so that a server that has much to do is not asked more for it.
EVERY_SECONDS = 5.0
SOON_SECONDS = 3.0
_PATIENCE = 15.0
#: What is about to be reported is asked for once more so long before: it may have ended meanwhile.
_CONFIRM_SECONDS = 0.4
QUERY_TIMEOUT_SECONDS = 4.0
#: After so long without numbers nothing is known any more: sightings end.
BLIND_AFTER_SECONDS = 20.0
_SAY_AGAIN_SECONDS = 60.0


class MetricsPoller:
    """`run` in a thread of its own."""

    def __init__(
        self,
        metrics: Metrics,
        cache: ObjectCache,
        tracker: Tracker,
        policies: PolicyBook,
        poke: Callable[[], None],
        stop: threading.Event,
    ) -> None:
        self._metrics = metrics
        self._requests = RequestReader(metrics)
        self._cache = cache
        self._tracker = tracker
        self._policies = policies
        self._poke = poke
        self._stop = stop
        self._said_at = float("-inf")
        self.answered_at = time.monotonic()
        self.problem = ""

    def run(self) -> None:
        """Until ``stop`` is set."""
        try:
            while not self._stop.is_set():
                started_at = time.monotonic()
                try:
                    close_old_connections()
                    self.poll(shared_clock.now())
                except (SourceError, DatabaseError, InterfaceError) as error:
                    self._say(error)
                except Exception:  # a series of an unknown shape must not end the polling
                    log.exception("metrics could not be judged")
                if time.monotonic() - self.answered_at > BLIND_AFTER_SECONDS:
                    self._forget()
                self._stop.wait(self.pause_seconds(time.monotonic() - started_at))
        finally:
            connections.close_all()

    def pause_seconds(self, took_seconds: float) -> float:
        """How long to wait after a poll that took so long."""
        every = min(EVERY_SECONDS, max(SOON_SECONDS, _PATIENCE * took_seconds))
        pause = max(0.5, every - took_seconds)
        due_in = self._tracker.seconds_until_due(METRIC)
        if due_in is None or due_in > pause:
            return pause
        return max(0.5, due_in - _CONFIRM_SECONDS - took_seconds)

    def poll(self, now: datetime) -> None:
        """Ask and judge once. Raises `healing.ports.errors` and what the database raises."""
        policies = self._policies.current()
        results = self._ask(policies)
        windows = self._ask_requests(policies)
        found = metric_sightings(results, self._cache, policies.thresholds, now, windows)
        if newer := self._ask_newer(found):
            found = metric_sightings(results, self._cache, policies.thresholds, now, [*windows, *newer])
        self.answered_at, self.problem = time.monotonic(), ""
        for key in set(self._tracker.keys(METRIC)) - found.keys():
            self._tracker.update(key, (), now)
        for key, sightings in found.items():
            self._tracker.update(key, sightings, now)
        self._poke()

    def _ask(self, policies: PolicySet) -> Results:
        results: dict[str, list[Sample]] = {}
        for name, namespaces in _wanted(policies, _USE_THRESHOLDS):
            ordered = sorted(namespaces)
            for start in range(0, len(ordered), BATCH):
                if self._stop.is_set():
                    return {}
                query = promql(name, ordered[start : start + BATCH])
                results.setdefault(name, []).extend(self._metrics.query(query, timeout_seconds=QUERY_TIMEOUT_SECONDS))
        return results

    def _ask_requests(self, policies: PolicySet) -> list[RequestWindow]:
        loads: Loads = {}
        wanted = dict(_wanted(policies, _REQUEST_THRESHOLDS))
        for name, namespaces in wanted.items():
            found = self._requests.of_namespaces(
                namespaces,
                window="long",
                errors=name == REQUESTS,
                latency=name == LATENCY,
                timeout_seconds=QUERY_TIMEOUT_SECONDS,
            )
            for place, by_family in found.items():
                loads.setdefault(place, {}).update(by_family)
        return [RequestWindow(self._requests.window_seconds("long"), loads)] if wanted else []

    def _ask_newer(self, found: dict[Key, list[Sighting]]) -> list[RequestWindow]:
        """Newer windows of the namespaces in which requests look bad: mostly of none."""
        namespaces = {
            sighting.target.ref.namespace
            for sightings in found.values()
            for sighting in sightings
            if sighting.symptom in REQUEST_SYMPTOMS
        }
        if not namespaces:
            return []
        windows = []
        for name in ("short", "middle", "newest"):
            loads = self._requests.of_namespaces(
                namespaces, window=name, errors=True, latency=True, timeout_seconds=QUERY_TIMEOUT_SECONDS
            )
            windows.append(RequestWindow(self._requests.window_seconds(name), loads))
        return windows

    def _forget(self) -> None:
        for key in self._tracker.keys(METRIC):
            self._tracker.forget(key)

    def _say(self, error: Exception) -> None:
        self.problem = str(error)
        if time.monotonic() - self._said_at > _SAY_AGAIN_SECONDS:
            self._said_at = time.monotonic()
            log.warning("metrics cannot be read", error=str(error))


_USE_THRESHOLDS = ((CPU, "cpu"), (MEMORY, "memory"))
_REQUEST_THRESHOLDS = ((LATENCY, "latency_ms"), (REQUESTS, "error_rate"))


def _wanted(policies: PolicySet, thresholds: Sequence[tuple[str, str]]) -> Iterator[tuple[str, set[str]]]:
    """Each of these with the namespaces that have a threshold for it."""
    for query, name in thresholds:
        namespaces = {
            namespace
            for _, spec in policies.policies
            if getattr(spec.thresholds, name) is not None
            for namespace in spec.target_namespaces
        }
        if namespaces:
            yield query, namespaces
