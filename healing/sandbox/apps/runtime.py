"""The programs of the world: implements `healing.sandbox.ports.Runtime` and advances them once a second."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from healing.sandbox.apps import talk
from healing.sandbox.apps.images import Catalogue
from healing.sandbox.apps.model import Traffic, TrafficSource
from healing.sandbox.apps.process import BaseProcess, has_binary
from healing.sandbox.apps.program import Crash, Effects, Program
from healing.sandbox.apps.script import ScriptProcess
from healing.sandbox.apps.server import ServerProcess
from healing.sandbox.apps.shell_commands import COMMANDS
from healing.sandbox.apps.wiring import Wiring
from healing.sandbox.ports import Cluster, ContainerStart, Exit, LogLine, ProbeResult, PullResult

logger = logging.getLogger(__name__)
TICK_SECONDS = 1.0
_SHELLS = ("sh", "bash", "ash", "dash")
_RUNC = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    "unable to start container process: "
)
_DEFAULT_NODE_CORES = 4.0
_KEEP_ENDED_SECONDS = 60.0


@dataclass(slots=True)
class Behaviour:
    """Something that is done to running programs from outside, until it is removed or its targets are gone.

    ``scope`` says to whom: the processes that ran at the time (a restart ends it), the pods of that time (a new
    pod is free of it), one revision of a workload (a rollback ends it), or the workload whatever it runs.
    """

    name: str
    namespace: str
    scope: Literal["process", "pod", "revision", "workload"]
    effects: Effects
    processes: frozenset[int] = frozenset()
    pod_uids: frozenset[str] = frozenset()
    #: label sets; a process matches one it carries wholly
    labels: tuple[tuple[tuple[str, str], ...], ...] = ()
    container: str = ""

    def applies_to(self, process: BaseProcess) -> bool:
        start = process.start
        if start.namespace != self.namespace or (self.container and start.container != self.container):
            return False
        if self.scope == "process":
            return id(process) in self.processes
        if self.scope == "pod":
            return start.pod_uid in self.pod_uids
        return any(all(start.labels.get(k) == v for k, v in wanted) for wanted in self.labels)


class FailedStart(BaseProcess):
    """A container whose command could not be run."""

    def __init__(self, start: ContainerStart, program: Program, now: float, error: str) -> None:
        super().__init__(start, program, now, sink=lambda _p, _l: None, connect=lambda _s, _h, _p: (False, ""))
        self.finish(now, Exit(128 if "stat " in error or "exec" in error else 1, "StartError", start_error=error))


class ReplacedProcess(ScriptProcess):
    """A script that ends by starting the image's program: one container, first script, then server."""

    server: ServerProcess | None = None
    make_server: Callable[[float], ServerProcess]

    def advance(self, now: float) -> None:
        if self.server is None:
            super().advance(now)
            if self.becomes is not None:
                self.server = self.make_server(now)
        if self.server is not None:
            self.exit = self.server.poll(now)
            self.memory_bytes, self.cpu_cores = self.server.memory_bytes, self.server.cpu_cores

    def http_get(self, port: int, path: str, scheme: str, timeout_seconds: float = 1.0) -> ProbeResult:
        if self.server is not None:
            return self.server.http_get(port, path, scheme, timeout_seconds)
        return super().http_get(port, path, scheme)

    def tcp_connect(self, port: int) -> ProbeResult:
        return self.server.tcp_connect(port) if self.server is not None else super().tcp_connect(port)

    def terminate(self, now: float) -> None:
        if self.server is not None:
            self.server.terminate(now)

    def kill(self, now: float, reason: str = "Error") -> Exit:
        if self.server is not None:
            self.server.kill(now, reason)
        return super().kill(now, reason)


@dataclass(slots=True)
class AppRuntime:
    """Give it the cluster with `attach` before the first tick; until then programs run but nobody calls them."""

    catalogue: Catalogue = field(default_factory=Catalogue.bundled)
    seed: int = 1
    clock: Callable[[], float] = time.time
    behaviours: list[Behaviour] = field(default_factory=list)
    #: called after each tick with its time (the scraper of `signals/` listens here)
    on_tick: list[Callable[[float], None]] = field(default_factory=list)
    #: called with every line a program prints
    on_log: list[Callable[[BaseProcess, LogLine], None]] = field(default_factory=list)
    traffic: Traffic | None = None
    processes: dict[tuple[str, str], BaseProcess] = field(default_factory=dict)
    oom_kills: dict[tuple[str, str], int] = field(default_factory=dict)
    #: is a node on the network; the world replaces it
    reachable: Callable[[str], bool] = lambda _node: True
    _servers: dict[int, ServerProcess] = field(default_factory=dict)
    _by_pod: dict[str, list[BaseProcess]] = field(default_factory=dict)
    _cluster: Cluster | None = None
    _wiring: Wiring | None = None
    _ticked_at: float = 0.0
    _rng: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)

    def reseed(self, seed: int) -> None:
        """Start the random numbers of traffic and logs over."""
        self.seed = seed
        self._rng.seed(seed)

    # ports.Runtime

    def pull(self, image: str, *, authorized: bool = False) -> PullResult:
        """``authorized``: the pod's pull secrets hold credentials for the registry."""
        return self.catalogue.pull(image, authorized=authorized)

    def start(self, start: ContainerStart, now: float) -> BaseProcess:
        program = self.catalogue.find(start.image) or self.catalogue.programs["generic"]
        process = self._create(start, program, now)
        old = self.processes.get((start.pod_uid, start.container))
        if old is not None:
            self._forget(old)
        self.processes[process.key] = process
        self._by_pod.setdefault(start.pod_uid, []).append(process)
        self._apply_behaviours(process)
        return process

    def _create(self, start: ContainerStart, program: Program, now: float) -> BaseProcess:
        argv = [*start.command, *start.args] if start.command else []
        if not argv and program.kind == "shell":
            argv = list(start.args) or list(program.entrypoint)
        if not argv:
            return self._server(start, program, now)
        name = argv[0]
        base = name.rsplit("/", 1)[-1]
        if program.kind != "shell" and has_binary(program, name):
            return self._server(start, program, now)
        is_tool = base in COMMANDS or base in _SHELLS or base in ("sleep", "yes", "stress", "stress-ng", "exec")
        in_path = "/" not in name or name.startswith(("/bin/", "/usr/bin/", "/usr/local/bin/", "/sbin/"))
        if program.shell and is_tool and in_path:
            process = ReplacedProcess(start, program, now, argv, sink=self._log, connect=self.connect)
            process.make_server = lambda at: self._server(start, program, at)
            return process
        if "/" in name:
            return FailedStart(
                start, program, now, f'{_RUNC}exec: "{name}": stat {name}: no such file or directory: unknown'
            )
        return FailedStart(start, program, now, f'{_RUNC}exec: "{name}": executable file not found in $PATH: unknown')

    def _server(self, start: ContainerStart, program: Program, now: float) -> ServerProcess:
        rng = random.Random(f"{self.seed}/{start.pod_uid}/{start.container}/{start.restart_count}")
        server = ServerProcess(start, program, now, sink=self._log, connect=self.connect, rng=rng)
        server.effects = self._effects_for(server)
        self._servers[id(server)] = server
        return server

    def _log(self, process: BaseProcess, line: LogLine) -> None:
        for sink in self.on_log:
            sink(process, line)

    def _count_end(self, process: BaseProcess) -> None:
        if process.exit is not None and not process.counted:
            process.counted = True
            if process.exit.reason == "OOMKilled":
                self.oom_kills[process.key] = self.oom_kills.get(process.key, 0) + 1

    def _forget(self, process: BaseProcess) -> None:
        self._count_end(process)
        siblings = self._by_pod.get(process.start.pod_uid, [])
        if process in siblings:
            siblings.remove(process)
            if not siblings:
                del self._by_pod[process.start.pod_uid]
        self._servers.pop(id(process), None)
        if isinstance(process, ReplacedProcess) and process.server is not None:
            self._servers.pop(id(process.server), None)
        if self.processes.get(process.key) is process:
            del self.processes[process.key]

    # the network

    def attach(self, cluster: Cluster, sources: Sequence[TrafficSource] = ()) -> None:
        """Connect the programs to the cluster's Services and NetworkPolicies."""
        self._cluster = cluster
        self._wiring = Wiring(cluster, self.in_pod, self._is_reachable)
        self.traffic = Traffic(self._wiring, self.servers, self._node_cores, self._rng)
        self.traffic.sources.extend(sources)

    def _is_reachable(self, node: str) -> bool:
        return self.reachable(node)  # looked up each time: the world may replace it

    def in_pod(self, pod_uid: str) -> Iterable[BaseProcess]:
        return [
            p.server if isinstance(p, ReplacedProcess) and p.server is not None else p
            for p in self._by_pod.get(pod_uid, [])
        ]

    def servers(self) -> list[ServerProcess]:
        return [server for server in self._servers.values() if server.running]

    def _node_cores(self, node: str) -> float:
        found = self._cluster.get("nodes", None, node) if self._cluster is not None else None
        if found is None:
            return _DEFAULT_NODE_CORES
        text = str(found.get("status", {}).get("allocatable", {}).get("cpu", _DEFAULT_NODE_CORES))
        return float(text[:-1]) / 1000 if text.endswith("m") else float(text)

    def connect(self, start: ContainerStart, host: str, port: int | None) -> tuple[bool, str]:
        """What a program inside this container sees when it connects; ``port=None`` only looks the name up."""
        if host in ("localhost", "127.0.0.1", start.pod_ip):
            here = any(port is None or p.tcp_connect(port).ok for p in self.in_pod(start.pod_uid))
            return (True, "") if here else (False, f"can't connect to {host}:{port}: Connection refused")
        if self._wiring is None:
            return False, f"bad address '{host}'"
        source = self.processes.get((start.pod_uid, start.container)) or FailedStart(
            start, self.catalogue.programs["generic"], 0.0, ""
        )
        verdicts = {way.verdict for way in self._wiring.ways(source, start.namespace, host, port or 0)}
        if "no such host" in verdicts:
            return False, f"bad address '{host}'"
        if port is None or verdicts & {"ok", "external"}:
            return True, ""
        words = "Connection timed out" if "timeout" in verdicts else "Connection refused"
        return False, f"can't connect to remote host ({host}:{port}): {words}"

    # behaviours

    def add_behaviour(self, behaviour: Behaviour) -> None:
        self.behaviours.append(behaviour)
        self._reapply()

    def remove_behaviour(self, name: str) -> bool:
        kept = [behaviour for behaviour in self.behaviours if behaviour.name != name]
        removed = len(kept) != len(self.behaviours)
        self.behaviours = kept
        self._reapply()
        return removed

    def _reapply(self) -> None:
        for process in [*self.processes.values(), *self._servers.values()]:
            self._apply_behaviours(process)

    def _apply_behaviours(self, process: BaseProcess) -> None:
        process.effects = self._effects_for(process)

    def _effects_for(self, process: BaseProcess) -> Effects:
        total = Effects()
        for behaviour in self.behaviours:
            if behaviour.applies_to(process):
                add_effects(total, behaviour.effects)
        return total

    # time

    def tick(self, now: float) -> None:
        """Advance every program to ``now``. Exits are picked up by the kubelets' next poll."""
        seconds = min(max(now - self._ticked_at, 0.0), 5.0) if self._ticked_at else TICK_SECONDS
        if self._ticked_at and seconds <= 0:
            return
        self._ticked_at = now
        if self.traffic is not None:
            self.traffic.tick(now, seconds)
        for process in list(self.processes.values()):
            process.poll(now)
            self._count_end(process)
            if process.exit is not None and now - process.ended_at > _KEEP_ENDED_SECONDS:
                self._forget(process)
        if self.traffic is not None:
            for group in self.traffic.classes:
                talk.speak(group, now, seconds, self._rng)
        for listener in self.on_tick:
            listener(now)

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            started = self.clock()
            try:
                self.tick(started)
            except Exception:
                logger.exception("a tick of the programs failed; going on with the next one")
            await asyncio.sleep(max(0.05, TICK_SECONDS - (self.clock() - started)))


def add_effects(total: Effects, more: Effects) -> None:
    total.leak_bytes_per_second += more.leak_bytes_per_second
    total.leak_bytes_per_request += more.leak_bytes_per_request
    total.cpu_cores += more.cpu_cores
    total.latency_seconds += more.latency_seconds
    total.error_rate = min(1.0, total.error_rate + more.error_rate)
    total.lost |= more.lost
    crash: Crash | None = more.crash
    total.crash = total.crash or crash
