"""Who calls whom: from addresses in env, arguments and ConfigMaps, from logs, and from labels of metrics."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from healing.diagnosis import log_rules, logs, reading as r
from healing.diagnosis.reading import Object
from healing.diagnosis.snapshot import Snapshot
from healing.ports.cluster import ObjectRef

_ADDRESS = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.\-]*)://(?:[^\s@/\"']*@)?)?(?P<host>[a-z0-9](?:[a-z0-9\-]*[a-z0-9])?(?:\.[a-z0-9\-]+)*)"
    r"(?::(?P<port>\d{1,5}))?(?=$|[/\s,;?\"'\])}])",
    re.IGNORECASE,
)
_ADDRESS_NAME = re.compile(
    r"HOST|ADDR|URL|URI|ENDPOINT|SERVER|SERVICE|UPSTREAM|BACKEND|BROKER|DSN|DEPEND|TARGET|API", re.IGNORECASE
)
_MAX_VALUE = 2000
#: So much of a log's end tells whom a program calls.
_MOST_CHARACTERS = 60_000
_DEFAULT_PORTS = {"http": "80", "https": "443", "postgres": "5432", "postgresql": "5432", "redis": "6379"}
_DEFAULT_PORTS |= {"mysql": "3306", "amqp": "5672", "mongodb": "27017", "nats": "4222", "grpc": "", "tcp": ""}
#: labels that name the called side of a request, in metrics of service meshes and of ordinary clients
_CALLEE_LABELS = (
    "destination_service_name",
    "destination_workload",
    "peer_service",
    "peer",
    "upstream",
    "dependency",
    "server",
    "target_service",
    "callee",
)


@dataclass(frozen=True, slots=True)
class Address:
    """An address some program is configured with. ``source`` says where (``env DB_HOST``)."""

    host: str
    port: str = ""
    source: str = ""
    variable: str = ""
    config_map: str = ""
    key: str = ""


@dataclass(slots=True)
class Calls:
    """``services``: workload -> Services it calls. ``backends``: Service -> workloads behind it (by template)."""

    services: dict[ObjectRef, set[ObjectRef]] = field(default_factory=lambda: defaultdict(set))
    backends: dict[ObjectRef, set[ObjectRef]] = field(default_factory=lambda: defaultdict(set))
    addresses: dict[ObjectRef, list[Address]] = field(default_factory=dict)
    _by_ip: dict[str, ObjectRef] = field(default_factory=dict)

    def callers(self, service: ObjectRef) -> set[ObjectRef]:
        """Workloads that call the Service."""
        return {caller for caller, called in self.services.items() if service in called}

    def callees(self, workload: ObjectRef) -> set[ObjectRef]:
        """Workloads behind the Services it calls, without itself."""
        return {b for service in self.services.get(workload, ()) for b in self.backends.get(service, ())} - {workload}

    def callers_of(self, workload: ObjectRef) -> set[ObjectRef]:
        """Workloads that call a Service in front of it."""
        mine = {service for service, backends in self.backends.items() if workload in backends}
        return {caller for service in mine for caller in self.callers(service)} - {workload}

    def add_ip(self, ip: str, owner: ObjectRef) -> None:
        """Whose address it is; the first owner counts."""
        self._by_ip.setdefault(ip, owner)

    def by_ip(self, ip: str) -> ObjectRef | None:
        """The Service or Pod that has the address."""
        return self._by_ip.get(ip)


def resolve(snapshot: Snapshot, host: str, namespace: str) -> ObjectRef | None:
    """The Service a DNS name means to a pod in ``namespace``; None if there is none of that name."""
    parts = host.lower().rstrip(".").split(".")
    if len(parts) == 1:
        candidate = (namespace, parts[0])
    elif len(parts) == 2 or parts[2] == "svc":
        candidate = (parts[1], parts[0])
    else:
        return None
    if snapshot.get("Service", *candidate) is not None:
        return ObjectRef("Service", *candidate)
    # the name of a pod behind a headless Service: pod.service.namespace.svc
    if len(parts) > 2 and snapshot.get("Service", parts[2] if len(parts) > 3 else namespace, parts[1]) is not None:
        return ObjectRef("Service", parts[2] if len(parts) > 3 else namespace, parts[1])
    return None


def is_cluster_name(host: str) -> bool:
    """Whether a host can only be a name of the cluster: no dots, or below ``svc``."""
    return "." not in host or ".svc" in host


def means_a_service(snapshot: Snapshot, host: str, namespace: str) -> bool:
    """Whether a host that is not resolved was meant to be one of the cluster: by its form, or its first part is a
    Service beside the caller, or its second one a namespace, or none of any domain (``db.prod-eu``)."""
    if is_cluster_name(host):
        return True
    parts = host.lower().rstrip(".").split(".")
    if len(parts) != 2:
        return False
    is_namespace = snapshot.get("Namespace", "", parts[1]) is not None
    beside = snapshot.get("Service", namespace, parts[0]) is not None
    return is_namespace or beside or not parts[1].isalpha()


def call_graph(snapshot: Snapshot) -> Calls:
    """See `Calls`."""
    calls = Calls()
    workloads = [w for w in snapshot.workloads() if w.get("kind") != "ReplicaSet" or snapshot.owned(w, "Pod")]
    naked = [p for p in snapshot.of_kind("Pod") if snapshot.controller(p) is None]
    by_namespace: dict[str, list[tuple[ObjectRef, dict[str, str]]]] = defaultdict(list)
    for obj in (*workloads, *naked):
        ref = _bare(obj)
        by_namespace[ref.namespace].append((ref, r.template_labels(obj)))
    for service in snapshot.of_kind("Service"):
        ref = _bare(service)
        selector = r.labels(service, "spec", "selector")
        ip = r.text(service, "spec", "clusterIP")
        if ip and ip != "None":
            calls.add_ip(ip, ref)
        if selector:
            for workload, labels in by_namespace.get(ref.namespace, ()):
                if selector.items() <= labels.items():
                    calls.backends[ref].add(workload)
    for pod in snapshot.of_kind("Pod"):
        ip = r.text(pod, "status", "podIP")
        if ip and not r.at(pod, "spec", "hostNetwork"):
            calls.add_ip(ip, _bare(pod))
    for obj in (*workloads, *naked):
        ref = _bare(obj)
        calls.addresses[ref] = list(addresses(snapshot, obj))
        for address in calls.addresses[ref]:
            service_ref = resolve(snapshot, address.host, ref.namespace)
            if service_ref is not None:
                calls.services[ref].add(service_ref)
    _from_logs(snapshot, calls)
    _from_metrics(snapshot, calls)
    return calls


def addresses(snapshot: Snapshot, workload: Object) -> Iterator[Address]:
    """Addresses in the workload's env, command line and ConfigMaps."""
    namespace = r.text(workload, "metadata", "namespace")
    spec = r.pod_spec(workload)
    seen_maps: set[str] = set()
    for container in r.containers(spec):
        for entry in r.dicts(container, "env"):
            name, value = r.text(entry, "name"), r.text(entry, "value")
            reference = r.mapping(entry, "valueFrom", "configMapKeyRef")
            map_name, key = r.text(reference, "name"), r.text(reference, "key")
            if map_name:
                config = snapshot.get("ConfigMap", namespace, map_name) or {}
                value = r.text(config, "data", key)
            yield from _in_value(snapshot, namespace, name, value, f"env {name}", name, map_name, key)
        for word in (*r.strings(container, "command"), *r.strings(container, "args")):
            option, _, value = word.rpartition("=")
            yield from _in_value(snapshot, namespace, option, value[:_MAX_VALUE], "argument", "", "", "")
        seen_maps.update(r.text(e, "configMapRef", "name") for e in r.dicts(container, "envFrom"))
    seen_maps.update(r.text(v, "configMap", "name") for v in r.dicts(spec, "volumes"))
    for map_name in sorted(seen_maps - {""}):
        data = r.labels(snapshot.get("ConfigMap", namespace, map_name) or {}, "data")
        for key, value in data.items():
            yield from _in_value(snapshot, namespace, key, value, f"ConfigMap {map_name} key {key}", "", map_name, key)


def _in_value(
    snapshot: Snapshot, namespace: str, name: str, value: str, source: str, variable: str, config_map: str, key: str
) -> Iterator[Address]:
    if not value or len(value) > 20_000:
        return
    named_so = bool(_ADDRESS_NAME.search(name))
    for match in _ADDRESS.finditer(value[:_MAX_VALUE]):
        host, port, scheme = match["host"], match["port"] or "", (match["scheme"] or "").lower()
        if host.replace(".", "").isdigit() or host.lower() in ("localhost", "true", "false"):
            continue
        # a bare word is an address only if a Service has that name, or the variable says so and it is all of the value
        is_service = resolve(snapshot, host, namespace) is not None
        whole = match.span() == (0, len(value))
        if not (
            scheme
            or (is_service and (port or named_so or whole))
            or (port and (named_so or whole))
            or (named_so and whole)
        ):
            continue
        yield Address(host.lower(), port or _DEFAULT_PORTS.get(scheme, ""), source, variable, config_map, key)


def _from_logs(snapshot: Snapshot, calls: Calls) -> None:
    for key, log in snapshot.logs.items():
        pod = snapshot.get("Pod", key.namespace, key.pod)
        if pod is None:
            continue
        caller = snapshot.workload_of(pod)
        caller = ObjectRef(caller.kind, caller.namespace, caller.name)
        for match in log_rules.classify(logs.failures(log, most_characters=_MOST_CHARACTERS)):
            host = match.details.get("host", "")
            target = resolve(snapshot, host, key.namespace) or calls.by_ip(host) if host else None
            if target is not None and target.kind == "Service":
                calls.services[caller].add(target)


def _from_metrics(snapshot: Snapshot, calls: Calls) -> None:
    for series in snapshot.series:
        service = callee_of(snapshot, series.labels)
        caller = workload_by_labels(snapshot, series.labels) if service is not None else None
        if caller is not None and service is not None and caller not in calls.backends.get(service, ()):
            calls.services[caller].add(service)


def callee_of(snapshot: Snapshot, labels: Mapping[str, str]) -> ObjectRef | None:
    """The Service that a metric's labels name as the called side."""
    callee = next((labels[name] for name in _CALLEE_LABELS if labels.get(name)), "")
    if not callee:
        return None
    namespace = labels.get("destination_service_namespace") or labels.get("namespace", "")
    return resolve(snapshot, callee.split(":")[0], namespace)


def workload_by_labels(snapshot: Snapshot, labels: object) -> ObjectRef | None:
    """The workload that a metric's labels name as the one that reports or calls."""
    namespace = r.text(labels, "namespace")
    pod = snapshot.get("Pod", namespace, r.text(labels, "pod"))
    if pod is not None:
        ref = snapshot.workload_of(pod)
        return ObjectRef(ref.kind, ref.namespace, ref.name)
    for label in ("source_workload", "deployment", "workload", "service", "app", "job"):
        value = r.text(labels, label).rpartition("/")[2]
        if value and snapshot.get("Deployment", namespace, value) is not None:
            return ObjectRef("Deployment", namespace, value)
    return None


def _bare(obj: Object) -> ObjectRef:
    ref = ObjectRef.of(obj)
    return ObjectRef(ref.kind, ref.namespace, ref.name)
