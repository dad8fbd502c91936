"""Which revisions a workload had, which of them is good, and what changed between them. Who changed what, when."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from healing.diagnosis import reading as r
from healing.diagnosis.reading import Object
from healing.diagnosis.snapshot import Snapshot, revision
from healing.ports.cluster import ObjectRef
from healing.redaction import is_secret_name, redact

_HASH_LABELS = ("pod-template-hash", "controller-revision-hash")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two templates. ``path`` is dotted with names in brackets: ``containers[api].image``."""

    path: str
    before: Any
    after: Any

    def as_json(self) -> dict[str, Any]:
        """JSON for facts; values that may be secret are masked."""
        return {"path": self.path, "before": _shown(self.path, self.before), "after": _shown(self.path, self.after)}

    def __str__(self) -> str:
        shown = self.as_json()
        return f"{self.path}: {_words(shown['before'])} → {_words(shown['after'])}"


@dataclass(frozen=True, slots=True)
class Revision:
    """A ReplicaSet or ControllerRevision: ``template`` has metadata and spec of its pods."""

    number: int
    name: str
    hash: str
    template: Object
    created: datetime | None
    pods: int = 0
    ready: int = 0


@dataclass(slots=True)
class History:
    """``current`` is what the workload wants now; ``good`` the revision to go back to, if any looks good."""

    workload: ObjectRef
    current: Revision
    good: Revision | None
    changes: list[Change] = field(default_factory=list)
    started: datetime | None = None
    #: the good revision has ready pods right now, beside the current one
    good_serves: bool = False
    #: no pod of the current revision is ready
    current_fails: bool = False

    def changed(self, *parts: str) -> list[Change]:
        """Changes whose path contains one of the words."""
        return [c for c in self.changes if any(part in c.path for part in parts)]

    def facts(self) -> dict[str, Any]:
        """What a rollback needs."""
        if self.good is None:
            return {"current_revision": self.current.number}
        return {
            "revision": self.good.number,
            "current_revision": self.current.number,
            "changes": [c.as_json() for c in self.changes[:20]],
        }


def history(snapshot: Snapshot, workload: Object) -> History | None:
    """The revisions of a Deployment, StatefulSet or DaemonSet; None where nothing is known of them."""
    if workload.get("kind") == "Deployment":
        revisions = [_of_replicaset(rs) for rs in snapshot.replicasets(workload)]
    else:
        revisions = _controller_revisions(snapshot, workload)
    if not revisions:
        return None
    current = revisions[0]
    older = revisions[1:]
    serving = [rev for rev in older if rev.ready > 0]
    good = serving[0] if serving else (older[0] if older else None)
    result = History(
        workload=ObjectRef.of(workload),
        current=current,
        good=good,
        good_serves=bool(serving),
        current_fails=current.pods > 0 and current.ready == 0,
        started=current.created,
    )
    if good is not None:
        result.changes = compare(good.template, current.template)
        # going back to an old revision gives an old ReplicaSet a new number: its creation is not the change
        later = [rev.created for rev in older if rev.created and current.created and rev.created > current.created]
        if later:
            progressing = r.condition(workload, "Progressing")
            result.started = r.moment(progressing, "lastUpdateTime") or max(later)
    return result


def pods_of_revision(snapshot: Snapshot, workload: ObjectRef, rev: Revision) -> list[Object]:
    """The workload's pods that were made from the revision."""
    if not rev.hash:
        return snapshot.pods_of(workload)
    return [
        pod
        for pod in snapshot.pods_of(workload)
        if rev.hash in (r.text(pod, "metadata", "labels", label) for label in _HASH_LABELS)
    ]


def made_from(pod: Object) -> str:
    """What tells apart the revisions that pods of one workload were made from; empty where a pod does not say."""
    return (
        r.text(pod, "metadata", "labels", "controller-revision-hash")
        or r.text(pod, "metadata", "generateName")  # stays on a pod that was taken out of its ReplicaSet
    )


def compare(before: Object, after: Object) -> list[Change]:
    """Differences between two pod templates, containers and env matched by name."""
    changes: list[Change] = []
    for kind in ("initContainers", "containers"):
        old, new = r.named(r.dicts(before, "spec", kind)), r.named(r.dicts(after, "spec", kind))
        for name in [*old, *(n for n in new if n not in old)]:
            path = f"{kind}[{name}]"
            if name not in old or name not in new:
                changes.append(Change(path, _image(old.get(name)), _image(new.get(name))))
            else:
                _compare_container(path, old[name], new[name], changes)
    for part in ("volumes",):
        _by_name(part, r.dicts(before, "spec", part), r.dicts(after, "spec", part), changes)
    skipped = {"containers", "initContainers", "volumes", "ephemeralContainers"}
    old_spec, new_spec = r.mapping(before, "spec"), r.mapping(after, "spec")
    for key in sorted((old_spec.keys() | new_spec.keys()) - skipped):
        _leaves(key, old_spec.get(key), new_spec.get(key), changes)
    for key in ("labels", "annotations"):
        ignored = {*r.CONTROLLER_LABELS, "kubectl.kubernetes.io/restartedAt"}
        old_meta = {k: v for k, v in r.labels(before, "metadata", key).items() if k not in ignored}
        new_meta = {k: v for k, v in r.labels(after, "metadata", key).items() if k not in ignored}
        _leaves(f"metadata.{key}", old_meta, new_meta, changes)
    return changes


def last_change(obj: Object, *, fields: str = "") -> tuple[datetime | None, str]:
    """(when, who) last changed the object's own content, by managedFields; status writes do not count.

    ``fields`` is a part of the field path that must be in the entry (``f:data``). Without managedFields: creation.
    """
    best: tuple[datetime | None, str] = (None, "")
    for entry in r.dicts(obj, "metadata", "managedFields"):
        if r.text(entry, "subresource") not in ("", "scale") or (fields and fields not in r.mapping(entry, "fieldsV1")):
            continue
        when = r.moment(entry, "time")
        if when is not None and (best[0] is None or when >= best[0]):
            best = (when, r.text(entry, "manager"))
    return best if best[0] is not None else (r.moment(obj, "metadata", "creationTimestamp"), "")


def _of_replicaset(rs: Object) -> Revision:
    return Revision(
        number=revision(rs),
        name=r.text(rs, "metadata", "name"),
        hash=r.text(rs, "metadata", "labels", "pod-template-hash"),
        template=r.mapping(rs, "spec", "template"),
        created=r.moment(rs, "metadata", "creationTimestamp"),
        pods=r.number(rs, "status", "replicas"),
        ready=r.number(rs, "status", "readyReplicas"),
    )


def _controller_revisions(snapshot: Snapshot, workload: Object) -> list[Revision]:
    found = []
    pods = snapshot.pods_of(ObjectRef(workload.get("kind", ""), *_key(workload)))
    for obj in snapshot.owned(workload, "ControllerRevision"):
        name = r.text(obj, "metadata", "name")
        hashes = {name, r.text(obj, "metadata", "labels", "controller-revision-hash")} - {""}
        mine = [p for p in pods if r.text(p, "metadata", "labels", "controller-revision-hash") in hashes]
        found.append(
            Revision(
                number=r.number(obj, "revision"),
                name=name,
                hash=r.text(mine[0], "metadata", "labels", "controller-revision-hash") if mine else name,
                template=r.mapping(obj, "data", "spec", "template"),
                created=r.moment(obj, "metadata", "creationTimestamp"),
                pods=len(mine),
                ready=sum(r.condition(p, "Ready").get("status") == "True" for p in mine),
            )
        )
    return sorted(found, key=lambda rev: rev.number, reverse=True)


def _key(obj: Object) -> tuple[str, str]:
    return r.text(obj, "metadata", "namespace"), r.text(obj, "metadata", "name")


def _compare_container(path: str, old: Object, new: Object, changes: list[Change]) -> None:
    _by_name(f"{path}.env", r.dicts(old, "env"), r.dicts(new, "env"), changes)
    _by_name(f"{path}.volumeMounts", r.dicts(old, "volumeMounts"), r.dicts(new, "volumeMounts"), changes)
    for key in sorted((old.keys() | new.keys()) - {"name", "env", "volumeMounts"}):
        if key in ("resources", "livenessProbe", "readinessProbe", "startupProbe", "securityContext", "lifecycle"):
            _leaves(f"{path}.{key}", old.get(key), new.get(key), changes)
        elif old.get(key) != new.get(key):
            changes.append(Change(f"{path}.{key}", old.get(key), new.get(key)))


def _by_name(path: str, old: list[Object], new: list[Object], changes: list[Change]) -> None:
    before, after = r.named(old), r.named(new)
    changes.extend(
        Change(f"{path}[{name}]", _value(before.get(name)), _value(after.get(name)))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    )


def _leaves(path: str, old: Any, new: Any, changes: list[Change]) -> None:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys(), key=str):
            _leaves(f"{path}.{key}", old.get(key), new.get(key), changes)
    else:
        changes.append(Change(path, old, new))


def _image(container: Object | None) -> str | None:
    return r.text(container, "image") if container else None


def _value(entry: Object | None) -> Any:
    if entry is None:
        return None
    rest = {k: v for k, v in entry.items() if k != "name"}
    return rest["value"] if rest.keys() == {"value"} else rest


def _shown(path: str, value: Any) -> Any:
    name = path.rpartition("[")[2].rstrip("]")
    if isinstance(value, str):
        return "[secret]" if ".env[" in path and is_secret_name(name) else redact(value)[:300]
    if isinstance(value, dict | list):
        return redact(str(value))[:300]
    return value


def _words(value: Any) -> str:
    return "nothing" if value is None else str(value)
