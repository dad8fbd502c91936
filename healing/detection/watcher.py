"""The watcher: of several, the one that holds the Lease watches the cluster and reports faults.

One process may hold a watcher for each of many clusters (`run_all`). One whose cluster does not answer is a single
thread that sleeps between two tries at its Lease.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
from structlog.contextvars import bound_contextvars

from healing import alive, shared_clock
from healing.deadline import Deadline
from healing.detection import heartbeat
from healing.detection.cache import ObjectCache
from healing.detection.evaluation import NEEDED_KINDS, OPTIONAL_KINDS, Evaluator
from healing.detection.gathering import Gathering
from healing.detection.informer import Informer, Sink
from healing.detection.leader import LeaderElector, Timing
from healing.detection.policies import PolicyBook
from healing.detection.policy_sync import PolicySync
from healing.detection.polling import MetricsPoller
from healing.detection.reporting import Reporter
from healing.detection.surveying import Surveyor
from healing.detection.tracking import Tracker
from healing.policy_changes.resource import KIND as POLICY_KIND
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
    "Ingress",
    "HTTPRoute",
    "PodDisruptionBudget",
    "PersistentVolumeClaim",
    "Event",
    "Pod",
)
CLUSTER_SCOPED = frozenset({"Node"})
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
        self.informers = [i for kind in WATCHED_KINDS for i in self._informers(kind, ports, self.evaluator)]
        self.informers += self._informers(POLICY_KIND, ports, policies)
        self.poller = (
            MetricsPoller(ports.metrics, self.cache, self.tracker, book, self.evaluator.poke, self._stop)
            if ports.metrics is not None
            else None
        )
        runs = [*((f"watch-{i.kind}{i.namespace and '-'}{i.namespace}", i.run) for i in self.informers)]
        runs.append(("evaluate", self.evaluator.run))
        runs.append(("policies", policies.run))
        runs.append(("map", Surveyor(ports.cluster_name, self.cache, self._stop, self.is_synced).run))
        if self.poller is not None:
            runs.append(("metrics", self.poller.run))
        self._cluster_name = ports.cluster_name
        self._threads = [
            threading.Thread(target=self._run, args=(run,), name=f"{ports.cluster_name}-{name}", daemon=True)
            for name, run in runs
        ]

    def start(self) -> None:
        """Start all threads."""
        for thread in self._threads:
            thread.start()

    def ask_to_stop(self) -> None:
        """Stop acting at once."""
        self._stop.set()
        self.evaluator.poke()

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """Stop acting at once, and wait a moment for the threads; they are daemons and may be left behind."""
        self.ask_to_stop()
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        late = [thread.name for thread in self._threads if thread.is_alive()]
        if late:
            log.info("threads left behind", threads=late)

    def problems(self) -> dict[str, str]:
        """What cannot be reached right now."""
        found = {
            f"{informer.kind} in {informer.namespace}" if informer.namespace else informer.kind: informer.problem
            for informer in self.informers
            if informer.problem
        }
        if self.poller is not None and self.poller.problem:
            found["Prometheus"] = self.poller.problem
        return found

    def is_synced(self) -> bool:
        """Whether the cluster has been read as a whole."""
        needed = [i for i in self.informers if i.kind in NEEDED_KINDS and not i.is_optional]
        return all(informer.last_heard_at > 0 for informer in needed)

    def objects(self) -> int:
        """How many objects are in the cache."""
        return sum(len(self.cache.list(kind)) for kind in WATCHED_KINDS)

    def _run(self, run: Callable[[], None]) -> None:
        with bound_contextvars(cluster=self._cluster_name):
            run()

    def _informers(self, kind: str, ports: Ports, sink: Sink) -> list[Informer]:
        """One, or one for each namespace that we are limited to; then what has no namespace may well be hidden."""
        optional = kind in OPTIONAL_KINDS
        if not ports.namespaces or kind in CLUSTER_SCOPED:
            optional = optional or bool(ports.namespaces)
            return [Informer(kind, ports.cluster, self.cache, sink, self._stop, is_optional=optional)]
        parts = Gathering(sink, ports.namespaces)
        return [
            Informer(kind, ports.cluster, self.cache, parts.of(name), self._stop, is_optional=optional, namespace=name)
            for name in ports.namespaces
        ]


class Watcher:
    """`run` until told to stop. Several may run for one cluster; one leads."""

    def __init__(self, ports: Ports, options: Options | None = None) -> None:
        self.cluster_name = ports.cluster_name
        self._ports = ports
        self._options = options or Options()
        identity = self._options.identity or f"{socket.gethostname()}_{os.getpid()}_{secrets.token_hex(3)}"
        self.elector = LeaderElector(
            ports.cluster,
            self._options.lease_namespace,
            identity,
            timing=self._options.timing,
            on_change=self.follow_the_lease,
        )
        self.session: Session | None = None
        self._turning = threading.Lock()
        self._ending = False
        self._electing: threading.Thread | None = None

    def run(self, stop: threading.Event) -> None:
        """Returns within two seconds after ``stop`` is set."""
        run_all([self], stop)

    def start(self, stop: threading.Event) -> None:
        """Begin to try for the Lease, until ``stop`` is set; the one thread a cluster that is away costs."""

        def elect() -> None:
            with bound_contextvars(cluster=self.cluster_name):
                self.elector.run(stop)

        self._electing = threading.Thread(target=elect, name=f"{self.cluster_name}-lease", daemon=True)
        self._electing.start()

    def follow_the_lease(self) -> None:
        """Start or stop watching as leadership says; any thread may call it at any time."""
        with self._turning:
            leads = self.elector.is_leader() and not self._ending
            if leads and self.session is None:
                self.session = Session(self._ports, self._options, self.elector.is_leader)
                self.session.start()
            elif not leads and self.session is not None:
                log.warning("no longer leading: watching stops", cluster=self.cluster_name)
                self.session.stop()
                self.session = None

    def ask_to_stop(self) -> None:
        """Watch no more; `finish` waits for what still runs."""
        with self._turning:
            self._ending = True
            if self.session is not None:
                self.session.ask_to_stop()

    def finish(self, deadline: Deadline) -> None:
        """Wait for the threads until the deadline; the stop that `start` was given has to be set."""
        self.ask_to_stop()
        if self.session is not None:
            self.session.stop(max(0.0, deadline.remaining_seconds()))
            self.session = None
        if self._electing is not None:
            self._electing.join(max(0.0, deadline.remaining_seconds()))

    def sign_of_life(self) -> heartbeat.Heartbeat | None:
        """How it goes; None where another watcher leads, who says so itself."""
        session, problems = self.session, {}
        if self.elector.problem:
            problems["Lease"] = self.elector.problem
        if session is None:
            silent = self.elector.holder and not self.elector.problem
            return None if silent else self._heartbeat(problems)
        lags = list(session.evaluator.lags)
        return self._heartbeat(
            {**problems, **session.problems()},
            is_leader=True,
            lag_seconds=round(max(lags), 4) if lags else None,
            objects=session.objects(),
            synced=session.is_synced(),
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
            at=shared_clock.now().isoformat(),
            identity=self.elector.identity,
            is_leader=is_leader,
            leader=self.elector.holder,
            lag_seconds=lag_seconds,
            objects=objects,
            synced=synced,
            problems=problems,
            answers=self.elector.answers,
        )


def run_all(watchers: Sequence[Watcher], stop: threading.Event) -> None:
    """Run them side by side until ``stop`` is set; returns within two seconds then, however many there are."""
    for watcher in watchers:
        watcher.start(stop)
    while True:
        for watcher in watchers:
            watcher.follow_the_lease()  # a Lease that ran out while a call hangs
        beats = {watcher.cluster_name: watcher.sign_of_life() for watcher in watchers}
        heartbeat.write_all({name: beat for name, beat in beats.items() if beat is not None})
        alive.touch("watcher", is_ready=any(watcher.elector.answers for watcher in watchers))
        if stop.wait(heartbeat.EVERY_SECONDS):
            break
    deadline = Deadline.after(STOP_SECONDS)
    for watcher in watchers:
        watcher.ask_to_stop()
    for watcher in watchers:
        watcher.finish(deadline)
