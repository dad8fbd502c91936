"""A workload's revisions, and which earlier one was good.

Kubernetes keeps former templates (ReplicaSets, ControllerRevisions) but does not say whether they ever worked.
What can be known of each: whether its pods serve right now; how long it was the newest; what warnings its pods
caused; whether what it refers to still exists; and what our own history says.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from healing.actions import labels
from healing.actions.base import CannotPlan
from healing.actions.reading import Workload, list_if_allowed
from healing.ports.cluster import Cluster, Object
from healing.ports.errors import Forbidden, NotFound

REVISION = "deployment.kubernetes.io/revision"
_HASH_LABEL = "pod-template-hash"
#: Name of a revision that exists in the workload's spec only.
UNRELEASED = ""

#: Events that say a pod did not work.
_PROBE_FAILURES = 5
_BAD_EVENTS = frozenset({"BackOff", "Failed", "Unhealthy", "FailedMount", "FailedCreate", "OOMKilling"})


#: To read what workloads looked like before.
PERMISSIONS = (("list", "ReplicaSet"), ("list", "ControllerRevision"))


@dataclass(frozen=True, slots=True)
class Revision:
    """A former or the current template. ``name`` is the object that keeps it."""

    number: int
    name: str
    template: dict[str, Any]
    created_at: str  # ISO 8601
    #: pods of this revision that are available now
    available: int = 0
    replicas: int = 0

    @property
    def is_serving(self) -> bool:
        """Its pods work right now: the surest sign of a good revision."""
        return self.available > 0


@dataclass(frozen=True, slots=True)
class GoodRevision:
    """The revision to go back to, and why it is believed to be good."""

    revision: Revision
    current: Revision
    reason: str
    is_serving: bool
    #: seconds it was the newest one; None: unknown
    lived_seconds: float | None


def of_workload(cluster: Cluster, workload: Workload, *, timeout_seconds: float) -> list[Revision]:
    """All revisions that the cluster keeps, newest first."""
    if workload.ref.kind == "Deployment":
        found = list(_of_deployment(cluster, workload, timeout_seconds))
    else:
        found = list(_of_controller_revisions(cluster, workload, timeout_seconds))
    return sorted(found, key=lambda r: r.number, reverse=True)


def _of_deployment(cluster: Cluster, workload: Workload, timeout_seconds: float) -> Iterator[Revision]:
    query = labels.as_query(workload.selector)
    for rs in cluster.list(
        "ReplicaSet", workload.ref.namespace, label_selector=query, timeout_seconds=timeout_seconds
    ).items:
        meta, status = rs["metadata"], rs.get("status") or {}
        number = str((meta.get("annotations") or {}).get(REVISION, ""))
        if not number.isdigit() or not _is_owned(rs, workload):
            continue
        yield Revision(
            number=int(number),
            name=meta["name"],
            template=without_hash(rs["spec"]["template"]),
            created_at=meta.get("creationTimestamp") or "",
            available=int(status.get("availableReplicas") or 0),
            replicas=int(status.get("replicas") or 0),
        )


def _of_controller_revisions(cluster: Cluster, workload: Workload, timeout_seconds: float) -> Iterator[Revision]:
    try:
        kept = cluster.list(
            "ControllerRevision",
            workload.ref.namespace,
            label_selector=labels.as_query(workload.selector),
            timeout_seconds=timeout_seconds,
        ).items
    except (NotFound, Forbidden):
        return
    status = workload.obj.get("status") or {}
    for revision in kept:
        if not _is_owned(revision, workload):
            continue
        name = revision["metadata"]["name"]
        template = copy.deepcopy(revision["data"]["spec"]["template"])
        template.pop("$patch", None)
        # A StatefulSet counts its pods of the last complete revision and of the newest one.
        is_former = name == status.get("currentRevision") and name != status.get("updateRevision")
        yield Revision(
            number=int(revision.get("revision", 0)),
            name=name,
            template=template,
            created_at=revision["metadata"].get("creationTimestamp") or "",
            available=min(int(status.get("currentReplicas") or 0), workload.available) if is_former else 0,
        )


def _is_owned(obj: Mapping[str, Any], workload: Workload) -> bool:
    return any(o.get("uid") == workload.ref.uid for o in obj["metadata"].get("ownerReferences") or ())


def without_hash(template: Mapping[str, Any]) -> dict[str, Any]:
    """A ReplicaSet's template as its Deployment wrote it."""
    plain = copy.deepcopy(dict(template))
    (plain.get("metadata", {}).get("labels") or {}).pop(_HASH_LABEL, None)
    return plain


def same_template(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """Whether two templates run the same pods: nulls and restart stamps do not count."""
    return bool(_essence(left) == _essence(right))


def _essence(template: Mapping[str, Any]) -> Any:
    plain = without_hash(template)
    annotations = plain.get("metadata", {}).get("annotations") or {}
    annotations.pop("kubectl.kubernetes.io/restartedAt", None)
    return _without_nulls(plain)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {k: _without_nulls(v) for k, v in value.items()}
        return {k: v for k, v in kept.items() if v not in (None, {}, [])}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def current(workload: Workload, revisions: Collection[Revision]) -> Revision:
    """The revision that the workload asks for.

    One that has no number yet (its controller has not seen it, or the rollout is paused) counts as the next."""
    for revision in revisions:
        if same_template(revision.template, workload.template):
            return revision
    newest = max((r.number for r in revisions), default=0)
    return Revision(newest + 1, UNRELEASED, without_hash(workload.template), created_at="")


def last_good(
    cluster: Cluster,
    workload: Workload,
    *,
    avoid: Collection[int] = (),
    made_before: datetime | None = None,
    timeout_seconds: float,
) -> GoodRevision:
    """The newest earlier revision that is known or believed to have worked; raises `CannotPlan` if there is none.

    ``avoid``: revision numbers that our own history calls bad. ``made_before``: what came later is no former state. A
    revision whose pods serve right now wins over all others; then the newest one counts against which nothing speaks.
    """
    revisions = of_workload(cluster, workload, timeout_seconds=timeout_seconds)
    now = current(workload, revisions)
    earlier = [r for r in revisions if r.number < now.number and not same_template(r.template, now.template)]
    if not earlier:
        raise CannotPlan(f"{workload.ref} has no earlier revision with another template.")
    if made_before is not None:
        earlier = [r for r in earlier if not r.created_at or _time(r.created_at) <= made_before]
        if not earlier:
            raise CannotPlan(f"Every other revision of {workload.ref} was made while this fault was being healed.")
    serving = [r for r in earlier if r.is_serving and r.number not in avoid]
    if serving:
        return judged(serving[0], now, revisions)
    warned = _pods_with_warnings(cluster, workload, timeout_seconds)
    against: list[str] = []
    for revision in earlier:
        problem = _speaks_against(
            cluster, workload, revision, avoid=avoid, warned=warned, timeout_seconds=timeout_seconds
        )
        if not problem:
            return judged(revision, now, revisions)
        against.append(f"revision {revision.number}: {problem}")
    raise CannotPlan(f"No earlier revision of {workload.ref} is known to be good ({'; '.join(against)}).")


def judged(revision: Revision, now: Revision, revisions: Iterable[Revision]) -> GoodRevision:
    """The revision with what speaks for it."""
    lived = _lived(revision, revisions)
    if revision.is_serving:
        reason = f"{revision.available} of its pods serve right now"
    elif lived:
        reason = f"it was the newest for {lived:.0f} s, and nothing speaks against it"
    else:
        reason = "nothing speaks against it"
    return GoodRevision(revision, now, reason, is_serving=revision.is_serving, lived_seconds=lived)


def _speaks_against(
    cluster: Cluster,
    workload: Workload,
    revision: Revision,
    *,
    avoid: Collection[int],
    warned: Collection[str],
    timeout_seconds: float,
) -> str:
    if revision.number in avoid:
        return "it failed before"
    if any(name.startswith(f"{revision.name}-") for name in warned):
        return "its pods caused warnings"
    missing = missing_references(cluster, workload.ref.namespace, revision.template, timeout_seconds=timeout_seconds)
    return f"{missing[0]}" if missing else ""


def _pods_with_warnings(cluster: Cluster, workload: Workload, timeout_seconds: float) -> set[str]:
    events = list_if_allowed(cluster, "Event", workload.ref.namespace, timeout_seconds=timeout_seconds)
    return {
        e["involvedObject"].get("name", "")
        for e in events or ()
        if e.get("type") == "Warning" and e.get("reason") in _BAD_EVENTS and "involvedObject" in e and _counts(e)
    }


def _counts(event: Mapping[str, Any]) -> bool:
    """A probe fails a few times whenever a pod starts or ends: only one that goes on failing says something."""
    if event.get("reason") != "Unhealthy":
        return True
    series = event.get("series") or {}
    return int(series.get("count") or event.get("count") or 1) >= _PROBE_FAILURES


def _lived(revision: Revision, revisions: Iterable[Revision]) -> float | None:
    """Seconds until a newer revision was made. A re-used ReplicaSet keeps its first creation time: unknown then."""
    followers = [r.created_at for r in revisions if r.number > revision.number and r.created_at > revision.created_at]
    if not followers or not revision.created_at:
        return None
    return (_time(min(followers)) - _time(revision.created_at)).total_seconds()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def references(template: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """``(kind, name, key)`` of every ConfigMap and Secret that a pod cannot start without; the key may be empty."""
    spec = template["spec"]
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        for source in container.get("envFrom") or ():
            yield from _reference(source.get("configMapRef"), "ConfigMap")
            yield from _reference(source.get("secretRef"), "Secret")
        for variable in container.get("env") or ():
            value_from = variable.get("valueFrom") or {}
            yield from _reference(value_from.get("configMapKeyRef"), "ConfigMap")
            yield from _reference(value_from.get("secretKeyRef"), "Secret")
    for volume in spec.get("volumes") or ():
        for source in [volume, *((volume.get("projected") or {}).get("sources") or ())]:
            yield from _volume_reference(source.get("configMap"), "ConfigMap")
            yield from _volume_reference(source.get("secret"), "Secret")


def _reference(ref: Mapping[str, Any] | None, kind: str) -> Iterator[tuple[str, str, str]]:
    if ref and not ref.get("optional"):
        yield kind, str(ref.get("name", "")), str(ref.get("key", ""))


def _volume_reference(ref: Mapping[str, Any] | None, kind: str) -> Iterator[tuple[str, str, str]]:
    if not ref or ref.get("optional"):
        return
    name = str(ref.get("secretName") or ref.get("name") or "")
    items = ref.get("items") or ()
    if not items:
        yield kind, name, ""
    for item in items:
        yield kind, name, str(item.get("key", ""))


def missing_references(
    cluster: Cluster, namespace: str, template: Mapping[str, Any], *, timeout_seconds: float
) -> list[str]:
    """What the template needs and the namespace lacks, in words. What we may not read counts as there."""
    problems = []
    for kind, name, key in dict.fromkeys(references(template)):
        try:
            obj = cluster.get(kind, namespace, name, timeout_seconds=timeout_seconds)
        except NotFound:
            problems.append(f"{kind} {name} does not exist")
            continue
        except Forbidden:
            continue
        if key and not _has_key(obj, key):
            problems.append(f"{kind} {name} has no key {key}")
    return problems


def _has_key(obj: Object, key: str) -> bool:
    return any(key in (obj.get(part) or {}) for part in ("data", "binaryData"))
