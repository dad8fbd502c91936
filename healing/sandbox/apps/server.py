"""Programs that serve: start-up, configuration, CPU, memory, queue, latency, request counters."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import lru_cache

from healing.sandbox.apps import account, config, latency, logs
from healing.sandbox.apps.address import calls_of
from healing.sandbox.apps.conditions import Link
from healing.sandbox.apps.latency import Mixture
from healing.sandbox.apps.process import BaseProcess, Connect, LogSink
from healing.sandbox.apps.program import Crash, Program
from healing.sandbox.ports import ContainerStart, Exit, Object, ProbeResult

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_QUEUE_SECONDS_CAP = 30.0
_LISTEN_BACKLOG = 128
_QUOTA_PERIOD_SECONDS = 0.1
_HEAP_NEARLY_FULL = 0.92
_PAUSE_EVERY_SECONDS = 45.0


@dataclass(slots=True)
class Requests:
    """Counters of served requests, by status code, and the latency histogram (cumulative, in `BUCKETS`)."""

    by_code: dict[str, float] = field(default_factory=dict)
    buckets: list[float] = field(default_factory=lambda: [0.0] * len(BUCKETS))
    count: float = 0.0
    seconds: float = 0.0


class ServerProcess(BaseProcess):
    """One running server. The traffic model calls `absorb`, then `settle`, once a tick."""

    def __init__(
        self,
        start: ContainerStart,
        program: Program,
        now: float,
        *,
        sink: LogSink,
        connect: Connect,
        rng: random.Random,
    ) -> None:
        super().__init__(start, program, now, sink=sink, connect=connect)
        self.rng = rng
        self.requests = Requests()
        #: environment variable of a dependency -> failed calls by cause, and calls
        self.dependency_errors: dict[tuple[str, str], float] = {}
        self.started_share = 0.0  # of the work of starting up
        self.leaked_bytes = 0.0
        self.backlog = 0.0
        self.rate = 0.0
        self.served_rate = 0.0
        self.rejected = 0.0  # share of requests turned away for lack of room
        self.error_share = 0.0  # share of 5xx among all requests, own and dependencies'
        self.code_shares: dict[str, float] = {}
        self.own_seconds = program.latency_seconds
        #: what even a health check has to wait for: CPU and the queue
        self.probe_seconds = 0.0
        self.mixture: Mixture = [(1.0, program.latency_seconds)]
        self.unready = ""  # why the readiness paths answer 503
        #: seconds its machine's clock is ahead
        self.clock_skew = 0.0
        self.account = account.of(program, start)
        self.calls = calls_of(program, start, self.files)
        #: connections its clients ask for in this tick, hold, and do not get (share of attempts)
        self.connections_wanted = 0.0
        self.connections = 0.0
        self.connections_refused = 0.0
        #: what it refuses its clients: cause -> share of the last tick's calls
        self.refusals: dict[str, float] = {}
        self._checked = False
        self._announced = False
        ports = list(program.ports) or [int(p["containerPort"]) for p in start.ports if "containerPort" in p]
        if program.protocol not in ("http", "any") and self.account.settings.get("port", "").isdigit():
            ports = [int(self.account.settings["port"])]
        if program.port_env and start.env.get(program.port_env, "").isdigit():
            ports = [int(start.env[program.port_env])]
        self.ports = frozenset(ports or ([] if program.kind == "worker" else [8080]))

        self.tls_ports = frozenset(program.tls_ports) | _secured(start.ports)

    @property
    def read_only(self) -> bool:
        return self.effects.read_only or self.account.read_only

    def knows(self, path: str) -> bool:
        """Whether anything below this path exists (as a base address of calls)."""
        return not self.program.strict_paths or self._status_of(path.rstrip("/") or "/") != 404

    def refuse(self, cause: str, share: float) -> None:
        """Note that it turned a share of its callers away, for its own log."""
        self.refusals[cause] = min(1.0, self.refusals.get(cause, 0.0) + share)

    # life

    def advance(self, now: float) -> None:
        seconds, self.advanced_at = max(0.0, now - self.advanced_at), now
        age = now - self.started_at
        if not self._checked and age >= min(0.3, self.program.startup_seconds):
            self._checked = True
            if self.program.protocol == "dns" and (found := config.corefile_problem(self.files)):
                self._fail(now, Crash(message=found, exception="none"), "config")
                return
            if found := config.problem(self.program, self.start.env, self.files):
                self._fail(now, Crash(message=f"configuration error: {found}"), "config")
                return
        for crash in (self.program.crash, self.effects.crash):
            if crash is not None and age >= crash.after_seconds:
                self._fail(now, crash, "crash")
                return
        self._start_up(now, seconds)
        self.leaked_bytes += seconds * (self.program.leak_bytes_per_second + self.effects.leak_bytes_per_second)
        self.write_disk(
            seconds
            * (
                self.program.disk_bytes_per_second
                + self.effects.disk_bytes_per_second
                + self.program.disk_bytes_per_request * self.served_rate
            )
        )
        if self.disk.volume is not None and self.disk_full and self.program.protocol == "postgres":
            message = 'could not write to file "pg_wal/xlogtemp.29": No space left on device'
            self._fail(now, Crash(message=f"PANIC:  {message}", exception="none"), "crash")
            return
        self._size_memory()
        self.check_memory(now)

    def _start_up(self, now: float, seconds: float) -> None:
        if self.started_share >= 1.0:
            return
        limit = self.start.cpu_limit_cores
        wanted = self.program.startup_cpu_cores
        speed = 1.0 if limit is None or wanted <= 0 else min(1.0, limit / wanted)
        whole = self.program.startup_seconds
        self.started_share = 1.0 if whole <= 0 else min(1.0, self.started_share + seconds * speed / whole)
        if self.started_share >= 1.0 and not self._announced and self.exit is None:
            self._announced = True
            port = next(iter(sorted(self.ports)), None)
            message = f"{self.program.name} started" + (f", listening on port {port}" if port else "")
            self.log(now, *logs.line(self.program, now, "info", message))

    def _fail(self, now: float, crash: Crash, cause: str) -> None:
        for stream, text in logs.failure(self.program, now, cause, crash.message, crash.exception):
            self.log(now, stream, text)
        self.finish(now, Exit(crash.exit_code, "Completed" if crash.exit_code == 0 else "Error"))

    def _size_memory(self) -> None:
        program = self.program
        in_flight = min(self.served_rate * latency.mean(self.mixture) + self.backlog, program.max_concurrency * 1.5)
        warm = 0.3 + 0.7 * self.started_share
        used = program.base_memory_bytes * warm + in_flight * program.memory_bytes_per_request + self.leaked_bytes
        self.memory_bytes = int(used)

    def listening(self) -> bool:
        return self.exit is None and self.started_share >= 1.0

    # probes

    def tcp_connect(self, port: int, timeout_seconds: float = 1.0) -> ProbeResult:
        if not self.listening() or port not in self.ports:
            return super().tcp_connect(port)
        # its kernel accepts, whatever the program does; only the network can be in the way
        if self._network_seconds() > timeout_seconds:
            return ProbeResult(False, f"dial tcp {self.start.pod_ip}:{port}: i/o timeout")
        return ProbeResult(True)

    def _network_seconds(self) -> float:
        effects = self.effects
        if not effects.network_delay_seconds and not effects.packet_loss:
            return 0.0
        return Link(effects.network_delay_seconds, effects.packet_loss).sample(self.rng)

    def http_get(self, port: int, path: str, scheme: str, timeout_seconds: float = 1.0) -> ProbeResult:
        if not self.listening() or port not in self.ports:
            return super().http_get(port, path, scheme)
        url = f"{scheme.lower()}://{self.start.pod_ip}:{port}{path}"
        if self.effects.hang or self.probe_seconds + self._network_seconds() > timeout_seconds:
            return ProbeResult(
                False, f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
            )
        if self.program.protocol not in ("http", "any", "dns"):
            return ProbeResult(False, f'Get "{url}": EOF')
        secured = port in self.tls_ports
        if scheme.lower() == "https" and not secured:
            return ProbeResult(False, f'Get "{url}": http: server gave HTTP response to HTTPS client')
        if secured and scheme.lower() == "http":
            return ProbeResult(False, "HTTP probe failed with statuscode: 400")
        status = self._status_of(path.partition("?")[0])
        return ProbeResult(status < 400, "" if status < 400 else f"HTTP probe failed with statuscode: {status}")

    def _status_of(self, path: str) -> int:
        program = self.program
        if _answers(program.ready_paths, path):
            return 503 if self.unready else 200
        known = (*program.health_paths, *program.paths)
        operations = tuple(operation.partition(" ")[2] for operation in program.operations)
        return 200 if _answers(known, path) or path in operations else 404

    # one tick of traffic

    def begin_tick(self) -> None:
        """Close the books of the last tick: who got a connection."""
        if self.refusals:
            self.refusals = {}
        limit = self.account.max_connections
        if not limit:
            self.connections_wanted = 0.0
            return
        leaked = min(self.effects.leaked_connections, limit)
        room = max(0.0, limit - account.RESERVED_CONNECTIONS - leaked)
        wanted = self.connections_wanted
        self.connections_refused = 1 - room / wanted if wanted > room else 0.0
        self.connections = min(wanted, room) + leaked
        self.connections_wanted = 0.0

    def absorb(self, rate: float, seconds: float, capacity_cores: float) -> float:
        """Take requests at ``rate`` with ``capacity_cores`` to work with; returns the rate worked on."""
        program = self.program
        self.rate = rate
        own_cores = program.base_cpu_cores if self.started_share >= 1.0 else program.startup_cpu_cores
        if not self.listening() or self.effects.hang:
            self.charge_cpu(own_cores + self.effects.cpu_cores, seconds, capacity_cores)
            self.served_rate = self.backlog = 0.0
            return 0.0
        waiting = self.backlog / seconds
        work = (rate + waiting) * program.cpu_seconds_per_request
        hog = self.effects.cpu_cores
        demand = own_cores + hog + work
        self.charge_cpu(demand, seconds, capacity_cores)
        # the kernel is fair between threads: beside a hog the requests still get a thread's share
        available = max(capacity_cores - own_cores - hog, capacity_cores / (1 + hog) if hog else 0.0, 1e-3)
        met = min(1.0, available / work) if work > 0 else 1.0
        served = (rate + waiting) * met
        room = program.max_concurrency / max(latency.mean(self.mixture), 1e-4)
        served = min(served, room)
        backlog = max(0.0, self.backlog + (rate - served) * seconds)
        most = float(_LISTEN_BACKLOG)
        self.rejected = min(1.0, (backlog - most) / seconds / rate) if backlog > most and rate > 0 else 0.0
        self.backlog = min(backlog, most)
        self.served_rate = served
        busy = min(work / available, 0.95)
        # at the quota every period ends with a pause for all threads
        stall = _QUOTA_PERIOD_SECONDS * max(0.0, 1 - capacity_cores / demand) if demand > 0 else 0.0
        cpu_part = program.cpu_seconds_per_request * (1 + hog) / max(met, 0.02) / (1 - 0.9 * busy) + stall
        queue = min(self.backlog / max(served, 0.05), _QUEUE_SECONDS_CAP) if self.backlog >= 1 else 0.0
        self.probe_seconds = cpu_part + queue
        self.probe_seconds += self._pause(seconds)
        self.own_seconds = program.latency_seconds + self.effects.latency_seconds + self.probe_seconds
        leak = program.leak_bytes_per_request + self.effects.leak_bytes_per_request
        self.leaked_bytes += leak * served * seconds
        self.counters.received_bytes += served * 600 * seconds
        self.counters.sent_bytes += served * 2400 * seconds
        return served

    def _pause(self, seconds: float) -> float:
        """A garbage collector stops the world: rarely and shortly, or all the time when the heap is nearly full."""
        if self.program.language not in ("java", "node"):
            return 0.0
        limit = self.start.memory_limit_bytes
        full = self.memory_bytes / limit if limit else 0.0
        if full > _HEAP_NEARLY_FULL:
            return 2.0 * (full - _HEAP_NEARLY_FULL) / (1 - _HEAP_NEARLY_FULL)
        often = seconds / (_PAUSE_EVERY_SECONDS if self.program.language == "java" else 4 * _PAUSE_EVERY_SECONDS)
        return self.rng.uniform(0.02, 0.15) if self.rng.random() < often else 0.0

    def settle(self, seconds: float, dependencies: Mixture, failed: dict[str, float], unready: str) -> None:
        """``dependencies`` adds latency; ``failed``: share of requests lost a status code (502, 504 ...)."""
        self.unready = unready
        own_seconds = self.own_seconds
        self.mixture = [(weight, own_seconds + rest) for weight, rest in dependencies] or [(1.0, own_seconds)]
        own = min(1.0, self.program.error_rate + self.effects.error_rate)
        shares: dict[str, float] = {}
        passed = 1.0
        for code, share in (("503", self.rejected), ("500", own), *failed.items()):
            if share > 0:
                shares[code] = shares.get(code, 0.0) + passed * share
                passed *= 1 - share
        self.error_share = 1.0 - passed
        shares["404"] = passed * self.program.client_error_rate
        shares["200"] = passed * (1 - self.program.client_error_rate)
        self.code_shares = shares
        if self.rate > 0 and self.listening() and not self.effects.hang:
            self._count(seconds)

    def _count(self, seconds: float) -> None:
        amount = self.rate * seconds
        requests = self.requests
        for code, share in self.code_shares.items():
            if share > 0:
                requests.by_code[code] = requests.by_code.get(code, 0.0) + amount * share
        requests.count += amount
        requests.seconds += amount * latency.mean(self.mixture)
        for index, share in enumerate(_bucket_shares(tuple(self.mixture), self.program.latency_spread)):
            requests.buckets[index] += amount * share


@lru_cache(maxsize=4096)
def _bucket_shares(mixture: tuple[tuple[float, float], ...], spread: float) -> tuple[float, ...]:
    """Alike processes have the same mixture, so most of this is computed once a tick for all of them."""
    return tuple(latency.share_below(list(mixture), bound, spread) for bound in BUCKETS)


def _answers(known: tuple[str, ...], path: str) -> bool:
    return any(path == one or (one.endswith("*") and path.startswith(one[:-1])) for one in known)


def _secured(ports: list[Object]) -> frozenset[int]:
    """The containerPorts that speak TLS: by their names, or where there is none by the usual numbers."""
    return frozenset(
        int(port["containerPort"])
        for port in ports
        if "containerPort" in port
        and (
            str(port.get("name", "")).startswith(("https", "tls", "ssl"))
            or (not port.get("name") and port["containerPort"] in (443, 8443))
        )
    )
