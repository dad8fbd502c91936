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
from healing.sandbox.apps.conditions import Conditions
from healing.sandbox.apps.effects import Effects
from healing.sandbox.apps.images import Catalogue
from healing.sandbox.apps.ingress import Routes
from healing.sandbox.apps.model import TrafficSource
from healing.sandbox.apps.names import Names
from healing.sandbox.apps.process import BaseProcess
from healing.sandbox.apps.program import Program
from healing.sandbox.apps.server import ServerProcess
from healing.sandbox.apps.starting import FailedStart, ReplacedProcess, command_of, launch
from healing.sandbox.apps.traffic import Traffic
from healing.sandbox.apps.volumes import Volumes
from healing.sandbox.apps.wiring import Wiring
from healing.sandbox.ports import Cluster, ContainerStart, LogLine, PullResult

logger = logging.getLogger(__name__)
TICK_SECONDS = 1.0
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
    #: network and clocks of the machines, hosts outside
    conditions: Conditions = field(default_factory=Conditions)
    volumes: Volumes = field(default_factory=Volumes)
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
        if self._cluster is not None:
            self.volumes.mount(self._cluster, process)
        self._by_pod.setdefault(start.pod_uid, []).append(process)
        self._apply_behaviours(process)
        return process

    def _create(self, start: ContainerStart, program: Program, now: float) -> BaseProcess:
        argv = command_of(start, program)
        if not argv:
            return self._server(start, program, now)
        return launch(start, program, now, argv, self._log, self.connect, self._server)

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
        self._wiring = Wiring(cluster, self.in_pod, self._is_reachable, self.conditions)
        names, routes = Names(cluster, self._wiring, self.in_pod), Routes(cluster, self._wiring)
        self.traffic = Traffic(self._wiring, self.servers, self._node_cores, self._rng, names, routes)
        self.traffic.sources.extend(sources)

    def _is_reachable(self, node: str) -> bool:
        return self.reachable(node)  # looked up each time: the world may replace it

    def in_pod(self, pod_uid: str) -> Iterable[BaseProcess]:
        return [
            p.server if isinstance(p, ReplacedProcess) and p.server is not None else p
            for p in self._by_pod.get(pod_uid, [])
        ]

    @property
    def wiring(self) -> Wiring | None:
        """The routes of the cluster it is attached to."""
        return self._wiring

    def proxy_changed(self, node: str, runs: bool) -> None:  # noqa: FBT001 -- a callback
        """A node's kube-proxy stopped, and endpoints that come later are not known there; or it started again."""
        if self._wiring is not None:
            (self._wiring.renew_rules if runs else self._wiring.freeze_rules)(node)

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
        if "dns timeout" in verdicts or (self.traffic is not None and self.traffic.names.failed > 0.5):
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
        self.conditions.touch()

    def _apply_behaviours(self, process: BaseProcess) -> None:
        process.effects = self._effects_for(process)

    def _effects_for(self, process: BaseProcess) -> Effects:
        total = Effects()
        for behaviour in self.behaviours:
            if behaviour.applies_to(process):
                total.add(behaviour.effects)
        return total

    # time

    def tick(self, now: float) -> None:
        """Advance every program to ``now``. Exits are picked up by the kubelets' next poll."""
        seconds = min(max(now - self._ticked_at, 0.0), 5.0) if self._ticked_at else TICK_SECONDS
        if self._ticked_at and seconds <= 0:
            return
        self._ticked_at = now
        if self._cluster is not None:
            self.volumes.refresh(self._cluster)
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
