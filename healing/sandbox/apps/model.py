"""Traffic: who calls whom, and what comes of it. Numbers a pod and second, never single requests.

A tick goes twice through the call graph: callers first, to spread the load; then callees first, so that
slowness and errors have reached the outermost caller within the same tick. Callers that are alike (same
namespace, labels and environment) share one calculation.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from healing.sandbox.apps import latency
from healing.sandbox.apps.latency import Mixture
from healing.sandbox.apps.program import CallSpec
from healing.sandbox.apps.server import ServerProcess
from healing.sandbox.apps.wiring import Address, Way, Wiring, parse_address

_REFUSED_SECONDS = 0.002
_DNS_SECONDS = 0.015
_EXTERNAL_SECONDS = 0.06
_IDLE_RATE = 0.2  # connection pools ping what they are connected to even when nobody asks
_WORKER_RATE = 2.0
#: what a caller answers for a cause
CODES = {"refused": "502", "no such host": "502", "auth": "500", "timeout": "504", "upstream": "502"}


@dataclass(slots=True)
class TrafficSource:
    """Users outside the cluster who call a Service. ``wave``: a sine of this share of the rate."""

    namespace: str
    service: str
    port: int
    requests_per_second: float
    wave: float = 0.0
    period_seconds: float = 120.0
    noise: float = 0.05
    timeout_seconds: float = 10.0
    success: float = 1.0
    mixture: Mixture = field(default_factory=list)

    def rate(self, now: float, rng: random.Random) -> float:
        wave = 1 + self.wave * math.sin(2 * math.pi * now / self.period_seconds)
        return max(0.0, self.requests_per_second * wave * (1 + rng.gauss(0, self.noise)))


@dataclass(slots=True)
class Outcome:
    """What calls over one edge come to."""

    failed: float = 0.0
    mixture: Mixture = field(default_factory=list)
    #: cause -> share of calls
    causes: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Edge:
    spec: CallSpec
    address: Address
    ways: list[Way]
    outcome: Outcome = field(default_factory=Outcome)


@dataclass(slots=True)
class CallerClass:
    """Processes that call the same things under the same conditions."""

    members: list[ServerProcess]
    edges: list[Edge]


def calls_of(process: ServerProcess) -> list[tuple[CallSpec, Address]]:
    """The dependencies a process has an address for."""
    program, env = process.program, process.start.env
    found = [(spec, address) for spec in program.calls if (address := parse_address(env.get(spec.env, "")))]
    if program.calls_from_env:
        for name, value in env.items():
            # kubelets add FOO_PORT=tcp://10.1.2.3:80 for every Service: not a call anyone makes
            if "://" in value and not value.startswith("tcp://") and (address := parse_address(value)):
                found.append((CallSpec(env=name), address))
    return found


def outcome_of(ways: Iterable[Way], spec: CallSpec, password: str | None = None) -> Outcome:
    """The sum over the ways a call can go."""
    result = Outcome()
    parts: list[tuple[float, float]] = []
    for way in ways:
        failed, cause, mixture = _one_way(way, spec, password)
        result.failed += way.share * failed
        if failed > 0:
            result.causes[cause] = result.causes.get(cause, 0.0) + way.share * failed
        parts.extend((way.share * weight, seconds) for weight, seconds in mixture)
    result.mixture = latency.compact(parts)
    return result


def _one_way(way: Way, spec: CallSpec, password: str | None) -> tuple[float, str, Mixture]:
    patience = spec.timeout_seconds
    if way.verdict == "external":
        return 0.0, "", [(1.0, _EXTERNAL_SECONDS)]
    if way.verdict == "timeout":
        return 1.0, "timeout", [(1.0, patience)]
    if way.verdict == "no such host":
        return 1.0, "no such host", [(1.0, _DNS_SECONDS)]
    process = way.process
    if way.verdict != "ok" or not isinstance(process, ServerProcess):
        return 1.0, "refused", [(1.0, _REFUSED_SECONDS)]
    wanted = process.start.env.get(process.program.password_env) if process.program.password_env else None
    if wanted is not None and password is not None and password != wanted:
        return 1.0, "auth", [(1.0, _REFUSED_SECONDS)]
    late = 1.0 - latency.share_below(process.mixture, patience, process.program.latency_spread)
    failed = 1.0 - (1.0 - process.error_share) * (1.0 - late)
    cause = "timeout" if late > process.error_share else "upstream"
    return failed, cause, [(weight, min(seconds, patience)) for weight, seconds in process.mixture]


def per_request(outcome: Outcome, calls: float) -> tuple[float, Mixture]:
    """Failure share and latency for ``calls`` such calls in a request (a fraction: only some requests call)."""
    if calls >= 1:
        return 1 - (1 - outcome.failed) ** calls, [(w, s * calls) for w, s in outcome.mixture]
    return calls * outcome.failed, latency.compact([(1 - calls, 1e-5), *((calls * w, s) for w, s in outcome.mixture)])


class Traffic:
    """The call graph of all serving processes, advanced by `tick`."""

    def __init__(
        self,
        wiring: Wiring,
        servers: Callable[[], list[ServerProcess]],
        node_cores: Callable[[str], float],
        rng: random.Random,
    ) -> None:
        self._wiring = wiring
        self._servers = servers
        self._node_cores = node_cores
        self._rng = rng
        self.sources: list[TrafficSource] = []
        self.classes: list[CallerClass] = []
        self._order: list[CallerClass] = []
        self._graph_of: object = None

    def tick(self, now: float, seconds: float) -> None:
        servers = self._servers()
        state = self._state(servers)
        if state != self._graph_of:
            self._graph_of = state
            self.classes = self._classify(servers)
            self._order = self._callees_first()
        order = self._order
        self._spread_load(now, seconds, order, servers)
        for group in order:
            self._settle(group, seconds)
        for source in self.sources:
            outcome = self.synthetic(source.namespace, source.service, source.port, source.timeout_seconds)
            source.success, source.mixture = 1 - outcome.failed, outcome.mixture

    def synthetic(self, namespace: str, service: str, port: int, timeout_seconds: float = 2.0) -> Outcome:
        """What a call from outside to a Service would come to now."""
        ways = self._wiring.ways(None, namespace, service, port)
        return outcome_of(ways, CallSpec(env="", timeout_seconds=timeout_seconds))

    # the graph

    def _state(self, servers: list[ServerProcess]) -> object:
        """All that the graph is made from; while it is equal the graph is too."""
        nodes = {process.start.node_name for process in servers}
        return (
            self._wiring.version,
            tuple((id(p), p.listening(), p.effects.lost) for p in servers),
            frozenset(node for node in nodes if self._wiring.reachable(node)),
        )

    def _classify(self, servers: list[ServerProcess]) -> list[CallerClass]:
        groups: dict[tuple[object, ...], CallerClass] = {}
        for process in servers:
            start = process.start
            calls = calls_of(process)
            labels = self._wiring.pod_labels(process)
            wanted = tuple((spec, address, start.env.get(spec.password_env)) for spec, address in calls)
            lost = process.effects.lost
            online = self._wiring.reachable(start.node_name)
            key = (start.namespace, labels, wanted, lost, start.pod_uid if not labels else "", online)
            group = groups.get(key)
            if group is None:
                group = groups[key] = CallerClass([], [])
                for spec, address in calls:
                    if spec.env in lost:
                        ways = [Way(1.0, "timeout")]
                    else:
                        ways = self._wiring.ways(process, start.namespace, address.host, address.port)
                    group.edges.append(Edge(spec, address, ways))
            group.members.append(process)
        return list(groups.values())

    def _callees_first(self) -> list[CallerClass]:
        owner = {id(member): group for group in self.classes for member in group.members}
        order: list[CallerClass] = []
        state: dict[int, int] = {}
        for root in self.classes:
            stack: list[tuple[CallerClass, bool]] = [(root, False)]
            while stack:
                group, done = stack.pop()
                if done:
                    order.append(group)
                elif id(group) not in state:
                    state[id(group)] = 1
                    stack.append((group, True))
                    for edge in group.edges:
                        for way in edge.ways:
                            callee = owner.get(id(way.process))
                            if callee is not None and id(callee) not in state:
                                stack.append((callee, False))
        return order

    # load, from callers to callees

    def _spread_load(self, now: float, seconds: float, order: list[CallerClass], servers: list[ServerProcess]) -> None:
        arriving: dict[int, float] = {}

        def send(ways: list[Way], rate: float) -> None:
            for way in ways:
                if way.verdict == "ok" and way.process is not None:
                    arriving[id(way.process)] = arriving.get(id(way.process), 0.0) + rate * way.share

        for source in self.sources:
            ways = self._wiring.ways(None, source.namespace, source.service, source.port)
            send(ways, source.rate(now, self._rng))
        capacity = self._capacities(servers)
        for group in reversed(order):
            served = 0.0
            for process in group.members:
                rate = arriving.get(id(process), 0.0)
                if process.program.kind == "worker":
                    rate += _WORKER_RATE
                served += process.absorb(rate, seconds, capacity[id(process)])
            idle = _IDLE_RATE * len(group.members)
            for edge in group.edges:
                send(edge.ways, served * edge.spec.per_request + idle)

    def _capacities(self, servers: list[ServerProcess]) -> dict[int, float]:
        """What each process may use: its limit, and on a crowded node its share by request."""
        by_node: dict[str, list[ServerProcess]] = {}
        for process in servers:
            by_node.setdefault(process.start.node_name, []).append(process)
        result: dict[int, float] = {}
        for node, members in by_node.items():
            cores = self._node_cores(node)
            wanted = {id(p): _demand(p) for p in members}
            crowded = sum(wanted.values()) > cores
            weights = sum(max(p.start.cpu_request_cores, 0.002) for p in members if wanted[id(p)] > 0.01) or 1.0
            for process in members:
                limit = process.start.cpu_limit_cores
                most = min(limit, cores) if limit is not None else cores
                if crowded:
                    fair = cores * max(process.start.cpu_request_cores, 0.002) / weights
                    most = min(most, max(fair, min(wanted[id(process)], 0.01)))
                result[id(process)] = most
        return result

    # results, from callees to callers

    def _settle(self, group: CallerClass, seconds: float) -> None:
        mixture: Mixture = []
        failed: dict[str, float] = {}
        unready = ""
        first = group.members[0]
        for edge in group.edges:
            spec = edge.spec
            password = first.start.env.get(spec.password_env) if spec.password_env else None
            edge.outcome = outcome_of(edge.ways, spec, password)
            share, seconds_taken = per_request(edge.outcome, spec.per_request)
            mixture = latency.add(mixture, seconds_taken) if mixture else seconds_taken
            if spec.required and share > 0:
                cause = max(edge.outcome.causes, key=edge.outcome.causes.__getitem__, default="upstream")
                code = CODES.get(cause, "502")
                failed[code] = 1 - (1 - failed.get(code, 0.0)) * (1 - share)
            if spec.readiness and edge.outcome.failed > 0.99:
                unready = f"{edge.address.host} does not answer"
        for process in group.members:
            process.settle(seconds, mixture, failed, unready)
            for edge in group.edges:
                calls = (process.served_rate * edge.spec.per_request + _IDLE_RATE) * seconds
                for cause, share in edge.outcome.causes.items():
                    key = (edge.spec.env, cause)
                    process.dependency_errors[key] = process.dependency_errors.get(key, 0.0) + calls * share


def _demand(process: ServerProcess) -> float:
    """A guess from the last tick, enough to see a crowded node coming."""
    limit = process.start.cpu_limit_cores
    own = process.program.base_cpu_cores + process.effects.cpu_cores
    wanted = own + process.rate * process.program.cpu_seconds_per_request
    return min(wanted, limit) if limit is not None else wanted
