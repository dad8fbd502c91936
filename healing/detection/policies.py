"""The enabled policies as detection uses them: read from the database now and then, parsed once."""

from __future__ import annotations

import threading
import time
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from healing.detection.owners import Target
from healing.models import Policy
from healing.policies.select import select, select_for_node
from healing.policies.spec import PolicySpec, Thresholds

REFRESH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class PolicySet:
    """The usable policies of a cluster at one moment."""

    policies: tuple[tuple[Policy, PolicySpec], ...] = ()

    def for_target(self, target: Target, namespaces_on_node: AbstractSet[str] = frozenset()) -> Policy | None:
        """The policy that governs the target; a node is judged by the namespaces that have pods on it."""
        if target.ref.kind == "Node":
            return select_for_node(self.policies, namespaces_on_node)
        return select(self.policies, target.ref.namespace, target.labels)

    def thresholds(self, target: Target) -> Thresholds | None:
        """The thresholds for the target; None: no policy covers it."""
        policy = self.for_target(target)
        return next((spec.thresholds for known, spec in self.policies if known is policy), None)

    @property
    def namespaces(self) -> frozenset[str]:
        """All namespaces that any of them names."""
        return frozenset(name for _, spec in self.policies for name in spec.target_namespaces)


def read_policies(cluster: str) -> PolicySet:
    """From the database."""
    return PolicySet(tuple(Policy.usable(cluster)))


class PolicyBook:
    """`read_policies`, at most every two seconds. Safe to share between threads."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._policies = PolicySet()

    def current(self) -> PolicySet:
        """Raises what the database raises."""
        with self._lock:
            if time.monotonic() - self._read_at > REFRESH_SECONDS:
                self._policies = read_policies(self._cluster)
                self._read_at = time.monotonic()
            return self._policies

    def invalidate(self) -> None:
        """A policy has changed: read again at the next question."""
        with self._lock:
            self._read_at = float("-inf")
