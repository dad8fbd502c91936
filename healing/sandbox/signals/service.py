"""Puts the signals together: scrapes the world after each tick, keeps its logs, serves the HTTP APIs."""

from __future__ import annotations

from typing import Any

from starlette.routing import BaseRoute, Route

from healing.sandbox.apps.process import BaseProcess
from healing.sandbox.apps.runtime import AppRuntime
from healing.sandbox.faults import FaultInjector
from healing.sandbox.ports import Cluster, LogLine
from healing.sandbox.signals import collect_machines, collect_nodes, collect_objects, collect_services
from healing.sandbox.signals.control import ControlApi
from healing.sandbox.signals.logstore import LogStore
from healing.sandbox.signals.loki import LokiApi
from healing.sandbox.signals.prometheus import PrometheusApi
from healing.sandbox.signals.rules import alerts_series, load_rules
from healing.sandbox.signals.tsdb import Labels, Store, make_labels

SCRAPE_SECONDS = 2.0
_RULE_SECONDS = 5.0
_NANOSECONDS = 1_000_000_000


class Signals:
    """Prometheus, Loki and the control API of one sandbox. `routes` is what the server mounts."""

    def __init__(
        self,
        world: Any,
        runtime: AppRuntime,
        cluster: Cluster,
        *,
        injector: FaultInjector | None = None,
        scrape_seconds: float = SCRAPE_SECONDS,
    ) -> None:
        self._world = world
        self._runtime = runtime
        self._cluster = cluster
        self.scrape_seconds = scrape_seconds
        self._scraped_at = self._objects_at = 0.0
        self._applications: set[str] = set()
        self._objects = collect_objects.ObjectCollector(cluster)
        self._machines = collect_machines.Machines()
        self._ruled_at = 0.0
        self.store = Store()
        self.logs = LogStore()
        self.rules = load_rules()
        self.injector = injector or FaultInjector(cluster, runtime, world)
        self.prometheus = PrometheusApi(self.store, self.rules, runtime.clock)
        self.loki = LokiApi(self.logs, runtime.clock)
        self.control = ControlApi(self.injector, cluster, runtime)
        runtime.on_tick.append(self.tick)
        runtime.on_log.append(self._log)

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/metrics", self.prometheus.exposition, methods=["GET"]),
            *self.prometheus.routes(),
            *self.loki.routes(),
            *self.control.routes(),
        ]

    def tick(self, now: float) -> None:
        """Called by the runtime after each of its ticks."""
        if now - self._scraped_at >= self.scrape_seconds - 0.1:
            self._scraped_at = now
            self.scrape(now)
        elif self._objects_at < self._scraped_at and now - self._scraped_at >= self.scrape_seconds / 2 - 0.1:
            # between two scrapes of the nodes, so that no tick has to do all
            self._objects_at = now
            self.scrape_objects(now)
        if now - self._ruled_at >= _RULE_SECONDS - 0.1:
            self._ruled_at = now
            for rule in self.rules:
                rule.evaluate(self.prometheus.engine, now)
            self.store.write("ALERTS", round(now * 1000), alerts_series(self.rules))
            self.store.forget_idle_targets(round(now * 1000))

    def scrape(self, now: float) -> None:
        time_ms = round(now * 1000)
        by_node: dict[str, list[BaseProcess]] = {}
        for process in self._runtime.processes.values():
            by_node.setdefault(process.start.node_name, []).append(process)
        for node in self._cluster.list("nodes"):
            by_node.setdefault(node["metadata"]["name"], [])
        self.store.write("services", time_ms, collect_services.collect(self._cluster, self._runtime))
        services = self._services_of()
        earlier, self._applications = self._applications, set()
        for node_name, processes in by_node.items():
            self._scrape_node(node_name, processes, time_ms)
            for process in processes:
                if process.running:
                    self._scrape_application(process, services, time_ms)
        self._machines.forget(list(self._runtime.processes.values()))
        for gone in earlier - self._applications:
            self.store.write(gone, time_ms, [])  # its series end at once

    def scrape_objects(self, now: float) -> None:
        objects = self._objects.collect()
        objects.append((make_labels("up", (("instance", "10.42.0.3:8080"), ("job", "kube-state-metrics"))), 1.0))
        self.store.write("kube-state-metrics", round(now * 1000), objects)

    def _scrape_node(self, node: str, processes: list[BaseProcess], time_ms: int) -> None:
        found = self._cluster.get("nodes", None, node)
        address = collect_nodes.node_address(found) if found else node
        labels = (("instance", f"{address}:10250"), ("job", "cadvisor"), ("node", node))
        answers = self._answers(node)
        samples: list[tuple[Labels, float]] = [(make_labels("up", labels), 1.0 if answers else 0.0)]
        if answers:
            samples += collect_nodes.cadvisor(self._cluster, self._runtime, node, processes)
        self.store.write(f"cadvisor/{node}", time_ms, samples)
        if found is None:
            return
        # the kubelet and the exporter are targets of their own: the exporter answers while the machine is up
        for job, port, is_up in (("kubelet", 10250, answers), ("node-exporter", 9100, self._runtime.reachable(node))):
            target = (("instance", f"{address}:{port}"), ("job", job), ("node", node))
            samples = [(make_labels("up", target), 1.0 if is_up else 0.0)]
            if is_up and job == "kubelet":
                samples += collect_machines.kubelet(found, processes)
            elif is_up:
                samples += self._machines.collect(found, processes, time_ms / 1000)
            self.store.write(f"{job}/{node}", time_ms, samples)

    def _answers(self, node: str) -> bool:
        """A stopped kubelet serves no cAdvisor metrics either."""
        try:
            handle = self._world.node(node) if self._world is not None else None
        except KeyError:
            return False  # an object somebody made: no machine behind it
        failures: frozenset[str] = getattr(handle, "failures", frozenset())
        return not ({"down", "kubelet-stopped"} & failures)

    def _scrape_application(self, process: BaseProcess, services: dict[tuple[str, str], str], time_ms: int) -> None:
        start = process.start
        service = services.get((start.namespace, start.pod_name)) or start.labels.get("app") or start.container
        samples = collect_nodes.application(process, service)
        if samples and not self._runtime.reachable(start.node_name):
            samples = [(labels, 0.0) for labels, _ in samples[:1]]  # up 0
        if samples:
            target = f"app/{start.pod_uid}/{start.container}"
            self._applications.add(target)
            self.store.write(target, time_ms, samples)

    def _services_of(self) -> dict[tuple[str, str], str]:
        """Which Service a pod stands behind, by its EndpointSlices."""
        found: dict[tuple[str, str], str] = {}
        for piece in self._cluster.list("endpointslices.discovery.k8s.io"):
            meta = piece["metadata"]
            name = (meta.get("labels") or {}).get("kubernetes.io/service-name", "")
            for endpoint in piece.get("endpoints") or ():
                target = endpoint.get("targetRef") or {}
                if name and target.get("kind") == "Pod":
                    found.setdefault((meta["namespace"], target["name"]), name)
        return found

    def _log(self, process: BaseProcess, line: LogLine) -> None:
        start = process.start
        app = start.labels.get("app") or start.labels.get("app.kubernetes.io/name") or ""
        labels = {
            "namespace": start.namespace,
            "pod": start.pod_name,
            "container": start.container,
            "node": start.node_name,
            "job": "pods",
            "service_name": app or start.container,
            "stream": line.stream,
        }
        if app:
            labels["app"] = app
        self.logs.push(labels, int(line.time * _NANOSECONDS), line.text)


def routes(world: Any, runtime: AppRuntime, cluster: Cluster) -> list[BaseRoute]:
    """All of the signals' routes; scraping runs with the runtime's ticks."""
    return Signals(world, runtime, cluster).routes()
