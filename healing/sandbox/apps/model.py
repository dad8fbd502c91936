"""The parts of the traffic model: who calls (users, programs), over which edges, and what calls come to."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from healing.sandbox.apps.address import Address
from healing.sandbox.apps.latency import Mixture
from healing.sandbox.apps.program import CallSpec
from healing.sandbox.apps.server import ServerProcess
from healing.sandbox.apps.wiring import Way

#: what a caller answers for a cause; 500 for any other
CODES = {
    "refused": "502", "no such host": "502", "timeout": "504", "upstream": "502", "sidecar": "503",
    "dns timeout": "502", "dns refused": "502", "circuit open": "503", "not found": "502", "tls": "502",
    "certificate": "502", "plain": "502", "protocol": "502", "token": "502",
}  # fmt: skip


@dataclass(slots=True)
class TrafficSource:
    """Users outside the cluster who call a Service, or a ``host`` and ``path`` that Ingresses and HTTPRoutes lead on.

    ``wave``: a sine of this share of the rate.
    """

    namespace: str
    service: str
    port: int
    requests_per_second: float
    wave: float = 0.0
    period_seconds: float = 120.0
    noise: float = 0.05
    timeout_seconds: float = 10.0
    host: str = ""
    path: str = "/"
    #: a spike multiplies the rate
    factor: float = 1.0
    success: float = 1.0
    mixture: Mixture = field(default_factory=list)
    #: what the controller answered so far, by (route, status); only with ``host``
    answers: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def target(self) -> tuple[str, str, int, str, str]:
        """What it calls."""
        return self.namespace, self.service, self.port, self.host, self.path

    def rate(self, now: float, rng: random.Random) -> float:
        wave = 1 + self.wave * math.sin(2 * math.pi * now / self.period_seconds)
        return max(0.0, self.requests_per_second * self.factor * wave * (1 + rng.gauss(0, self.noise)))


@dataclass(slots=True)
class Outcome:
    """What calls over one edge come to."""

    failed: float = 0.0
    mixture: Mixture = field(default_factory=list)
    #: cause -> share of calls
    causes: dict[str, float] = field(default_factory=dict)

    def fail(self, cause: str, share: float) -> None:
        """``share`` of the calls that were still good fail."""
        lost = (1 - self.failed) * share
        if lost > 0:
            self.failed += lost
            self.causes[cause] = self.causes.get(cause, 0.0) + lost


@dataclass(slots=True)
class Edge:
    spec: CallSpec
    address: Address
    ways: list[Way]
    outcome: Outcome = field(default_factory=Outcome)
    #: its address is a name, so new connections ask the cluster's DNS
    named: bool = True
    #: what the name leads to: a Service's cluster IP
    ip: str = ""
    #: tries a call takes, from the last tick; below 1 while a circuit breaker holds calls back
    attempts: float = 1.0
    open_until: float = 0.0
    failing_since: float = 0.0
    #: connections of all members, in use and wanted, and requests waiting for one (protocols with pools)
    connections: float = 0.0
    waiting: float = 0.0
    busy: float = 0.0


@dataclass(slots=True)
class CallerClass:
    """Processes that call the same things under the same conditions."""

    members: list[ServerProcess]
    edges: list[Edge]
    #: seconds their clocks are ahead
    clock_skew: float = 0.0
