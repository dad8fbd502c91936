"""How a call finds its way: DNS, Service, ready endpoints, NetworkPolicy, the process behind the address.

Answers are kept until an object they depend on changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from healing.sandbox.apps.process import BaseProcess
from healing.sandbox.ports import Cluster, Object
from healing.sandbox.world import network

Verdict = Literal["ok", "refused", "timeout", "no such host", "auth", "external"]
_DEFAULT_PORTS = {
    "http": 80, "https": 443, "grpc": 80, "postgres": 5432, "postgresql": 5432, "redis": 6379, "valkey": 6379,
    "amqp": 5672, "mysql": 3306, "mongodb": 27017, "nats": 4222, "kafka": 9092,
}  # fmt: skip
_WATCHED = ("services", "endpointslices.discovery.k8s.io", "networkpolicies.networking.k8s.io", "namespaces")


@dataclass(frozen=True, slots=True)
class Address:
    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Way:
    """One of the ways a call can go; ``share`` of the calls take it."""

    share: float
    verdict: Verdict
    process: BaseProcess | None = None
    pod: str = ""


def parse_address(value: str) -> Address | None:
    """``http://cart:8080/x``, ``postgres://user@db/shop`` or ``cache:6379``."""
    text = value.strip().split(",")[0]
    if "://" not in text:
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdigit() or not host or "/" in host or " " in host:
            return None
        return Address("tcp", host, int(port))
    try:
        parts = urlsplit(text)
        port_number = parts.port
    except ValueError:
        return None
    if not parts.hostname:
        return None
    return Address(parts.scheme, parts.hostname, port_number or _DEFAULT_PORTS.get(parts.scheme, 80))


class Wiring:
    """Routes over a cluster's objects; `processes` tells what runs in a pod (by its uid)."""

    def __init__(
        self,
        cluster: Cluster,
        processes: Callable[[str], Iterable[BaseProcess]],
        reachable: Callable[[str], bool] = lambda _node: True,
    ) -> None:
        self._cluster = cluster
        self._processes = processes
        #: is the node on the network at all
        self._reachable = reachable
        #: rises whenever an object changes that routes depend on
        self.version = 0
        self._resolved: dict[tuple[str, str, int], network.Resolution] = {}
        self._allowed: dict[tuple[str, str, str, str, int], bool] = {}
        self._unsubscribe = [cluster.subscribe(resource, self._changed) for resource in _WATCHED]
        self._unsubscribe.append(cluster.subscribe("pods", self._pod_changed))

    def close(self) -> None:
        for stop in self._unsubscribe:
            stop()

    def _changed(self, _type: str, _new: Object, _old: Object | None) -> None:
        self.version += 1
        self._resolved.clear()
        self._allowed.clear()

    def _pod_changed(self, event: str, new: Object, old: Object | None) -> None:
        if event == "MODIFIED" and old is not None:
            before, after = old["metadata"].get("labels"), new["metadata"].get("labels")
            if before == after and old.get("status", {}).get("podIP") == new.get("status", {}).get("podIP"):
                return
        self._changed(event, new, old)

    def pod_labels(self, process: BaseProcess) -> frozenset[tuple[str, str]]:
        """The pod's labels now, which NetworkPolicies go by."""
        start = process.start
        pod = self._cluster.get("pods", start.namespace, start.pod_name)
        return frozenset(((pod or {}).get("metadata", {}).get("labels") or start.labels).items())

    def reachable(self, node: str) -> bool:
        return self._reachable(node)

    def ways(self, source: BaseProcess | None, namespace: str, host: str, port: int) -> list[Way]:
        """Where calls from ``source`` (None: from outside the cluster) go. Shares add to one."""
        if source is not None and not self._reachable(source.start.node_name):
            return [Way(1.0, "timeout")]
        resolution = self._resolve(namespace, host, port)
        if resolution.error == "unknown-host":
            return [Way(1.0, "external" if is_external(host) else "no such host")]
        if not resolution.backends:
            return [Way(1.0, "refused")]  # kube-proxy rejects what has no endpoints
        if source is not None and not self._names_resolve(source):
            return [Way(1.0, "timeout")]
        share = 1.0 / len(resolution.backends)
        return [self._way(source, backend, share) for backend in resolution.backends]

    def _way(self, source: BaseProcess | None, backend: network.Backend, share: float) -> Way:
        meta = backend.pod["metadata"]
        here = [p for p in self._processes(meta["uid"]) if p.running]
        serving = next((p for p in here if backend.port in p.ports and p.listening()), None)
        online = self._reachable(str(backend.pod["spec"].get("nodeName", "")))
        if not online or not self._permitted(source, backend):
            return Way(share, "timeout", serving, meta["name"])
        if serving is None:
            return Way(share, "refused", None, meta["name"])
        return Way(share, "ok", serving, meta["name"])

    def _resolve(self, namespace: str, host: str, port: int) -> network.Resolution:
        key = (namespace, host, port)
        found = self._resolved.get(key)
        if found is None:
            found = self._resolved[key] = network.resolve(self._cluster, namespace, host, port)
        return found

    def _names_resolve(self, source: BaseProcess) -> bool:
        key = (source.start.namespace, source.start.pod_name, "", "", 53)
        found = self._allowed.get(key)
        if found is None:
            pod = self._cluster.get("pods", source.start.namespace, source.start.pod_name)
            found = self._allowed[key] = pod is None or network.may_resolve_names(self._cluster, pod)
        return found

    def _permitted(self, source: BaseProcess | None, backend: network.Backend) -> bool:
        origin = (source.start.namespace, source.start.pod_name) if source is not None else ("", "")
        meta = backend.pod["metadata"]
        key = (*origin, meta["namespace"], meta["name"], backend.port)
        found = self._allowed.get(key)
        if found is None:
            destination = self._cluster.get("pods", meta["namespace"], meta["name"]) or backend.pod
            source_pod = self._cluster.get("pods", *origin) if source is not None else None
            found = network.allowed(self._cluster, source_pod, destination, backend.port, "TCP")
            self._allowed[key] = found
        return found


_PUBLIC_ENDINGS = ("com", "org", "net", "io", "dev", "app", "cloud", "ai", "co")


def is_external(host: str) -> bool:
    """A name on the internet, which the model takes to answer; names of the cluster must exist."""
    return "." in host and host.rsplit(".", 1)[-1] in _PUBLIC_ENDINGS
