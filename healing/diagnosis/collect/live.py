"""A snapshot of a live cluster, read side by side: what is late or refused is named as missing, not waited for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from typing import Any

import structlog

from healing.deadline import Deadline
from healing.diagnosis import requests
from healing.diagnosis.collect import choose
from healing.diagnosis.hypothesis import bare
from healing.diagnosis.scene import Scene
from healing.diagnosis.snapshot import LogKey, Snapshot
from healing.ports import Ports
from healing.ports.cluster import ObjectRef
from healing.ports.errors import Forbidden, Invalid, NotFound, SourceError
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
_LOOK_BACK = timedelta(minutes=30)
_STEP_SECONDS = 15.0
_LOG_LINES = 400
_MOST_NEIGHBOURS = 3


Merge = Callable[[], None]


def _nothing() -> None:
    """Nothing to add."""


class Collector:
    """Reads what explains the trouble of ``target``. Use once; `close` gives the threads back without waiting."""

    def __init__(self, ports: Ports, target: ObjectRef, *, now: datetime, deadline: Deadline) -> None:
        self._ports = ports
        self._target = target
        self._deadline = deadline
        self._pool = ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="collect")
        self._started: dict[Future[Merge], str] = {}
        self.snapshot = Snapshot(live_now=now)
        self.missing_essential = False

    def start(self) -> None:
        """Ask for objects and metrics, without waiting."""
        namespace = self._target.namespace
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
            ):
                self._submit("metrics", self._range, selector)

    def finish(self) -> Snapshot:
        """Wait for what was asked, then for neighbours and logs; leaves a little of the deadline."""
        self._join(self._deadline.remaining_seconds() * 0.6)
        scene = Scene(self.snapshot)
        for namespace in choose.other_namespaces(scene, self._target)[:_MOST_NEIGHBOURS]:
            for kind in _NEIGHBOUR_KINDS:
                self._submit(f"kubernetes {kind} in {namespace}", self._list, kind, namespace)
        if self._started:
            self._join(self._deadline.remaining_seconds() * 0.4)
            scene = Scene(self.snapshot)
        wanted = choose.logs(scene, bare(self._target))
        for key in wanted:
            self._submit("logs", self._pod_log, key)
        if self._ports.logs is not None and self._target.namespace:
            self._submit("loki", self._loki, choose.pod_pattern(scene, bare(self._target)))
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
        self._started[self._pool.submit(call, *arguments)] = source

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
            found = self._ports.cluster.list(kind, namespace, timeout_seconds=self._timeout())
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

    def _range(self, selector: str) -> Merge:
        assert self._ports.metrics is not None
        end = self.snapshot.now
        found = self._ports.metrics.query_range(
            selector, start=end - _LOOK_BACK, end=end, step_seconds=_STEP_SECONDS, timeout_seconds=self._timeout()
        )
        return lambda: self.snapshot.series.extend(found)

    def _pod_log(self, key: LogKey) -> Merge:
        try:
            text = self._ports.cluster.pod_logs(
                key.namespace,
                key.pod,
                key.container,
                previous=key.previous,
                tail_lines=_LOG_LINES,
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
            start=end - timedelta(minutes=10),
            end=end + timedelta(seconds=1),
            limit=1000,
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
