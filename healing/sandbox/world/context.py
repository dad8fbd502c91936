"""What every part of the world is given: the cluster, the programs, the clock and the timings."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from healing.sandbox.ports import Cluster, LogSource, Runtime, User


@dataclass(frozen=True, slots=True)
class Settings:
    """Timings in seconds. Back-offs are Kubernetes' own; what takes minutes on a real node is shortened here."""

    #: how often a kubelet looks at its containers' processes (the real PLEG's period)
    relist_seconds: float = 1.0
    #: how often a kubelet looks again at a pod that waits (real: 60 to 90, the recordings: 5 to 7.5)
    resync_seconds: float = 6.0
    #: how late a mounted ConfigMap or Secret follows its object (real: up to 60)
    volume_refresh_seconds: float = 10.0
    sandbox_start_seconds: float = 0.35
    container_start_seconds: float = 0.1
    #: how long after its containers a pod's cgroup and volumes are gone and the object is deleted
    cleanup_seconds: float = 0.8
    container_back_off_initial_seconds: float = 10.0
    container_back_off_max_seconds: float = 300.0
    image_back_off_initial_seconds: float = 10.0
    image_back_off_max_seconds: float = 300.0
    #: without a renewed Lease for so long a node counts as lost (real: 50)
    node_grace_seconds: float = 10.0
    node_status_seconds: float = 10.0
    #: pause of a kubelet between two evictions under pressure
    eviction_pause_seconds: float = 10.0
    #: time from a change to the controller that reacts to it; lets a burst of changes be one reconciliation
    reaction_seconds: float = 0.01
    hpa_sync_seconds: float = 15.0
    hpa_downscale_stabilization_seconds: float = 300.0
    claim_sync_seconds: float = 15.0


@dataclass(slots=True)
class Context:
    cluster: Cluster
    runtime: Runtime
    clock: Callable[[], float] = time.time
    settings: Settings = field(default_factory=Settings)
    log_source: LogSource | None = None
    #: provider of a random number generator, so that a test can fix names and addresses
    random: random.Random = field(default_factory=random.Random)

    def now(self) -> float:
        return self.clock()

    def timestamp(self) -> str:
        """The API's time format of this moment (whole seconds, UTC)."""
        return format_time(self.clock())


def format_time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str | None) -> float:
    """Seconds since the epoch; 0.0 for a missing time."""
    if not text:
        return 0.0
    return datetime.fromisoformat(text).timestamp()


def controller_user(name: str) -> User:
    """The identity a controller of kube-controller-manager acts under."""
    return User(
        f"system:serviceaccount:kube-system:{name}",
        ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"),
        "kube-controller-manager",
    )


def node_user(node_name: str) -> User:
    return User(f"system:node:{node_name}", ("system:nodes", "system:authenticated"), "kubelet")


SCHEDULER_USER = User("system:kube-scheduler", ("system:authenticated",), "kube-scheduler")


def labels_of(item: Mapping[str, object]) -> dict[str, str]:
    metadata = item.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    return labels if isinstance(labels, dict) else {}
