"""What is known of a cluster at a moment: objects with indexes, events, logs, series, and what could not be read.

Analyzers only read it. It is filled by a collector (`healing.diagnosis.collect`) and then not changed, except that
live collectors add logs and series in a second step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from healing.actions.labels import QUARANTINE, QUARANTINED_FROM
from healing.diagnosis import reading as r
from healing.diagnosis.objects import Event, keys_only, times
from healing.diagnosis.reading import Object
from healing.ports.cluster import ObjectRef
from healing.ports.metrics import Series

#: Kinds whose pods live and die with their template.
WORKLOAD_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job", "ReplicaSet", "ReplicationController")
CLUSTER_KINDS = frozenset({"Node", "Namespace", "PersistentVolume", "StorageClass", "CustomResourceDefinition"})


@dataclass(frozen=True, slots=True)
class LogKey:
    namespace: str
    pod: str
    container: str
    previous: bool = False


@dataclass(slots=True)
class Snapshot:
    """See the module. Use `add` for objects; `missing` is ``{source: why}``."""

    series: list[Series] = field(default_factory=list)
    alerts: list[Object] = field(default_factory=list)
    logs: dict[LogKey, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    #: (kind, namespace) whose list was read whole; namespace "" means all
    complete: set[tuple[str, str]] = field(default_factory=set)
    live_now: datetime | None = None
    #: base URLs for links in the evidence
    prometheus_url: str = ""
    loki_url: str = ""
    _objects: dict[str, dict[tuple[str, str], Object]] = field(default_factory=lambda: defaultdict(dict))
    _events: dict[tuple[str, str, str], list[Event]] = field(default_factory=lambda: defaultdict(list))
    _owned: dict[tuple[str, str, str], list[Object]] = field(default_factory=lambda: defaultdict(list))
    _by_namespace: dict[tuple[str, str], list[Object]] = field(default_factory=lambda: defaultdict(list))
    _pods: dict[ObjectRef, list[Object]] | None = None
    _latest: datetime | None = None

    # --- filling ---

    def add(self, obj: Object) -> bool:
        """Take an object; False if it is none (no kind or name). The same object again replaces."""
        kind, name = r.text(obj, "kind"), r.text(obj, "metadata", "name")
        if not kind or not name:
            return False
        namespace = "" if kind in CLUSTER_KINDS else r.text(obj, "metadata", "namespace")
        if kind == "Event":
            event = Event.of(obj)
            if event is not None:
                self._see(event.last)
                self._events[self._event_key(event.object)].append(event)
            return True
        if kind == "Secret":
            obj = keys_only(obj)
        key = (namespace, name)
        old = self._objects[kind].get(key)
        if old is not None:
            self._by_namespace[kind, namespace].remove(old)
            for owner in r.dicts(old, "metadata", "ownerReferences"):
                owned = self._owned[r.text(owner, "kind"), namespace, r.text(owner, "name")]
                owned[:] = [child for child in owned if child is not old]
        self._objects[kind][key] = obj
        self._by_namespace[kind, namespace].append(obj)
        for owner in r.dicts(obj, "metadata", "ownerReferences"):
            self._owned[r.text(owner, "kind"), namespace, r.text(owner, "name")].append(obj)
        self._pods = None
        for when in times(obj):
            self._see(when)
        return True

    def _see(self, when: datetime | None) -> None:
        if when is not None and (self._latest is None or when > self._latest):
            self._latest = when

    @staticmethod
    def _event_key(ref: ObjectRef) -> tuple[str, str, str]:
        # Events of a Node lie in some namespace, their objects do not.
        return (ref.kind, "" if ref.kind in CLUSTER_KINDS else ref.namespace, ref.name)

    # --- reading ---

    @property
    def now(self) -> datetime:
        """Live: the clock. Otherwise the latest moment the objects know of."""
        if self.live_now is not None:
            return self.live_now
        points = [s.points[-1][0] for s in self.series if s.points]
        latest = self._latest
        if points:
            last = datetime.fromtimestamp(max(points), UTC)
            latest = last if latest is None or last > latest else latest
        return latest or datetime.now(UTC)

    def of_kind(self, kind: str, namespace: str | None = None) -> list[Object]:
        """All objects of a kind, or those of one namespace."""
        if namespace is None:
            return list(self._objects[kind].values()) if kind in self._objects else []
        return self._by_namespace.get((kind, namespace), [])

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """One object, or None."""
        namespace = "" if kind in CLUSTER_KINDS else namespace
        return self._objects[kind].get((namespace, name)) if kind in self._objects else None

    def find(self, ref: ObjectRef) -> Object | None:
        """The object a reference names."""
        return self.get(ref.kind, ref.namespace, ref.name)

    def knows_all(self, kind: str, namespace: str = "") -> bool:
        """Whether an object of this kind that is not here does not exist."""
        return (kind, "") in self.complete or (kind, namespace) in self.complete or bool(self.of_kind(kind, namespace))

    def namespaces(self) -> list[str]:
        """Namespaces that hold workloads, pods or services, sorted."""
        kinds = {*WORKLOAD_KINDS, "Pod", "Service", "PersistentVolumeClaim"}
        return sorted({namespace for (kind, namespace), items in self._by_namespace.items() if kind in kinds and items})

    def events(self, obj: Object | ObjectRef, *reasons: str) -> list[Event]:
        """Events about the object (this incarnation of it), oldest first."""
        ref = obj if isinstance(obj, ObjectRef) else ObjectRef.of(obj)
        found = [
            e
            for e in self._events.get(self._event_key(ref), ())
            if (not reasons or e.reason in reasons)
            and (not ref.uid or not e.object.uid or e.object.uid in (ref.uid, ref.name))
        ]
        return sorted(found, key=lambda e: e.last or datetime.min.replace(tzinfo=UTC))

    def all_events(self) -> Iterator[Event]:
        """Every event."""
        for events in self._events.values():
            yield from events

    def owned(self, obj: Object, kind: str) -> list[Object]:
        """Objects whose ownerReferences name the object."""
        ref = ObjectRef.of(obj)
        return [
            child
            for child in self._owned.get((ref.kind, ref.namespace, ref.name), ())
            if child.get("kind") == kind and _owned_by(child, ref)
        ]

    def controller(self, obj: Object) -> ObjectRef | None:
        """The owner that controls the object, whether it is in the snapshot or not."""
        owners = r.dicts(obj, "metadata", "ownerReferences")
        owner = next((o for o in owners if o.get("controller") is True), owners[0] if len(owners) == 1 else None)
        if owner is None or not r.text(owner, "name"):
            return None
        kind, name = r.text(owner, "kind"), r.text(owner, "name")
        return ObjectRef(kind, r.text(obj, "metadata", "namespace"), name, r.text(owner, "uid"))

    def workload_of(self, obj: Object) -> ObjectRef:
        """The top of the owner chain; for a ReplicaSet that is not here, the Deployment its name and hash tell; for a
        pod that containment took out of its ReplicaSet, the workload it came from."""
        ref = ObjectRef.of(obj)
        hashed = r.text(obj, "metadata", "labels", "pod-template-hash")
        for _ in range(5):
            owner = self.controller(obj) or _taken_from(obj)
            if owner is None or owner.kind == "Node":
                return ref
            ref = owner
            found = self.find(owner)
            if found is None:
                if owner.kind == "ReplicaSet" and hashed and owner.name.endswith(f"-{hashed}"):
                    return ObjectRef("Deployment", owner.namespace, owner.name.removesuffix(f"-{hashed}"))
                return ref
            obj, ref = found, ObjectRef.of(found)
        return ref

    def pods_of(self, workload: ObjectRef) -> list[Object]:
        """Pods whose owner chain ends at the workload."""
        return self.pods_by_workload().get(ObjectRef(workload.kind, workload.namespace, workload.name), [])

    def pods_by_workload(self) -> dict[ObjectRef, list[Object]]:
        """All pods under their workload (without uid)."""
        if self._pods is None:
            groups: dict[ObjectRef, list[Object]] = defaultdict(list)
            for pod in self.of_kind("Pod"):
                top = self.workload_of(pod)
                groups[ObjectRef(top.kind, top.namespace, top.name)].append(pod)
            self._pods = dict(groups)
        return self._pods

    def replicasets(self, deployment: Object) -> list[Object]:
        """ReplicaSets of a Deployment, newest revision first."""
        return sorted(self.owned(deployment, "ReplicaSet"), key=revision, reverse=True)

    def workloads(self, namespace: str | None = None) -> list[Object]:
        """Top-level workloads: those nobody else controls."""
        return [obj for kind in WORKLOAD_KINDS for obj in self.of_kind(kind, namespace) if self.controller(obj) is None]

    def log(self, pod: Object, container: str, *, previous: bool = False) -> str:
        """A container's log as far as it was collected."""
        ref = ObjectRef.of(pod)
        return self.logs.get(LogKey(ref.namespace, ref.name, container, previous), "")


def _taken_from(obj: Object) -> ObjectRef | None:
    if not r.text(obj, "metadata", "labels", QUARANTINE):
        return None
    kind, _, name = r.text(obj, "metadata", "annotations", QUARANTINED_FROM).partition("/")
    return ObjectRef(kind, r.text(obj, "metadata", "namespace"), name) if kind and name else None


def revision(obj: Object) -> int:
    """The Deployment revision in a ReplicaSet's annotations; 0 where there is none."""
    raw = r.text(obj, "metadata", "annotations", "deployment.kubernetes.io/revision")
    return int(raw) if raw.isascii() and raw.isdigit() and len(raw) < 10 else 0


def refs(objects: Iterable[Object]) -> list[ObjectRef]:
    """References of several objects."""
    return [ObjectRef.of(obj) for obj in objects]


def recent(when: datetime | None, now: datetime, within: timedelta) -> bool:
    """Whether the moment is known and not longer ago than ``within``."""
    return when is not None and now - when <= within


def _owned_by(child: Object, owner: ObjectRef) -> bool:
    for reference in r.dicts(child, "metadata", "ownerReferences"):
        if r.text(reference, "kind") == owner.kind and r.text(reference, "name") == owner.name:
            uid = r.text(reference, "uid")
            return not uid or not owner.uid or uid == owner.uid
    return False
