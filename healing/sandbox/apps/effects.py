"""What is being done to a running process from outside, summed over the active behaviours."""

from __future__ import annotations

from dataclasses import dataclass, field

from healing.sandbox.apps.program import Crash


@dataclass(slots=True)
class Effects:
    """Times in seconds, sizes in bytes, rates a second, shares from 0 to 1."""

    leak_bytes_per_second: float = 0.0
    leak_bytes_per_request: float = 0.0
    cpu_cores: float = 0.0
    latency_seconds: float = 0.0
    error_rate: float = 0.0
    crash: Crash | None = None
    #: names of the dependencies (variables) that do not answer
    lost: frozenset[str] = field(default_factory=frozenset)
    #: its sockets accept, nothing is ever answered
    hang: bool = False
    #: on the pod's network interface
    network_delay_seconds: float = 0.0
    packet_loss: float = 0.0
    #: a database takes no writes
    read_only: bool = False
    #: connections nobody gives back: of a client's own pools, of a database's limit
    leaked_connections: int = 0
    #: it serves a certificate whose time has passed
    certificate_expired: bool = False
    disk_bytes_per_second: float = 0.0
    #: lines of log beside its own, a second, by level
    chatter: tuple[tuple[str, float], ...] = ()

    def add(self, more: Effects) -> None:
        self.leak_bytes_per_second += more.leak_bytes_per_second
        self.leak_bytes_per_request += more.leak_bytes_per_request
        self.cpu_cores += more.cpu_cores
        self.latency_seconds += more.latency_seconds
        self.error_rate = min(1.0, self.error_rate + more.error_rate)
        self.crash = self.crash or more.crash
        self.lost |= more.lost
        self.hang = self.hang or more.hang
        self.network_delay_seconds += more.network_delay_seconds
        self.packet_loss = 1 - (1 - self.packet_loss) * (1 - more.packet_loss)
        self.read_only = self.read_only or more.read_only
        self.leaked_connections += more.leaked_connections
        self.certificate_expired = self.certificate_expired or more.certificate_expired
        self.disk_bytes_per_second += more.disk_bytes_per_second
        self.chatter += more.chatter
