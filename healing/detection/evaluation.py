"""Looks at what has changed, and again at what is suspicious; reports what has lasted."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from datetime import datetime

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, connections

from healing import shared_clock
from healing.detection.budgets import budget_sightings
from healing.detection.cache import Key, ObjectCache, key_of
from healing.detection.claims import claim_sightings
from healing.detection.nodes import node_sightings
from healing.detection.owners import OwnerUnknown
from healing.detection.pods import pod_sightings
from healing.detection.reporting import Reporter
from healing.detection.routes import KINDS as ROUTES, route_sightings
from healing.detection.services import ServiceMemory, service_sightings
from healing.detection.sighting import Sighting
from healing.detection.stuck_nodes import nodes_to_look_at
from healing.detection.tracking import Tracked, Tracker
from healing.detection.workloads import workload_sightings
from healing.ports.cluster import Object

log = structlog.get_logger(__name__)

#: Nothing is judged before all of these have been read: without owners and pods everything looks broken.
NEEDED_KINDS = frozenset({"Pod", "Node", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "Service"})
_WORKLOADS = frozenset({"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job"})
#: Judged where the cluster has them and shows them; without them the rest goes on.
OPTIONAL_KINDS = frozenset({*ROUTES, "PodDisruptionBudget", "PersistentVolumeClaim"})
TICK_SECONDS = 1.0
#: How often is looked for what shows by nothing happening.
LOOK_AROUND_SECONDS = 5.0
#: An owner that has not shown by then is done without.
OWNER_WAIT_SECONDS = 10.0
_DATABASE_RETRY_SECONDS = 1.0


class Evaluator:
    """One thread (`run`) judges; others tell it what has changed."""

    def __init__(self, cache: ObjectCache, tracker: Tracker, reporter: Reporter, stop: threading.Event) -> None:
        self._cache = cache
        self._tracker = tracker
        self._reporter = reporter
        self._stop = stop
        self._wake = threading.Condition()
        self._dirty: dict[Key, None] = {}
        self._synced: set[str] = set()
        self._first_look: set[Key] = set()
        self._ownerless: dict[Key, float] = {}
        self._memory = ServiceMemory()
        self._routes_been_well: set[str] = set()
        #: seconds from the newest change to its evaluation, of the last few changes
        self.lags: deque[float] = deque(maxlen=50)
        self._oldest_change: float | None = None

    # --- told by others ------------------------------------------------------------------------------------

    def changed(self, key: Key) -> None:
        """An object was added, changed or deleted."""
        self._mark([key])

    def synced(self, kind: str, keys: Iterable[Key]) -> None:
        """A kind was listed as a whole (or is known not to exist)."""
        with self._wake:
            if kind not in self._synced:
                self._synced.add(kind)
                self._first_look.update(keys := list(keys))
        self._mark(keys)

    def poke(self) -> None:
        """Somebody put sightings into the tracker."""
        with self._wake:
            self._wake.notify()

    def _mark(self, keys: Iterable[Key]) -> None:
        with self._wake:
            for key in keys:
                self._dirty[key] = None
            if self._dirty and self._oldest_change is None:
                self._oldest_change = time.monotonic()
            self._wake.notify()

    # --- the loop ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until ``stop`` is set."""
        next_tick = next_look_around = time.monotonic()
        try:
            while not self._stop.is_set():
                self._wait(next_tick)
                if time.monotonic() >= next_tick:
                    next_tick = time.monotonic() + TICK_SECONDS
                    self._mark([*self._tracker.keys(), *self._ownerless])
                try:
                    if time.monotonic() >= next_look_around:
                        next_look_around = time.monotonic() + LOOK_AROUND_SECONDS
                        self.look_around(shared_clock.now())
                    self.evaluate_dirty(shared_clock.now())
                    self.report_due(shared_clock.now())
                except Exception:  # one object of an unknown shape must not stop detection
                    log.exception("evaluation failed")
        finally:
            connections.close_all()

    def _wait(self, next_tick: float) -> None:
        with self._wake:
            if self._dirty and self._is_ready():
                return
            seconds = max(0.0, next_tick - time.monotonic())
            due_in = self._tracker.seconds_until_due()
            if due_in is not None:
                seconds = min(seconds, due_in)
            self._wake.wait(max(0.01, seconds))

    def _is_ready(self) -> bool:
        return self._synced >= NEEDED_KINDS

    def look_around(self, now: datetime) -> None:
        """Mark what may have become a fault without any change."""
        self._mark([("Node", "", name) for name in sorted(nodes_to_look_at(self._cache, now))])

    def evaluate_dirty(self, now: datetime) -> None:
        """Look at everything that has been marked since the last time."""
        with self._wake:
            if not self._is_ready():
                return
            dirty, self._dirty = self._dirty, {}
            first_look, self._first_look = self._first_look, set()
            started_at, self._oldest_change = self._oldest_change, None
        for key in self._with_related(dirty):
            try:
                self._evaluate(key, now, is_first_look=key in first_look)
            except Exception:
                log.exception("an object could not be judged", object="/".join(key))
        if started_at is not None:
            self.lags.append(time.monotonic() - started_at)

    def _with_related(self, dirty: Iterable[Key]) -> dict[Key, None]:
        """The changed objects, and those whose judgement hangs on them."""
        keys: dict[Key, None] = {}
        namespaces, drained, routed = set(), False, False
        for kind, namespace, name in dirty:
            if kind == "Event":
                about = (self._cache.get(kind, namespace, name) or {}).get("involvedObject") or {}
                keys[(str(about.get("kind")), str(about.get("namespace") or ""), str(about.get("name")))] = None
            else:
                keys[(kind, namespace, name)] = None
            if kind == "Pod" or kind in _WORKLOADS:
                namespaces.add(namespace)
            drained |= kind in ("Node", "Pod")
            routed |= kind == "Service"
        for namespace in namespaces:
            keys.update(self._keys("Service", namespace))
            keys.update(self._keys("PersistentVolumeClaim", namespace))
        if drained and any((node.get("spec") or {}).get("unschedulable") for node in self._cache.list("Node")):
            keys.update(self._keys("PodDisruptionBudget"))
        for kind in ROUTES if routed else ():
            keys.update(self._keys(kind))
        return keys

    def _keys(self, kind: str, namespace: str = "") -> dict[Key, None]:
        return dict.fromkeys(key_of({**obj, "kind": kind}) for obj in self._cache.list(kind, namespace))

    def _evaluate(self, key: Key, now: datetime, *, is_first_look: bool) -> None:
        obj = self._cache.get(*key)
        if obj is None:
            if key[0] in NEEDED_KINDS | OPTIONAL_KINDS:
                self._tracker.forget(key)
                self._ownerless.pop(key, None)
            return
        try:
            sightings = self._look(obj, now, lenient=self._has_waited_for_owner(key))
        except OwnerUnknown:
            self._ownerless.setdefault(key, time.monotonic())
            return
        if not self._has_waited_for_owner(key):
            self._ownerless.pop(key, None)
        self._tracker.update(key, sightings, now, is_first_look=is_first_look)

    def _has_waited_for_owner(self, key: Key) -> bool:
        since = self._ownerless.get(key)
        return since is not None and time.monotonic() - since > OWNER_WAIT_SECONDS

    def _look(self, obj: Object, now: datetime, *, lenient: bool) -> list[Sighting]:
        kind = obj.get("kind")
        if kind == "Pod":
            return pod_sightings(obj, self._cache, now, lenient=lenient)
        if kind in _WORKLOADS:
            return workload_sightings(obj, self._cache, now, lenient=lenient)
        if kind == "Service":
            return service_sightings(obj, self._cache, now, self._memory)
        if kind == "Node":
            return node_sightings(obj, self._cache, now)
        if kind == "PodDisruptionBudget":
            return budget_sightings(obj, self._cache, now)
        if kind == "PersistentVolumeClaim":
            return claim_sightings(obj, self._cache, now)
        if kind in ROUTES:
            return route_sightings(obj, self._cache, now, self._routes_been_well)
        return []

    def report_due(self, now: datetime) -> None:
        """Report every sighting whose time has come. A database that is away is asked again in a second."""
        due = self._tracker.due()
        if not due:
            return
        close_old_connections()
        for tracked in due:
            if self._stop.is_set():
                return
            try:
                self._report(tracked, now)
            except (DatabaseError, InterfaceError) as error:
                log.warning("a fault waits for the database", symptom=tracked.sighting.symptom, error=str(error))
                close_old_connections()
                for late in due:
                    self._tracker.report_again_in(late, _DATABASE_RETRY_SECONDS)
                return
        close_old_connections()

    def _report(self, tracked: Tracked, now: datetime) -> None:
        report = self._reporter.report(tracked.sighting, tracked.standing_since, now)
        self._tracker.report_again_in(tracked, report.again_in_seconds)
        if report.event is None:
            log.debug("fault not opened", symptom=tracked.sighting.symptom, reason=report.reason)
