"""The cluster's DNS as its clients meet it: the pods behind kube-dns, how late they answer, and if at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from healing.sandbox.apps import latency
from healing.sandbox.apps.calls import DNS_PATIENCE_SECONDS
from healing.sandbox.apps.latency import Mixture
from healing.sandbox.apps.model import Edge, Outcome
from healing.sandbox.apps.process import BaseProcess
from healing.sandbox.apps.server import ServerProcess
from healing.sandbox.apps.wiring import Wiring
from healing.sandbox.ports import Cluster

NAMESPACE, SERVICE, PORT = "kube-system", "kube-dns", 53
#: share of calls that open a connection, and with it ask for a name; the others take one from a pool
_FRESH_SHARE, _FRESH_SHARE_POOLED = 0.25, 0.05
#: a kept connection lives about so long
_CONNECTION_LIFE_SECONDS = 15.0
_SPREAD = 0.45
#: what each process asks a second, and each call
_IDLE_LOOKUPS, _LOOKUPS_A_CALL = 0.05, 0.25


class Names:
    """Looked at once a tick; a cluster without the kube-dns Service resolves names by magic."""

    def __init__(self, cluster: Cluster, wiring: Wiring, processes: Callable[[str], Iterable[BaseProcess]]) -> None:
        self._cluster = cluster
        self._wiring = wiring
        self._processes = processes
        self.failed = 0.0
        self.cause = ""
        self.mixture: Mixture = []
        self._failing_since = 0.0
        self._now = 0.0

    def look(self, now: float, clients: int, calls_per_second: float) -> dict[int, float]:
        """Note how DNS does; returns the rate each of its processes is asked at (by ``id``)."""
        self._now = now
        self.failed, self.cause, self.mixture = 0.0, "", []
        if self._cluster.get("services", NAMESPACE, SERVICE) is None:
            self._failing_since = 0.0
            return {}
        servers, asked = self._servers(), {}
        rate = clients * _IDLE_LOOKUPS + calls_per_second * _LOOKUPS_A_CALL
        if not servers:
            self.failed, self.cause = 1.0, "dns refused"
        for server in servers:
            asked[id(server)] = rate / len(servers)
            if not self._wiring.reachable(server.start.node_name) or server.effects.hang:
                self.failed, self.cause = self.failed + 1 / len(servers), "dns timeout"
                continue
            late = 1 - latency.share_below(server.mixture, DNS_PATIENCE_SECONDS, _SPREAD)
            lost = 1 - (1 - late) * (1 - server.error_share)
            if lost > 0.001:
                self.failed += lost / len(servers)
                self.cause = "dns timeout" if late >= server.error_share else "dns refused"
            self.mixture.extend((weight / len(servers), seconds) for weight, seconds in server.mixture)
        if self.failed > 0.02:
            self._failing_since = self._failing_since or now
        else:
            self._failing_since = 0.0
        return asked

    def _servers(self) -> list[ServerProcess]:
        return [
            process
            for backend in self._wiring.resolve(NAMESPACE, SERVICE, PORT, "UDP").backends
            for process in self._processes(backend.pod["metadata"]["uid"])
            if isinstance(process, ServerProcess) and process.listening() and backend.port in process.ports
        ]

    @property
    def slow(self) -> bool:
        return latency.mean(self.mixture) > 0.02

    def burden(self, edge: Edge, outcome: Outcome) -> None:
        """Make calls pay for the lookups they need. Who keeps a connection notices an outage late."""
        fresh = _FRESH_SHARE_POOLED if edge.address.protocol not in ("http", "") else _FRESH_SHARE
        if self._failing_since:
            aged = 1 - math.exp(-(self._now - self._failing_since) / _CONNECTION_LIFE_SECONDS)
            fresh += (1 - fresh) * aged
        if self.failed > 0.001:
            outcome.fail(self.cause, fresh * self.failed)
            if self.cause == "dns timeout":
                waited = min(DNS_PATIENCE_SECONDS, edge.spec.timeout_seconds)
                share = fresh * self.failed
                outcome.mixture = latency.compact(
                    [*((w * (1 - share), s) for w, s in outcome.mixture), (share, waited)]
                )
        if self.slow:
            patience = edge.spec.timeout_seconds
            late = 1 - latency.share_below(self.mixture, patience, _SPREAD)
            outcome.fail("dns timeout", fresh * late)
            asked = latency.add(outcome.mixture, [(w, min(s, patience)) for w, s in self.mixture])
            outcome.mixture = latency.compact(
                [*((w * (1 - fresh), s) for w, s in outcome.mixture), *((w * fresh, s) for w, s in asked)]
            )
