"""Traffic: who calls whom, and what comes of it. Numbers a pod and second, never single requests.

A tick goes twice through the call graph: callers first, to spread the load; then callees first, so that
slowness and errors have reached the outermost caller within the same tick. Callers that are alike (same
namespace, labels, environment and network) share one calculation.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from healing.sandbox.apps import latency, pools
from healing.sandbox.apps.address import Address
from healing.sandbox.apps.calls import outcome_of, per_request
from healing.sandbox.apps.capacity import capacities
from healing.sandbox.apps.ingress import Routes
from healing.sandbox.apps.latency import Mixture
from healing.sandbox.apps.model import CODES, CallerClass, Edge, Outcome, TrafficSource
from healing.sandbox.apps.names import Names
from healing.sandbox.apps.program import CallSpec
from healing.sandbox.apps.server import ServerProcess
from healing.sandbox.apps.wiring import Way, Wiring, is_address

_IDLE_RATE = 0.2  # connection pools ping what they are connected to even when nobody asks
_WORKER_RATE = 2.0
#: a circuit breaker opens after so long with most calls failing, for so long, and lets so many calls through
_BREAKER_SHARE, _BREAKER_AFTER_SECONDS, _BREAKER_OPEN_SECONDS, _BREAKER_TRIALS = 0.5, 5.0, 15.0, 0.02


class Traffic:
    """The call graph of all serving processes, advanced by `tick`."""

    def __init__(
        self,
        wiring: Wiring,
        servers: Callable[[], list[ServerProcess]],
        node_cores: Callable[[str], float],
        rng: random.Random,
        names: Names,
        routes: Routes,
    ) -> None:
        self._wiring = wiring
        self._servers = servers
        self._node_cores = node_cores
        self._rng = rng
        self.names = names
        self.routes = routes
        self.sources: list[TrafficSource] = []
        self.classes: list[CallerClass] = []
        self._order: list[CallerClass] = []
        self._graph_of: object = None
        self._calls_per_second = 0.0
        self._now = 0.0

    def tick(self, now: float, seconds: float) -> None:
        self._now = now
        servers = self._servers()
        state = self._state(servers)
        if state != self._graph_of:
            self._graph_of = state
            self.classes = self._classify(servers)
            self._order = self._callees_first()
        for server in servers:
            server.begin_tick()
        order = self._order
        self._spread_load(now, seconds, order, servers)
        for group in order:
            self._settle(group, seconds)
        for source in self.sources:
            outcome = self._asked(source, seconds)
            source.success, source.mixture = 1 - outcome.failed, outcome.mixture

    def synthetic(self, namespace: str, service: str, port: int, timeout_seconds: float = 2.0) -> Outcome:
        """What a call from outside to a Service would come to now."""
        ways = self._wiring.ways(None, namespace, service, port)
        return outcome_of(ways, CallSpec(timeout_seconds=timeout_seconds))

    def synthetic_route(self, host: str, path: str, timeout_seconds: float = 2.0) -> Outcome:
        """What a request from outside to a host and path would come to now."""
        return self.routes.outcome(host, path, timeout_seconds)[1]

    def _asked(self, source: TrafficSource, seconds: float) -> Outcome:
        if not source.host:
            return self.synthetic(source.namespace, source.service, source.port, source.timeout_seconds)
        route, outcome = self.routes.outcome(source.host, source.path, source.timeout_seconds)
        self.routes.count(source, route, outcome, source.requests_per_second * source.factor * seconds)
        return outcome

    # the graph

    def _state(self, servers: list[ServerProcess]) -> object:
        """All that the graph is made from; while it is equal the graph is too."""
        nodes = {process.start.node_name for process in servers}
        return (
            self._wiring.version,
            self._wiring.conditions.version,
            tuple((id(p), p.listening()) for p in servers),
            frozenset(node for node in nodes if self._wiring.reachable(node)),
        )

    def _classify(self, servers: list[ServerProcess]) -> list[CallerClass]:
        groups: dict[tuple[object, ...], CallerClass] = {}
        wiring = self._wiring
        for process in servers:
            start = process.start
            calls = process.calls
            process.clock_skew = wiring.conditions.clock_skew(start.node_name)
            key = self._likeness(process, calls)
            group = groups.get(key)
            if group is None:
                group = groups[key] = CallerClass([], [], process.clock_skew)
                for spec, address in calls:
                    if spec.name in process.effects.lost:
                        ways = [Way(1.0, "timeout")]
                    else:
                        ways = wiring.ways(process, start.namespace, address.host, address.port)
                    ip = wiring.resolve(start.namespace, address.host, address.port).address
                    group.edges.append(Edge(spec, address, ways, named=not is_address(address.host), ip=ip))
            group.members.append(process)
        self._carry_over(groups.values())
        return list(groups.values())

    def _likeness(self, process: ServerProcess, calls: list[tuple[CallSpec, Address]]) -> tuple[object, ...]:
        """Processes for which this is equal have the same calls and the same ways."""
        start, effects, wiring = process.start, process.effects, self._wiring
        labels = wiring.pod_labels(process)
        conditions = wiring.conditions
        special: object = None
        if (
            not labels
            or effects.network_delay_seconds
            or effects.packet_loss
            or wiring.has_stale_rules(start.node_name)
            or wiring.has_sidecar(start.pod_uid)
            or any(wiring.sticky(start.namespace, address.host, address.port) for _, address in calls)
        ):
            special = start.pod_uid
        elif conditions.any_node():
            special = start.node_name
        online = wiring.reachable(start.node_name)
        return (start.namespace, labels, tuple(calls), effects.lost, special, online, process.program.name)

    def _carry_over(self, fresh: Iterable[CallerClass]) -> None:
        """What circuit breakers know outlives a change of the graph."""
        known = {
            (id(group.members[0]), edge.spec.name): edge
            for group in self.classes
            for edge in group.edges
            if edge.spec.breaker and group.members
        }
        if not known:
            return
        for group in fresh:
            for edge in group.edges:
                old = known.get((id(group.members[0]), edge.spec.name))
                if old is not None:
                    edge.open_until, edge.failing_since = old.open_until, old.failing_since

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
        arriving = self.names.look(now, len(servers), self._calls_per_second)
        calls = 0.0

        def send(ways: list[Way], rate: float) -> None:
            for way in ways:
                if way.verdict == "ok" and way.process is not None:
                    arriving[id(way.process)] = arriving.get(id(way.process), 0.0) + rate * way.share

        for source in self.sources:
            if source.host:
                ways = self.routes.ways(source.host, source.path)
            else:
                ways = self._wiring.ways(None, source.namespace, source.service, source.port)
            send(ways, source.rate(now, self._rng))
        capacity = capacities(servers, self._node_cores)
        for group in reversed(order):
            served = 0.0
            for process in group.members:
                rate = arriving.get(id(process), 0.0)
                if process.program.kind == "worker":
                    rate += _WORKER_RATE
                served += process.absorb(rate, seconds, capacity[id(process)])
            idle = _IDLE_RATE * len(group.members)
            for edge in group.edges:
                wanted = served * edge.spec.per_request * edge.attempts
                calls += wanted
                send(edge.ways, wanted + idle)
        self._calls_per_second = calls

    # results, from callees to callers

    def _settle(self, group: CallerClass, seconds: float) -> None:
        mixture: Mixture = []
        failed: dict[str, float] = {}
        unready = ""
        for edge in group.edges:
            spec = edge.spec
            edge.outcome = self._call(group, edge)
            share, seconds_taken = per_request(edge.outcome, spec.per_request)
            mixture = latency.add(mixture, seconds_taken) if mixture else seconds_taken
            if spec.required and share > 0:
                cause = max(edge.outcome.causes, key=edge.outcome.causes.__getitem__, default="upstream")
                code = CODES.get(cause, "500")
                failed[code] = 1 - (1 - failed.get(code, 0.0)) * (1 - share)
            if spec.readiness and edge.outcome.failed > 0.99:
                unready = f"{edge.address.host} does not answer"
        for process in group.members:
            process.settle(seconds, mixture, failed, unready)
            for edge in group.edges:
                calls = (process.served_rate * edge.spec.per_request + _IDLE_RATE) * seconds
                for cause, share in edge.outcome.causes.items():
                    key = (edge.spec.name, cause)
                    process.dependency_errors[key] = process.dependency_errors.get(key, 0.0) + calls * share

    def _call(self, group: CallerClass, edge: Edge) -> Outcome:
        """One edge's calls: answers, names, connections, retries, circuit breaker."""
        spec, now = edge.spec, self._now
        if spec.breaker and now < edge.open_until:
            edge.attempts = _BREAKER_TRIALS
            return Outcome(1.0, [(1.0, 0.0005)], {"circuit open": 1.0})
        outcome = outcome_of(
            edge.ways, spec, edge.address, now=now, clock_skew=group.clock_skew,
            started_at=group.members[0].started_at,
        )  # fmt: skip
        if edge.named and (self.names.failed > 0.001 or self.names.slow):
            self.names.burden(edge, outcome)
        pools.settle(group, edge, outcome)
        edge.attempts = 1.0
        lost = outcome.failed
        if spec.retries and lost > 0:
            still = lost ** (spec.retries + 1)
            edge.attempts = (1 - still) / (1 - lost) if lost < 1 else spec.retries + 1.0
            scale = still / lost
            outcome.failed = still
            outcome.causes = {cause: share * scale for cause, share in outcome.causes.items()}
            outcome.mixture = [(weight, median * edge.attempts) for weight, median in outcome.mixture]
        if spec.breaker:
            if outcome.failed < _BREAKER_SHARE:
                edge.failing_since = 0.0
            elif not edge.failing_since:
                edge.failing_since = now
            elif now - edge.failing_since >= _BREAKER_AFTER_SECONDS:
                edge.open_until = now + _BREAKER_OPEN_SECONDS
        return outcome
