"""Which pods a strategy has made: those that its workloads did not have before it.

Told by the cluster's own times and uids alone: times of pods are whole seconds of another clock than ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from healing.actions.base import CannotPlan
from healing.actions.reading import WORKLOAD_KINDS, Workload
from healing.ports import Ports
from healing.ports.cluster import Object, ObjectRef
from healing.ports.errors import SourceError


def youngest(ports: Ports, refs: Iterable[ObjectRef], *, timeout_seconds: float) -> dict[str, dict[str, Any]]:
    """For each workload that can be read: the time of its youngest pods, and their uids. To be kept as JSON."""
    found = {}
    for ref in {_key(ref): ref for ref in refs if ref.kind in WORKLOAD_KINDS}.values():
        try:
            pods = Workload.read(ports.cluster, ref, timeout_seconds=timeout_seconds).pods(
                ports.cluster, timeout_seconds=timeout_seconds
            )
        except (CannotPlan, SourceError):
            continue
        newest = max(map(_created, pods), default="")
        found[_key(ref)] = {"at": newest, "uids": sorted(_uid(pod) for pod in pods if _created(pod) == newest)}
    return found


def is_newcomer(pod: Object, ref: ObjectRef, before: Mapping[str, Any]) -> bool | None:
    """Whether the workload ``ref`` did not have it yet; None: nobody looked ``before``."""
    known = before.get(_key(ref))
    if known is None:
        return None
    created = _created(pod)
    return bool(created > known["at"] or (created == known["at"] and _uid(pod) not in known["uids"]))


def _key(ref: ObjectRef) -> str:
    return f"{ref.kind}/{ref.namespace}/{ref.name}"


def _created(pod: Object) -> str:
    """As the API server writes it, UTC in whole seconds: to be compared as text."""
    return str(pod["metadata"].get("creationTimestamp") or "")


def _uid(pod: Object) -> str:
    return str(pod["metadata"].get("uid") or "")
