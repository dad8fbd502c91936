"""A node that runs short of memory, disk or process ids: what its kubelet sees, says and does about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from healing.sandbox.world import pods, quantities
from healing.sandbox.world.kubelet.storage_limits import exceeded_limit
from healing.sandbox.world.nodes import FailureKind

if TYPE_CHECKING:
    from healing.sandbox.world.kubelet.node_agent import NodeAgent
    from healing.sandbox.world.kubelet.pod_worker import PodWorker

#: eviction thresholds of a real kubelet: memory.available<100Mi, nodefs.available<10%
MEMORY_THRESHOLD_BYTES = 100 * 2**20
DISK_THRESHOLD_SHARE = Decimal("0.1")
#: a real kubelet reports a pressure for five minutes after it has ended; shortened like the other node timings
TRANSITION_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Shortage:
    """One resource of the node below its threshold; amounts unknown (-1) when a fault only says so."""

    kind: FailureKind
    #: as eviction messages name it
    resource: str
    used_bytes: Callable[[PodWorker, str], int]
    threshold: str = ""
    available: str = ""


class Pressure:
    """``kinds`` are the pressures the node reports."""

    def __init__(self, node: NodeAgent) -> None:
        self._node = node
        self._measured: list[Shortage] = []
        self._seen_at: dict[FailureKind, float] = {}
        self._evicted_at = 0.0

    @property
    def kinds(self) -> set[FailureKind]:
        now = self._node.context.now()
        lasting = {kind for kind, since in self._seen_at.items() if now - since < TRANSITION_SECONDS}
        return lasting | (self._node.failures & {"memory-pressure", "disk-pressure", "pid-pressure"})

    def look(self, now: float) -> None:
        """Measure, and end pods that use more local storage than their own limits allow."""
        self._measured = [shortage for shortage in (self._memory(), self._disk()) if shortage is not None]
        for shortage in self._measured:
            self._seen_at[shortage.kind] = now
        for worker in list(self._node.workers.values()):
            if worker.may_be_evicted and (problem := exceeded_limit(worker)):
                worker.evict("Evicted", problem, now)

    def _memory(self) -> Shortage | None:
        used = sum(worker.memory_bytes() for worker in self._node.workers.values())
        available = int(quantities.parse(self._node.spec.memory)) - used
        if available >= MEMORY_THRESHOLD_BYTES:
            return None
        return Shortage("memory-pressure", "memory", _memory_of, "100Mi", f"{max(available, 0) // 1024}Ki")

    def _disk(self) -> Shortage | None:
        capacity = quantities.parse(self._node.spec.ephemeral_storage)
        available = capacity - sum(worker.ephemeral_bytes() for worker in self._node.workers.values())
        threshold = capacity * DISK_THRESHOLD_SHARE
        if available >= threshold:
            return None
        shown = f"{int(max(available, Decimal(0))) // 1024}Ki"
        return Shortage("disk-pressure", "ephemeral-storage", _ephemeral_of, str(int(threshold)), shown)

    def relieve(self, now: float) -> None:
        """End one pod after the other: first those above their requests, then by priority, then by usage."""
        shortages = [*self._measured]
        claimed = self._node.failures - {shortage.kind for shortage in shortages}
        shortages += [shortage for shortage in _CLAIMED if shortage.kind in claimed]
        if not shortages or now - self._evicted_at < self._node.context.settings.eviction_pause_seconds:
            return
        shortage = shortages[0]
        self._node.event("Warning", "EvictionThresholdMet", f"Attempting to reclaim {shortage.resource}")
        victims = [worker for worker in self._node.workers.values() if worker.may_be_evicted]
        if not victims:
            return
        self._evicted_at = now
        victim = max(victims, key=lambda worker: _rank(worker, shortage))
        victim.evict("Evicted", _message(victim, shortage), now)


def _memory_of(worker: PodWorker, container: str) -> int:
    return worker.memory_bytes(container)


def _ephemeral_of(worker: PodWorker, container: str) -> int:
    return worker.ephemeral_bytes(container)


def _nothing(_worker: PodWorker, _container: str) -> int:
    return 0


#: shortages whose cause is not modelled: something else on the machine takes the resource
_CLAIMED = (
    Shortage("memory-pressure", "memory", _memory_of),
    Shortage("disk-pressure", "ephemeral-storage", _ephemeral_of),
    Shortage("pid-pressure", "pids", _nothing),
)


def _rank(worker: PodWorker, shortage: Shortage) -> tuple[bool, int, int]:
    used = shortage.used_bytes(worker, "")
    excess = used - int(pods.resource_total(worker.pod, "requests", shortage.resource))
    return excess > 0, -int(worker.pod["spec"].get("priority") or 0), excess


def _message(worker: PodWorker, shortage: Shortage) -> str:
    message = f"The node was low on resource: {shortage.resource}. "
    if shortage.threshold:
        message += f"Threshold quantity: {shortage.threshold}, available: {shortage.available}. "
    for container in worker.every():
        used = shortage.used_bytes(worker, container.name)
        request = ((container.spec.get("resources") or {}).get("requests") or {}).get(shortage.resource, "0")
        if used > quantities.parse(request):
            message += (
                f"Container {container.name} was using {used // 1024}Ki, request is {request}, has larger consumption "
                f"of {shortage.resource}. "
            )
    return message
