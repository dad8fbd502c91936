"""What runs in a cluster, who calls whom and where it runs: a compact picture that the watcher leaves in the cache for
the dashboard's map, so that no page load asks a cluster."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import structlog
from django.core.cache import cache

log = structlog.get_logger(__name__)

#: After an hour without a watcher the picture says nothing any more.
KEPT_SECONDS = 3600
#: Of more pods only those that are not well are named.
MOST_PODS = 20_000
MOST_WORKLOADS = 10_000
MOST_CALLS = 50_000
_FORMAT = 2


class PodState(StrEnum):
    """How a pod is, in one letter."""

    READY = "r"
    STARTING = "s"
    NOT_READY = "n"
    FAILING = "f"
    PENDING = "p"
    ENDING = "t"
    DONE = "d"
    ISOLATED = "i"


@dataclass(frozen=True, slots=True)
class Pod:
    """``node`` is empty while it has none; ``reason`` only where something is wrong."""

    name: str
    state: PodState
    node: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Workload:
    """``ready`` of ``desired``; ``more``: ready pods that are not named in ``pods``. ``calls`` and ``callers`` are
    places in `Inventory.workloads`; ``services`` lead to it; ``reads``: ConfigMaps and Secrets of its namespace that it
    mounts or takes variables from, as ``Kind/name``, never what stands in them."""

    kind: str
    namespace: str
    name: str
    desired: int
    ready: int
    is_paused: bool = False
    pods: tuple[Pod, ...] = ()
    more: int = 0
    calls: tuple[int, ...] = ()
    callers: tuple[int, ...] = ()
    services: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.namespace, self.name

    @property
    def pod_count(self) -> int:
        return len(self.pods) + self.more


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    is_ready: bool
    is_cordoned: bool
    pods: int = 0


@dataclass(frozen=True, slots=True)
class Inventory:
    """``etag`` names the content; ``left_out``: workloads beyond the limit, which are not in it."""

    at: datetime
    etag: str
    workloads: tuple[Workload, ...] = ()
    nodes: tuple[Node, ...] = ()
    left_out: int = 0
    _by_key: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def find(self, kind: str, namespace: str, name: str) -> Workload | None:
        """The workload, if it is in the picture."""
        place = self._by_key.get((kind, namespace, name))
        return None if place is None else self.workloads[place]


def encode(picture: dict[str, Any]) -> tuple[str, bytes]:
    """(etag, compressed) of what `healing.detection.surveying` has put together."""
    text = json.dumps({"format": _FORMAT, **picture}, separators=(",", ":"), ensure_ascii=False).encode()
    return blake2b(text, digest_size=8).hexdigest(), zlib.compress(text, 3)


def write(cluster: str, etag: str, data: bytes) -> bool:
    """Leave it for the dashboard; a cache that is away costs the map, never the watching. Whether it was taken."""
    try:
        cache.set(_key(cluster), (etag, datetime.now(UTC).isoformat(), data), timeout=KEPT_SECONDS)
    except Exception as error:  # noqa: BLE001 - whatever the cache's client raises
        log.debug("no inventory", error=str(error))
        return False
    return True


def read(cluster: str) -> Inventory | None:
    """The last picture; None: there is none, or the cache cannot be read."""
    try:
        found = cache.get(_key(cluster))
    except Exception as error:  # noqa: BLE001 - as above
        log.debug("no inventory", error=str(error))
        return None
    if not isinstance(found, tuple):
        return None
    return _decode(cluster, *found)


@lru_cache(maxsize=16)
def _decode(cluster: str, etag: str, at: str, data: bytes) -> Inventory | None:
    """Read once a change, however many people look."""
    value = json.loads(zlib.decompress(data))
    if value.get("format") != _FORMAT:
        return None  # of another version's watcher: the next picture will do
    nodes = [name for name, _, _ in value["nodes"]]
    on_node = [0] * len(nodes)
    calls: list[list[int]] = [[] for _ in value["workloads"]]
    callers: list[list[int]] = [[] for _ in value["workloads"]]
    for caller, callee in value["calls"]:
        calls[caller].append(callee)
        callers[callee].append(caller)
    workloads = []
    for place, (kind, namespace, name, desired, ready, paused, pods, more, services, reads) in enumerate(
        value["workloads"]
    ):
        named = []
        for pod, state, node, *reason in pods:
            if node >= 0:
                on_node[node] += 1
            named.append(Pod(pod, PodState(state), nodes[node] if node >= 0 else "", *reason))
        workloads.append(
            Workload(
                kind,
                namespace,
                name,
                desired,
                ready,
                bool(paused),
                tuple(named),
                more,
                tuple(calls[place]),
                tuple(callers[place]),
                tuple(services),
                tuple(reads),
            )
        )
    return Inventory(
        at=datetime.fromisoformat(at),
        etag=etag,
        workloads=tuple(workloads),
        nodes=tuple(
            Node(name, bool(ready), bool(cordoned), on_node[place])
            for place, (name, ready, cordoned) in enumerate(value["nodes"])
        ),
        left_out=value["leftOut"],
        _by_key={workload.key: place for place, workload in enumerate(workloads)},
    )


def _key(cluster: str) -> str:
    return f"watcher.inventory.{cluster}"
