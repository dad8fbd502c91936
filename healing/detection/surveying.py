"""Draws the picture of `healing.detection.inventory` from the watcher's cache, every few seconds while it changes.

What has not changed is not read again: a pod is summed up once a resourceVersion, a workload's addresses once a
template and set of Services. The pause grows with the work, so that a huge cluster costs a tenth of a processor."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from healing.actions.labels import QUARANTINE, QUARANTINED_FROM
from healing.detection import inventory
from healing.detection.cache import ObjectCache
from healing.detection.inventory import PodState
from healing.detection.owners import controller_of
from healing.diagnosis import calls, reading as r
from healing.diagnosis.analyzers.secrets import names_read
from healing.diagnosis.snapshot import Snapshot
from healing.ports.cluster import Object, ObjectRef

log = structlog.get_logger(__name__)

EVERY_SECONDS = 2.0
#: The share of one processor that may go into it.
MOST_SHARE = 0.1
#: What is unchanged is written again so often: the cache may have lost it.
AGAIN_SECONDS = 60.0

Key = tuple[str, str, str]
#: [name, state, node, reason]; the node still by name
PodRow = tuple[str, str, str, str]

_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
_KINDS = (*_WORKLOADS, "ReplicaSet", "Job", "Service", "Pod", "Node")
_LEVELS = 5


class Surveyor:
    """`run` in a thread; `look` draws once."""

    def __init__(
        self, cluster: str, cache: ObjectCache, stop: threading.Event, is_synced: Callable[[], bool] = lambda: True
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._stop = stop
        self._is_synced = is_synced
        self._pods: dict[tuple[str, str], tuple[str, Key | None, PodRow]] = {}
        self._addresses: dict[Key, tuple[tuple[str, str], frozenset[ObjectRef]]] = {}
        self._reads: dict[Key, tuple[str, list[str]]] = {}
        self._services_version = ""
        self._services = Snapshot()
        self._seen = -1
        self._written: tuple[str, float] = ("", 0.0)

    def run(self) -> None:
        """Until ``stop`` is set."""
        seconds = EVERY_SECONDS
        while not self._stop.wait(seconds):
            started = time.thread_time()
            try:
                self.look()
            except Exception:  # an object of an unknown shape costs the map, never the watching
                log.exception("the map could not be drawn")
            seconds = max(EVERY_SECONDS, (time.thread_time() - started) / MOST_SHARE)

    def look(self) -> None:
        """Write the picture, if anything has changed or it was written long ago."""
        changes = self._cache.changes(_KINDS)
        etag, at = self._written
        is_old = time.monotonic() - at > AGAIN_SECONDS
        if not self._is_synced() or (changes == self._seen and not is_old):
            return
        self._seen = changes
        found, data = inventory.encode(self.picture())
        if (found != etag or is_old) and inventory.write(self._cluster, found, data):
            self._written = found, time.monotonic()

    def picture(self) -> dict[str, Any]:
        """``nodes``: [name, ready, cordoned]; ``workloads``: [kind, namespace, name, desired, ready, paused, pods,
        more, services, reads] with pods as [name, state, node, reason?]; ``calls``: [caller, callee]."""
        groups = self._groups()
        tops: dict[Key, Object | None] = {}
        for kind in _WORKLOADS:
            for obj in self._cache.list(kind):
                if controller_of(obj) is None:
                    tops[_key(obj, kind)] = obj
        for key in groups:
            tops.setdefault(key, self._cache.get(*key))
        order = sorted(tops, key=lambda key: (key[1], key[2], key[0]))
        kept = order[: inventory.MOST_WORKLOADS]
        place = {key: index for index, key in enumerate(kept)}
        nodes = sorted(self._cache.list("Node"), key=lambda node: r.text(node, "metadata", "name"))
        node_place = {r.text(node, "metadata", "name"): index for index, node in enumerate(nodes)}
        backends = self._backends(tops)
        services: dict[Key, list[str]] = defaultdict(list)
        for service, behind in backends.items():
            for key in behind:
                services[key].append(service.name)
        too_many = sum(map(len, groups.values())) > inventory.MOST_PODS
        self._reads = {key: self._read_by(key, tops[key]) for key in kept}
        return {
            "nodes": [_node(node) for node in nodes],
            "workloads": [
                [
                    *_workload(key, tops[key], groups.get(key, []), node_place, too_many=too_many),
                    sorted(services[key]),
                    self._reads[key][1],
                ]
                for key in kept
            ],
            "calls": self._calls(tops, backends, place),
            "leftOut": len(order) - len(kept),
        }

    # --- pods and what they belong to -------------------------------------------------------------------------

    def _groups(self) -> dict[Key, list[PodRow]]:
        groups: dict[Key, list[PodRow]] = defaultdict(list)
        owners: dict[Key, Key] = {}
        summed: dict[tuple[str, str], tuple[str, Key | None, PodRow]] = {}
        for pod in self._cache.list("Pod"):
            meta = pod["metadata"]
            name = (str(meta.get("namespace") or ""), str(meta["name"]))
            version = str(meta.get("resourceVersion") or "")
            known = self._pods.get(name)
            if known is None or known[0] != version or not version:
                known = (version, _owner(pod), _pod(pod))
            summed[name] = known
            _, owner, row = known
            top = ("Pod", *name) if owner is None else owners.get(owner)
            if top is None and owner is not None:
                top = owners[owner] = self._top(owner)
            if top is not None and not (row[1] == PodState.DONE and top[0] in ("Job", "CronJob", "Pod")):
                groups[top].append(row)
        self._pods = summed
        return groups

    def _top(self, owner: Key) -> Key:
        """The topmost owner that has a name."""
        for _ in range(_LEVELS):
            above = _owner(self._cache.get(*owner) or {})
            if above is None:
                break
            owner = above
        return owner

    # --- who calls whom ---------------------------------------------------------------------------------------

    def _backends(self, tops: dict[Key, Object | None]) -> dict[ObjectRef, set[Key]]:
        """Workloads behind each Service, found by the rarest label it asks for."""
        by_label: dict[tuple[str, str, str], set[Key]] = defaultdict(set)
        labels: dict[Key, dict[str, str]] = {}
        for key, obj in tops.items():
            if obj is not None:
                labels[key] = r.template_labels(obj)
                for label in labels[key].items():
                    by_label[key[1], *label].add(key)
        found: dict[ObjectRef, set[Key]] = {}
        for service in self._cache.list("Service"):
            ref = ObjectRef("Service", r.text(service, "metadata", "namespace"), r.text(service, "metadata", "name"))
            selector = r.labels(service, "spec", "selector")
            fits = [by_label.get((ref.namespace, *label), set()) for label in selector.items()]
            few = min(fits, key=len, default=set())
            found[ref] = {key for key in few if selector.items() <= labels[key].items()}
        return found

    def _calls(
        self, tops: dict[Key, Object | None], backends: dict[ObjectRef, set[Key]], place: dict[Key, int]
    ) -> list[tuple[int, int]]:
        version = str(self._cache.changes(("Service",)))
        if version != self._services_version:
            self._services = Snapshot()
            for service in self._cache.list("Service"):
                self._services.add({"kind": "Service", **service})
            self._services_version = version
        known: dict[Key, tuple[tuple[str, str], frozenset[ObjectRef]]] = {}
        edges: set[tuple[int, int]] = set()
        for key, caller in place.items():
            obj = tops[key]
            if obj is None:
                continue
            mark = (_template_mark(obj), version)
            before = self._addresses.get(key)
            if before is None or before[0] != mark:
                before = (mark, frozenset(self._called(obj, key[0], key[1])))
            known[key] = before
            for called in before[1]:
                edges.update((caller, place[callee]) for callee in backends.get(called, ()) if callee in place)
        self._addresses = known
        return sorted(edge for edge in edges if edge[0] != edge[1])[: inventory.MOST_CALLS]

    def _called(self, obj: Object, kind: str, namespace: str) -> Iterable[ObjectRef]:
        """Services whose names stand in its environment and arguments."""
        for address in calls.addresses(self._services, {"kind": kind, **obj}):
            service = calls.resolve(self._services, address.host, namespace)
            if service is not None:
                yield service

    # --- what it reads ----------------------------------------------------------------------------------------

    def _read_by(self, key: Key, obj: Object | None) -> tuple[str, list[str]]:
        """(mark, ``Kind/name`` of each ConfigMap and Secret): from its template, so that no Secret is looked at."""
        if obj is None:
            return "", []
        mark = _template_mark(obj)
        before = self._reads.get(key)
        if before is not None and before[0] == mark:
            return before
        spec = r.pod_spec({"kind": key[0], **obj})
        found = {
            f"{kind}/{name}"
            for container in r.containers(spec)
            for kind in ("ConfigMap", "Secret")
            for name in names_read({"spec": spec}, container, kind)
        }
        return mark, sorted(found)


def _template_mark(obj: Object) -> str:
    """A workload's generation rises with its template; a naked pod's cannot change."""
    return f"{r.text(obj, 'metadata', 'uid')}/{r.number(obj, 'metadata', 'generation')}"


def _key(obj: Object, kind: str) -> Key:
    return kind, r.text(obj, "metadata", "namespace"), r.text(obj, "metadata", "name")


def _owner(obj: Object) -> Key | None:
    """Its controller; of a pod that containment took out of it, the one it came from."""
    owner = controller_of(obj)
    namespace = r.text(obj, "metadata", "namespace")
    if owner is not None and owner.get("kind") != "Node":
        return str(owner.get("kind")), namespace, str(owner.get("name"))
    if r.text(obj, "metadata", "labels", QUARANTINE):
        kind, _, name = r.text(obj, "metadata", "annotations", QUARANTINED_FROM).partition("/")
        return (kind, namespace, name) if kind and name else None
    return None


def _pod(pod: Object) -> PodRow:
    state, reason = _state(pod)
    return r.text(pod, "metadata", "name"), state, r.text(pod, "spec", "nodeName"), reason[:63]


def _state(pod: Object) -> tuple[PodState, str]:
    phase = r.text(pod, "status", "phase")
    if r.text(pod, "metadata", "labels", QUARANTINE):
        return PodState.ISOLATED, "Isolated"
    if r.text(pod, "metadata", "deletionTimestamp"):
        return PodState.ENDING, ""
    if phase == "Succeeded":
        return PodState.DONE, ""
    if phase == "Failed":
        return PodState.FAILING, r.text(pod, "status", "reason") or "Failed"
    statuses = r.dicts(pod, "status", "containerStatuses") + r.dicts(pod, "status", "initContainerStatuses")
    for status in statuses:
        waiting = r.text(status, "state", "waiting", "reason")
        if waiting and waiting not in ("ContainerCreating", "PodInitializing"):
            return PodState.FAILING, waiting
    if r.text(r.condition(pod, "Ready"), "status") == "True":
        return PodState.READY, ""
    if phase == "Pending":
        scheduled = r.condition(pod, "PodScheduled")
        if r.text(scheduled, "status") == "False":
            return PodState.PENDING, r.text(scheduled, "reason")
        return PodState.STARTING, ""
    was_ready = any(r.number(status, "restartCount") for status in statuses)
    return (PodState.NOT_READY, "NotReady") if was_ready or phase == "Running" else (PodState.STARTING, "")


def _node(node: Object) -> list[Any]:
    ready = r.text(r.condition(node, "Ready"), "status") == "True"
    return [r.text(node, "metadata", "name"), int(ready), int(bool(r.at(node, "spec", "unschedulable")))]


def _workload(
    key: Key,
    obj: Object | None,
    rows: list[PodRow],
    node_place: dict[str, int],
    *,
    too_many: bool,
) -> list[Any]:
    live = [row for row in rows if row[1] not in (PodState.ENDING, PodState.DONE)]
    ready = sum(row[1] == PodState.READY for row in rows)
    named = [row for row in rows if row[1] != PodState.READY] if too_many else rows
    pods = [[name, state, node_place.get(node, -1), *([why] if why else [])] for name, state, node, why in named]
    paused = key[0] == "Deployment" and bool(r.at(obj, "spec", "paused"))
    desired = _desired(key[0], obj, len(live))
    return [*key, desired, ready, int(paused), sorted(pods), ready if too_many else 0]


def _desired(kind: str, obj: Object | None, pods: int) -> int:
    if obj is None:
        return pods
    if kind == "DaemonSet":
        return r.number(obj, "status", "desiredNumberScheduled")
    if kind in ("Deployment", "StatefulSet", "ReplicaSet"):
        return r.number(obj, "spec", "replicas", default=1)
    return pods
