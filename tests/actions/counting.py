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
        #: fails with this error, once, when that many writes have gone through
        self.fail_before: tuple[int, Exception] | None = None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._cluster, name)
        if name not in _WRITES:
            return method

        def write(*args: Any, **kwargs: Any) -> Any:
            if kwargs.get("dry_run"):
                return method(*args, **kwargs)
            if self.die_before == self.written:
                self.die_before = None
                self.die()
            if self.fail_before is not None and self.fail_before[0] == self.written:
                error, self.fail_before = self.fail_before[1], None
                raise error
            answer = method(*args, **kwargs)
            self.written += 1
            if self.die_after == self.written:
                self.die_after = None
                self.die()
            return answer

        return write

    def die(self) -> None:
        """As far as a test can die that goes on; `tests.actions.killed` does it for real."""
        raise Killed
