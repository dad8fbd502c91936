"""A cluster that counts what is really written, and dies where it is told to."""

from __future__ import annotations

from typing import Any

from healing.cluster.kubernetes import KubernetesCluster

_WRITES = frozenset({"create", "patch", "delete", "evict"})


class Killed(BaseException):
    """Stands for SIGKILL: nobody catches it."""


class Counting:
    """Implements `healing.ports.Cluster` over the real one."""

    def __init__(self, cluster: KubernetesCluster) -> None:
        self._cluster = cluster
        self.written = 0
        #: dies once, before or after that many writes have gone through
        self.die_before: int | None = None
        self.die_after: int | None = None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._cluster, name)
        if name not in _WRITES:
            return method

        def write(*args: Any, **kwargs: Any) -> Any:
            if kwargs.get("dry_run"):
                return method(*args, **kwargs)
            if self.die_before == self.written:
                self.die_before = None
                raise Killed
            answer = method(*args, **kwargs)
            self.written += 1
            if self.die_after == self.written:
                self.die_after = None
                raise Killed
            return answer

        return write
