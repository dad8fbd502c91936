"""The watcher: of several, the one that holds the Lease watches the cluster and reports faults."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from healing.deadline import Deadline
from healing.detection import heartbeat
from healing.detection.cache import ObjectCache
from healing.detection.evaluation import NEEDED_KINDS, Evaluator
from healing.detection.informer import Informer, Sink
from healing.detection.leader import LeaderElector, Timing
from healing.detection.policies import PolicyBook
from healing.detection.policy_sync import KIND as POLICY_KIND, PolicySync
from healing.detection.polling import MetricsPoller
from healing.detection.reporting import Reporter
from healing.detection.tracking import Tracker
from healing.ports import Ports

log = structlog.get_logger(__name__)

#: Owners before what they own, so that few owners are missing when their pods come.
WATCHED_KINDS = (
    "Node",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Job",
    "HorizontalPodAutoscaler",
    "Service",
    "Event",
    "Pod",
)
STOP_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Options:
    """``lease_namespace``: where the Lease lies. ``policy_namespaces``: empty for all."""

    lease_namespace: str = "recist-system"
    policy_namespaces: tuple[str, ...] = ()
    timing: Timing = field(default_factory=Timing)
    identity: str = ""


class Session:
    """One reign: everything that runs while we lead, from `start` to `stop`."""

    def __init__(self, ports: Ports, options: Options, may_act: Callable[[], bool]) -> None:
        self._stop = threading.Event()
        self.cache = ObjectCache()
        self.tracker = Tracker()
        book = PolicyBook(ports.cluster_name)
        reporter = Reporter(ports.cluster_name, self.cache, book, may_act)
        self.evaluator = Evaluator(self.cache, self.tracker, reporter, self._stop)
        policies = PolicySync(
            ports.cluster_name, ports.cluster, self.cache, book, self._stop, options.policy_namespaces
        )
        self.informers = [self._informer(kind, ports, self.evaluator) for kind in WATCHED_KINDS]
        self.informers.append(self._informer(POLICY_KIND, ports, policies))
        self.poller = (
            MetricsPoller(ports.metrics, self.cache, self.tracker, book, self.evaluator.poke, self._stop)
            if ports.metrics is not None
            else None
        )
        runs = [*((f"watch-{i.kind}", i.run) for i in self.informers), ("evaluate", self.evaluator.run)]
        runs.append(("policies", policies.run))
        if self.poller is not None:
            runs.append(("metrics", self.poller.run))
        self._threads = [threading.Thread(target=run, name=name, daemon=True) for name, run in runs]

    def start(self) -> None:
        """Start all threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """Stop acting at once, and wait a moment for the threads; they are daemons and may be left behind."""
        self._stop.set()
        self.evaluator.poke()
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        late = [thread.name for thread in self._threads if thread.is_alive()]
        if late:
            log.info("threads left behind", threads=late)

    def problems(self) -> dict[str, str]:
        """What cannot be reached right now."""
        found = {informer.kind: informer.problem for informer in self.informers if informer.problem}
        if self.poller is not None and self.poller.problem:
            found["Prometheus"] = self.poller.problem
        return found

    def is_synced(self) -> bool:
        """Whether the cluster has been read as a whole."""
        return all(informer.last_heard_at > 0 for informer in self.informers if informer.kind in NEEDED_KINDS)

    def objects(self) -> int:
        """How many objects are in the cache."""
        return sum(len(self.cache.list(kind)) for kind in WATCHED_KINDS)

    def _informer(self, kind: str, ports: Ports, sink: Sink) -> Informer:
        return Informer(kind, ports.cluster, self.cache, sink, self._stop)


class Watcher:
    """`run` until told to stop. Several may run; one leads."""

    def __init__(self, ports: Ports, options: Options | None = None) -> None:
        self._ports = ports
        self._options = options or Options()
        identity = self._options.identity or f"{socket.gethostname()}_{os.getpid()}_{secrets.token_hex(3)}"
        self.elector = LeaderElector(
            ports.cluster, self._options.lease_namespace, identity, timing=self._options.timing
        )
        self.session: Session | None = None

    def run(self, stop: threading.Event) -> None:
        """Returns within two seconds after ``stop`` is set."""
        electing = threading.Thread(target=self.elector.run, args=(stop,), name="lease", daemon=True)
        electing.start()
        next_beat_at = 0.0
        while not stop.is_set():
            self._follow_the_lease()
            if time.monotonic() >= next_beat_at:
                next_beat_at = time.monotonic() + heartbeat.EVERY_SECONDS
                self._beat()
            self.elector.changed.wait(0.1)
            self.elector.changed.clear()
        deadline = Deadline.after(STOP_SECONDS)
        if self.session is not None:
            self.session.stop(deadline.remaining_seconds())
            self.session = None
        electing.join(max(0.1, deadline.remaining_seconds()))

    def _follow_the_lease(self) -> None:
        leads = self.elector.is_leader()
        if leads and self.session is None:
            self.session = Session(self._ports, self._options, self.elector.is_leader)
            self.session.start()
        elif not leads and self.session is not None:
            log.warning("no longer leading: watching stops")
            self.session.stop()
            self.session = None

    def _beat(self) -> None:
        session, problems = self.session, {}
        if self.elector.problem:
            problems["Lease"] = self.elector.problem
        if session is None:
            if not self.elector.holder or self.elector.problem:
                heartbeat.write(self._ports.cluster_name, self._heartbeat(problems))
            return
        lags = list(session.evaluator.lags)
        heartbeat.write(
            self._ports.cluster_name,
            self._heartbeat(
                {**problems, **session.problems()},
                is_leader=True,
                lag_seconds=round(max(lags), 4) if lags else None,
                objects=session.objects(),
                synced=session.is_synced(),
            ),
        )

    def _heartbeat(
        self,
        problems: dict[str, str],
        *,
        is_leader: bool = False,
        lag_seconds: float | None = None,
        objects: int = 0,
        synced: bool = False,
    ) -> heartbeat.Heartbeat:
        return heartbeat.Heartbeat(
            at=datetime.now(UTC).isoformat(),
            identity=self.elector.identity,
            is_leader=is_leader,
            leader=self.elector.holder,
            lag_seconds=lag_seconds,
            objects=objects,
            synced=synced,
            problems=problems,
        )
