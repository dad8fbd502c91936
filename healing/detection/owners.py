"""From the object a fault shows on to the workload that is to be healed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from healing.detection.cache import ObjectCache
from healing.policies.select import labels_of
from healing.ports.cluster import Object, ObjectRef

#: Kinds that own others and are in the cache.
_CACHED = frozenset({"ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job"})
#: Owners above them that we know how to name though we do not watch them.
_KNOWN = frozenset({"CronJob", "ReplicationController"})
_LEVELS = 5


class OwnerUnknown(Exception):
    """The owner is not in the cache (yet): its watch may be a moment behind."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be healed. ``labels`` are those a policy selects by; ``object`` is the live one, if it is cached."""

    ref: ObjectRef
    generation: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    object: Object | None = None


def controller_of(obj: Object) -> Mapping[str, Any] | None:
    """The owner reference of the object's controller."""
    for owner in (obj.get("metadata") or {}).get("ownerReferences") or ():
        if owner.get("controller"):
            return dict(owner)
    return None


def target_of(obj: Object, cache: ObjectCache, *, lenient: bool = False) -> Target:
    """The topmost workload above the object, or the object itself. Raises `OwnerUnknown`, unless ``lenient``: then an
    owner that is not there ends the way up.

    Stops below an owner of a kind we know nothing of (an operator's own resource): what it manages can be healed,
    what it is cannot.
    """
    top = obj
    for _ in range(_LEVELS):
        owner = controller_of(top)
        if owner is None:
            break
        kind = str(owner.get("kind"))
        namespace = str(top["metadata"].get("namespace") or "")
        if kind in _KNOWN:
            ref = ObjectRef(kind, namespace, str(owner["name"]), str(owner.get("uid") or ""))
            return Target(ref, 0, labels_of(top))
        if kind not in _CACHED:
            break
        above = cache.get(kind, namespace, str(owner["name"]))
        if above is None or above["metadata"].get("uid") != owner.get("uid"):
            if lenient:
                break
            raise OwnerUnknown(f"{kind} {namespace}/{owner['name']}")
        top = above
    return target(top)


def target(obj: Object) -> Target:
    """The object as a target itself."""
    generation = (obj.get("metadata") or {}).get("generation")
    return Target(ObjectRef.of(obj), generation if isinstance(generation, int) else 0, labels_of(obj), obj)
