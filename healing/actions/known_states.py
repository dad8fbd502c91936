"""Remembers what objects looked like, and says what one was like before.

Upkeep looks at the enabled policies' namespaces and keeps every new state, a few of each object; what has not been seen
for weeks is forgotten. A state counts as good if it was in place before the fault; of several, one that had lasted."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from healing import shared_clock
from healing.actions import manifests
from healing.actions.reading import WORKLOAD_KINDS, controller_of
from healing.models import KnownState, Policy
from healing.ports import Ports
from healing.ports.cluster import Object, ObjectRef
from healing.ports.errors import Forbidden, NotFound, SourceError, Unavailable

log = structlog.get_logger(__name__)

#: Bigger objects hold files, not settings.
_MAX_BYTES = 64 * 1024
_KEPT_OF_ONE = 5
_KEPT_OF_A_KIND = 300  # in one namespace: more are made by machines
_FORGOTTEN_AFTER = timedelta(days=30)
#: A state that was in place this long, without a fault, was good.
_LASTED = timedelta(seconds=60)
#: Every cluster puts it into every namespace.
_NOT_KEPT = frozenset({"kube-root-ca.crt"})


def clusters_to_remember() -> set[str]:
    """Clusters that have an enabled policy."""
    return set(Policy.objects.filter(enabled=True).values_list("cluster", flat=True).distinct())


def remember(cluster_name: str, obj: Object, seen_at: datetime, kind: str = "") -> bool:
    """Keep what one object looks like now (see `remember_all`). True: it was new."""
    return _remember(cluster_name, str(obj.get("kind") or kind), [obj], seen_at) == 1


def remember_all(get_ports: Callable[[str], Ports], cluster_name: str, *, timeout_seconds: float = 5.0) -> int:
    """Keep what the objects of all enabled policies' namespaces look like, in one cluster; returns how many had
    changed. What cannot be read is left for the next time."""
    now, changed = shared_clock.now(), 0
    wanted = {namespace for _, spec in Policy.usable(cluster_name) for namespace in spec.target_namespaces}
    try:
        cluster = get_ports(cluster_name).cluster
    except LookupError as error:
        log.info("states not remembered", cluster=cluster_name, error=str(error))
        return 0
    for namespace in sorted(wanted):
        for kind in manifests.PARTS:
            try:
                found = cluster.list(kind, namespace, timeout_seconds=timeout_seconds).items
            except Unavailable as error:
                log.info("states not remembered", cluster=cluster_name, error=str(error))
                return changed  # it does not answer: the rest would only cost time
            except (NotFound, Forbidden):
                continue  # a kind that this cluster does not have, or that we may not see
            except SourceError as error:
                log.info("states not remembered", cluster=cluster_name, namespace=namespace, error=str(error))
                continue
            changed += _remember(cluster_name, kind, found[:_KEPT_OF_A_KIND], now)
    KnownState.objects.filter(cluster=cluster_name, last_seen_at__lt=now - _FORGOTTEN_AFTER).delete()
    return changed


def _remember(cluster_name: str, kind: str, found: list[Object], seen_at: datetime) -> int:
    """One query to see what is known, one write for what is seen again, one for what is new."""
    states = {}
    for obj in found:
        if obj["metadata"]["name"] in _NOT_KEPT or controller_of(obj) is not None:
            continue  # what has a controller is made anew by it
        manifest = manifests.manifest_of(obj, kind)
        if len(json.dumps(manifest)) <= _MAX_BYTES and manifests.fields(manifest):
            states[(obj["metadata"]["uid"], manifests.digest_of(manifest))] = manifest
    uids = {uid for uid, _ in states}
    known = {(row.uid, row.digest): row for row in KnownState.objects.filter(cluster=cluster_name, uid__in=uids)}
    again = [row for key, row in known.items() if key in states]
    for row in again:
        row.last_seen_at, row.state = seen_at, states[(row.uid, row.digest)]
    KnownState.objects.bulk_update(again, ["last_seen_at", "state"])
    new = [
        KnownState(
            cluster=cluster_name,
            kind=kind,
            namespace=manifest["metadata"]["namespace"],
            name=manifest["metadata"]["name"],
            uid=uid,
            digest=digest,
            state=manifest,
            first_seen_at=seen_at,
            last_seen_at=seen_at,
        )
        for (uid, digest), manifest in states.items()
        if (uid, digest) not in known
    ]
    KnownState.objects.bulk_create(new, ignore_conflicts=True)
    for row in new:
        _forget_oldest(cluster_name, row.uid)
    return len(new)


def _forget_oldest(cluster_name: str, uid: str) -> None:
    rows = KnownState.objects.filter(cluster=cluster_name, uid=uid).order_by("-last_seen_at")
    old = list(rows.values_list("pk", flat=True)[_KEPT_OF_ONE:])
    if old:
        KnownState.objects.filter(pk__in=old).delete()


def former(cluster_name: str, live: Object, kind: str, *, before: datetime) -> KnownState | None:
    """What the object was like before ``before``, where that is not what it is like now."""
    now = manifests.digest_of(manifests.manifest_of(live, kind))
    rows = KnownState.objects.filter(cluster=cluster_name, kind=kind, uid=live["metadata"]["uid"])
    return _best([row for row in rows.filter(first_seen_at__lt=before) if row.digest != now])


def last_of(cluster_name: str, ref: ObjectRef, *, before: datetime) -> KnownState | None:
    """What an object that does not exist any more was like."""
    rows = KnownState.objects.filter(
        cluster=cluster_name, kind=ref.kind, namespace=ref.namespace, name=ref.name, first_seen_at__lt=before
    )
    return rows.order_by("-last_seen_at").first()


def selected_by(cluster_name: str, namespace: str, selector: dict[str, str], *, before: datetime) -> list[ObjectRef]:
    """Workloads, existing or not, whose pods a Service with that selector sent requests to; last seen first."""
    if not selector:
        return []
    rows = KnownState.objects.filter(
        cluster=cluster_name, kind__in=sorted(WORKLOAD_KINDS), namespace=namespace, first_seen_at__lt=before
    )
    found: dict[ObjectRef, None] = {}
    for row in rows.order_by("-last_seen_at"):
        template = (row.state.get("spec") or {}).get("template") or {}
        labels = (template.get("metadata") or {}).get("labels") or {}
        if selector.items() <= labels.items():
            found[ObjectRef(row.kind, row.namespace, row.name)] = None
    return list(found)


def had_replicas(cluster_name: str, ref: ObjectRef, *, before: datetime) -> int:
    """How many replicas a workload had when it had some; 0: nobody knows."""
    rows = KnownState.objects.filter(
        cluster=cluster_name, kind=ref.kind, namespace=ref.namespace, name=ref.name, first_seen_at__lt=before
    )
    for row in rows.order_by("-last_seen_at"):
        replicas = int(row.state.get("spec", {}).get("replicas") or 0)
        if replicas:
            return replicas
    return 0


def _best(rows: list[KnownState]) -> KnownState | None:
    def key(row: KnownState) -> tuple[bool, datetime]:
        return row.last_seen_at - row.first_seen_at >= _LASTED, row.last_seen_at

    return max(rows, key=key, default=None)
