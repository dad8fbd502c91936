"""The machines: what a node is made of, and the handle by which one is made bad from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from healing.sandbox.ports import Object

FailureKind = Literal[
    "kubelet-stopped", "down", "runtime-down", "network-unavailable", "memory-pressure", "disk-pressure", "pid-pressure"
]
FAILURE_KINDS: tuple[FailureKind, ...] = get_args(FailureKind)


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A machine; quantities as Kubernetes writes them."""

    name: str
    cpu: str = "4"
    memory: str = "16Gi"
    pods: int = 110
    ephemeral_storage: str = "100Gi"
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Object] = ()


def node_specs(nodes: Sequence[NodeSpec] | int) -> list[NodeSpec]:
    if isinstance(nodes, int):
        return [NodeSpec(f"node{number + 1}") for number in range(nodes)]
    return list(nodes)


@dataclass(frozen=True, slots=True)
class NodeHandle:
    """A node seen from outside the cluster. Kinds of failure:

    - ``kubelet-stopped``: no heartbeats, probes, restarts or status; containers go on running.
    - ``down``: the machine is off: as above, and its processes are gone.
    - ``runtime-down``: the kubelet reports Ready=False (``container runtime is down``) and can neither start nor stop
      a container; those that run go on.
    - ``network-unavailable``: the node's network agent is gone; the kubelet reports it, nothing new is placed there and
      (see `reachable`) the pods' network does not work.
    - ``memory-pressure``, ``disk-pressure``, ``pid-pressure``: the condition, its taint, and evictions.
    """

    name: str
    _fail: Callable[[FailureKind], None]
    _recover: Callable[[], None]
    _failures: Callable[[], frozenset[FailureKind]]

    @property
    def failures(self) -> frozenset[FailureKind]:
        return self._failures()

    def fail(self, kind: FailureKind) -> None:
        """Raises ValueError for an unknown kind."""
        if kind not in FAILURE_KINDS:
            raise ValueError(f"unknown kind of node failure {kind!r}; use one of {', '.join(FAILURE_KINDS)}")
        self._fail(kind)

    def recover(self) -> None:
        """End all failures of this node."""
        self._recover()
