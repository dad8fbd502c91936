"""A snapshot of a live cluster, read side by side: what is late or refused is named as missing, not waited for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog

from healing import telemetry
from healing.deadline import Deadline
from healing.diagnosis import requests
from healing.diagnosis.collect import choose, shared
from healing.diagnosis.hypothesis import bare
from healing.diagnosis.scene import Scene
from healing.diagnosis.snapshot import LogKey, Snapshot
from healing.ports import Ports
from healing.ports.cluster import ObjectRef
from healing.ports.errors import Forbidden, Invalid, NotFound, SourceError
from healing.ports.metrics import Series
from healing.queries import catalogue

log = structlog.get_logger(__name__)

#: Secrets are left out on purpose: the kubelet's messages name what is missing in them.
NAMESPACED = (
    "Pod Deployment ReplicaSet StatefulSet DaemonSet ControllerRevision Job CronJob Service EndpointSlice Event"
    " ConfigMap NetworkPolicy Ingress ResourceQuota LimitRange PersistentVolumeClaim HorizontalPodAutoscaler"
    " PodDisruptionBudget Lease"
).split()
CLUSTER_WIDE = ("Node", "StorageClass", "PersistentVolume", "Namespace")
#: What every workload stands on: the cluster's DNS, kube-proxy, scheduler and controller manager.
SYSTEM_NAMESPACE = "kube-system"
_SYSTEM_KINDS = ("Pod", "Deployment", "ReplicaSet", "DaemonSet", "Service", "ConfigMap", "Event", "Lease")
#: Kinds that not every cluster has, and that we may not be allowed to read: then there is none of them.
OPTIONAL = ("HTTPRoute", "Gateway")
#: Without these nothing can be said.
ESSENTIAL = frozenset({"Pod"})
_NEIGHBOUR_KINDS = ("Pod", "Deployment", "ReplicaSet", "StatefulSet", "Service", "Event", "ConfigMap", "NetworkPolicy")
_CALL_SECONDS = 5.0
_WORKERS = 12
#: Prometheus is asked in steps of its own interval for the last moments, of these for what was before.
_STEP_SECONDS, _LEAST_STEP_SECONDS = 15.0, 5.0
_RECENT_STEPS, _BASELINE_STEPS = 60, 60


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a collector looks: back in metrics and logs, into how many namespaces, how many lines of each log."""

    metrics: timedelta = timedelta(minutes=30)
    logs: timedelta = timedelta(minutes=10)
    log_lines: int = 400
    loki_lines: int = 1000
    neighbours: int = 3


#: The first look, and the second, where the first did not settle it.
NEAR = Reach()
FAR = Reach(timedelta(hours=3), timedelta(hours=1), log_lines=3000, loki_lines=5000, neighbours=10)

Merge = Callable[[], None]
_T = TypeVar("_T")


def _nothing() -> None:
    """Nothing to add."""


class Collector:
    """Reads what explains the trouble of ``target``. Use once; `close` gives the threads back without waiting."""

    def __init__(
        self,
        ports: Ports,
        target: ObjectRef,
        *,
        now: datetime,
        deadline: Deadline,
        reach: Reach = NEAR,
        not_before: datetime | None = None,
    ) -> None:
        """``not_before``: what another diagnosis has read since then need not be read again (default: ``now``)."""
        self._not_before = not_before or now
        self._ports = ports
        self._reach = reach
        self._target = target
        self._deadline = deadline
        self._pool = ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="collect")
        self._started: dict[Future[Merge], str] = {}
        self.snapshot = Snapshot(live_now=now)
        self.missing_essential = False

    def start(self) -> None:
        """Ask for objects and metrics, without waiting."""
        namespace = self._target.namespace
        if self._ports.metrics is not None:
            self._step = self._pool.submit(telemetry.with_context(self._scrape_seconds))
        for kind in NAMESPACED:
            self._submit(f"kubernetes {kind}", self._list, kind, namespace)
        for kind in CLUSTER_WIDE:
            self._submit(f"kubernetes {kind}", self._list, kind, "")
        for kind in OPTIONAL if namespace else ():
            self._submit(f"kubernetes {kind}", self._list, kind, namespace)
        if namespace and namespace != SYSTEM_NAMESPACE:
            for kind in _SYSTEM_KINDS:
                self._submit(f"kubernetes {kind} in {SYSTEM_NAMESPACE}", self._list, kind, SYSTEM_NAMESPACE)
        if self._ports.metrics is None:
            self.snapshot.missing["metrics"] = "no Prometheus is configured"
        elif namespace:
            where = f'namespace="{namespace}"'
            for selector in (
                catalogue.CONTAINER_HISTORY.text(where=where),
                catalogue.REQUEST_HISTORY.text(names=requests.NAMES, where=where),
                catalogue.VOLUME_HISTORY.text(where=where),
                catalogue.NETWORK_HISTORY.text(where=where),
            ):
                self._submit("metrics", self._range, selector)
        if self._ports.metrics is not None:
            self._submit("alerts", self._alerts, namespace)

    def finish(self) -> Snapshot:
        """Wait for what was asked, then for neighbours and logs; leaves a little of the deadline."""
        self._join(self._deadline.remaining_seconds() * 0.6)
        scene = Scene(self.snapshot)
        for namespace in choose.other_namespaces(scene, self._target)[: self._reach.neighbours]:
            for kind in _NEIGHBOUR_KINDS:
                self._submit(f"kubernetes {kind} in {namespace}", self._list, kind, namespace)
            if self._ports.metrics is not None:
                # how those do that are called there; without it nobody can tell a slow one from a slow way to it
                where = f'namespace="{namespace}"'
                self._submit("metrics", self._range, catalogue.REQUEST_HISTORY.text(names=requests.NAMES, where=where))
        if self._started:
            self._join(self._deadline.remaining_seconds() * 0.4)
            scene = Scene(self.snapshot)
        wanted = choose.logs(scene, bare(self._target))
        for key in wanted:
            self._submit("logs", self._pod_log, key)
        if self._ports.logs is not None and self._target.namespace:
            self._submit("loki", self._loki, choose.pod_pattern(scene, bare(self._target)))
        if self._ports.metrics is not None and (nodes := choose.nodes(scene, bare(self._target))):
            self._submit(
                "node metrics", self._range, catalogue.NODE_HISTORY.text(names=catalogue.NODE_NAMES, nodes=nodes)
            )
        self._join(self._deadline.remaining_seconds() * 0.7)
        if self.snapshot.logs:
            self.snapshot.missing.pop("logs", None)
        elif wanted and "logs" not in self.snapshot.missing:
            self.snapshot.missing["logs"] = "no container has written any"
        return self.snapshot

    def close(self) -> None:
        """Leave what still runs to its own timeout."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    # --- threads ---

    def _submit(self, source: str, call: Callable[..., Merge], *arguments: Any) -> None:
        self._started[self._pool.submit(telemetry.with_context(call), *arguments)] = source

    def _join(self, seconds: float) -> None:
        """Take what is done by then; name the rest."""
        done, late = wait(self._started, timeout=max(0.05, seconds))
        for future in done:
            source, error = self._started[future], future.exception()
            if error is None:
                future.result()()
                continue
            if isinstance(error, SourceError):
                self._miss(source, str(error))
            else:
                log.error("collecting failed", source=source, exc_info=error)
                self._miss(source, f"{type(error).__name__}: {error}")
        for future in late:
            future.cancel()
            self._miss(self._started[future], "no answer in time")
        self._started = {}

    def _miss(self, source: str, why: str) -> None:
        kind = source.removeprefix("kubernetes ")
        if source != kind and kind in ESSENTIAL:
            self.missing_essential = True
        self.snapshot.missing.setdefault("events" if kind == "Event" else source, why)

    def _timeout(self) -> float:
        return max(0.1, self._deadline.remaining_seconds(at_most=_CALL_SECONDS))

    # --- sources: each runs in a thread and returns what adds its answer to the snapshot; what is late never does ---

    def _list(self, kind: str, namespace: str) -> Merge:
        try:
            found = self._shared(
                (kind, namespace),
                lambda: self._ports.cluster.list(kind, namespace, timeout_seconds=self._timeout()),
            )
        except NotFound:
            return _nothing  # the cluster has no such resource: then there is none of it
        except Forbidden:
            if kind not in OPTIONAL:
                raise
            return _nothing

        def merge() -> None:
            self.snapshot.complete.add((kind, namespace))
            for obj in found.items:
                self.snapshot.add(obj)

        return merge

    def _scrape_seconds(self) -> float:
        """How often Prometheus looks, as far as it says so."""
        assert self._ports.metrics is not None
        try:
            found = self._ports.metrics.query(catalogue.SCRAPE_INTERVAL.text(), timeout_seconds=self._timeout())
        except SourceError:
            return _STEP_SECONDS
        return next((max(_LEAST_STEP_SECONDS, s.value) for s in found if s.value <= _STEP_SECONDS), _STEP_SECONDS)

    def _shared(self, key: tuple[object, ...], ask: Callable[[], _T]) -> _T:
        return shared.read(
            (self._ports.cluster_name, *key), ask, not_before=self._not_before, timeout_seconds=self._timeout()
        )

    def _range(self, selector: str) -> Merge:
        found = self._shared((selector, self._reach.metrics), lambda: self._ask_range(selector))
        return lambda: self.snapshot.series.extend(found)

    def _ask_range(self, selector: str) -> list[Series]:
        """What happened moments ago as finely as it is known, what was before as a baseline."""
        assert self._ports.metrics is not None
        end, step = self.snapshot.now, self._step.result(timeout=self._timeout())
        recent = end - timedelta(seconds=step * _RECENT_STEPS)
        start = end - self._reach.metrics
        parts = [(start, recent, max(_STEP_SECONDS, self._reach.metrics.total_seconds() / _BASELINE_STEPS))]
        parts.append((recent + timedelta(seconds=step), end, step))
        points: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
        for begin, until, every in parts:
            for one in self._ports.metrics.query_range(
                selector, start=begin, end=until, step_seconds=every, timeout_seconds=self._timeout()
            ):
                points.setdefault(tuple(sorted(one.labels.items())), []).extend(one.points)
        return [Series(dict(labels), tuple(known)) for labels, known in points.items()]

    def _alerts(self, namespace: str) -> Merge:
        assert self._ports.metrics is not None
        query = catalogue.FIRING_ALERTS.text(namespace=namespace)
        found = self._ports.metrics.query(query, timeout_seconds=self._timeout())
        alerts = [{"labels": dict(sample.labels), "state": "firing"} for sample in found if sample.value > 0]
        return lambda: self.snapshot.alerts.extend(alerts)

    def _pod_log(self, key: LogKey) -> Merge:
        try:
            text = self._ports.cluster.pod_logs(
                key.namespace,
                key.pod,
                key.container,
                previous=key.previous,
                tail_lines=self._reach.log_lines,
                timeout_seconds=self._timeout(),
            )
        except (Invalid, NotFound):
            return _nothing  # it has not started, has no previous run, or has just gone
        return lambda: self.snapshot.logs.update({key: text} if text.strip() else {})

    def _loki(self, pods: str) -> Merge:
        assert self._ports.logs is not None
        end = self.snapshot.now
        lines = self._ports.logs.query_range(
            catalogue.POD_LOGS.text(where=f'namespace="{self._target.namespace}",pod=~"{pods}"'),
            start=end - self._reach.logs,
            end=end + timedelta(seconds=1),
            limit=self._reach.loki_lines,
            timeout_seconds=self._timeout(),
        )
        texts: dict[LogKey, list[str]] = {}
        for line in sorted(lines, key=lambda entry: entry.time):
            labels = line.labels
            key = LogKey(labels.get("namespace", ""), labels.get("pod", ""), labels.get("container", ""))
            texts.setdefault(key, []).append(line.text)

        def merge() -> None:
            for key, found in texts.items():
                # the kubelet's own answer holds more; a short one may only be what a new run has said so far
                if len("\n".join(found)) > len(self.snapshot.logs.get(key, "")):
                    self.snapshot.logs[key] = "\n".join(found)

        return merge
