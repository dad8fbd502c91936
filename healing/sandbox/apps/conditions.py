"""The state of the network and of the machines' clocks: what a connection between two ends has to go through."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, TypeVar

from healing.sandbox.apps.latency import Mixture, compact

#: TCP's first retransmission timeout (Linux: RTO_MIN); it doubles with each loss of the same segment
RETRANSMIT_SECONDS = 0.2
_MAX_RETRANSMISSIONS = 8
#: packets of a request and its answer whose loss is only noticed by a timeout
_PACKETS = 2
_T = TypeVar("_T")
ExternalMode = Literal["up", "down", "slow", "errors", "unknown"]


@dataclass(frozen=True, slots=True)
class Link:
    """One way between two ends: added round trip time and the share of packets that get lost."""

    delay_seconds: float = 0.0
    loss: float = 0.0

    def __bool__(self) -> bool:
        return self.delay_seconds > 0 or self.loss > 0

    def with_(self, other: Link) -> Link:
        return Link(self.delay_seconds + other.delay_seconds, 1 - (1 - self.loss) * (1 - other.loss))

    def exchange(self) -> Mixture:
        """What one request and its answer take longer: the delay, and 200 ms, 600 ms, 1.4 s ... after losses."""
        return list(_exchange(self.delay_seconds, self.loss))

    def sample(self, rng: random.Random) -> float:
        """The same for a single exchange."""
        if not self:
            return 0.0
        lost = 1 - (1 - self.loss) ** _PACKETS
        tries = 0
        while tries < _MAX_RETRANSMISSIONS and rng.random() < lost:
            tries += 1
        return self.delay_seconds + RETRANSMIT_SECONDS * float(2**tries - 1)


@lru_cache(maxsize=256)
def _exchange(delay: float, loss: float) -> tuple[tuple[float, float], ...]:
    lost = 1 - (1 - loss) ** _PACKETS
    parts = [
        ((1 - lost) * lost**tries, delay + RETRANSMIT_SECONDS * (2**tries - 1)) for tries in range(_MAX_RETRANSMISSIONS)
    ]
    parts.append((lost**_MAX_RETRANSMISSIONS, delay + RETRANSMIT_SECONDS * 2**_MAX_RETRANSMISSIONS))
    return tuple(compact(parts))


CLEAR = Link()


@dataclass(slots=True)
class Conditions:
    """Faults of machines and of the world outside, by the name of what they sit in.

    Change them by the methods: ``version`` tells the traffic model when to look again.
    """

    version: int = 0
    #: node -> injection -> what its network interface does
    _nodes: dict[str, dict[str, Link]] = field(default_factory=dict)
    #: node -> injection -> seconds its clock is ahead (negative: behind)
    _clocks: dict[str, dict[str, float]] = field(default_factory=dict)
    #: host -> (mode, seconds)
    _external: dict[str, tuple[ExternalMode, float]] = field(default_factory=dict)

    def set_node_link(self, node: str, name: str, link: Link | None) -> None:
        _put(self._nodes, node, name, link)
        self.version += 1

    def set_clock(self, node: str, name: str, seconds: float | None) -> None:
        _put(self._clocks, node, name, seconds)
        self.version += 1

    def set_external(self, host: str, mode: ExternalMode, seconds: float = 0.0) -> None:
        """``up`` takes a fault back."""
        if mode == "up":
            self._external.pop(host, None)
        else:
            self._external[host] = (mode, seconds)
        self.version += 1

    def touch(self) -> None:
        self.version += 1

    def node_link(self, node: str) -> Link:
        found = self._nodes.get(node)
        if not found:
            return CLEAR
        total = CLEAR
        for link in found.values():
            total = total.with_(link)
        return total

    def any_node(self) -> bool:
        """Whether some machine is not like the others."""
        return bool(self._nodes or self._clocks)

    def clock_skew(self, node: str) -> float:
        return sum(self._clocks[node].values()) if node in self._clocks else 0.0

    def external(self, host: str) -> tuple[ExternalMode, float]:
        """Also by a domain above the host: ``example.com`` stands for ``api.example.com``."""
        if self._external:
            name = host
            while name:
                if name in self._external:
                    return self._external[name]
                name = name.partition(".")[2]
        return "up", 0.0


def _put(table: dict[str, dict[str, _T]], node: str, name: str, value: _T | None) -> None:
    entries = table.setdefault(node, {})
    if value is None:
        entries.pop(name, None)
    else:
        entries[name] = value
    if not entries:
        table.pop(node, None)
