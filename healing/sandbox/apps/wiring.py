"""How a call finds its way: DNS, Service, ready endpoints, NetworkPolicy, sidecars, the process behind the address.

Answers are kept until an object or a condition of the network they depend on changes.
"""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from healing.sandbox.apps.address import Address, parse_address
from healing.sandbox.apps.conditions import CLEAR, Conditions, ExternalMode, Link
from healing.sandbox.apps.process import BaseProcess
from healing.sandbox.ports import Cluster, Object
from healing.sandbox.world import network

__all__ = ["Address", "Way", "Wiring", "is_external", "parse_address"]
Verdict = Literal["ok", "refused", "timeout", "no such host", "dns timeout", "sidecar", "external"]
_WATCHED = ("services", "endpointslices.discovery.k8s.io", "networkpolicies.networking.k8s.io", "namespaces")
_ServiceKey = tuple[str, str]
_Rules = dict[_ServiceKey, dict[int, tuple[network.Backend, ...]]]


@dataclass(frozen=True, slots=True)
class Way:
    """One of the ways a call can go; ``share`` of the calls take it."""

    share: float
    verdict: Verdict
    process: BaseProcess | None = None
    pod: str = ""
    #: at the other end
    port: int = 0
    link: Link = CLEAR
    #: of a host outside
    external: ExternalMode = "up"


class Wiring:
    """Routes over a cluster's objects; `processes` tells what runs in a pod (by its uid)."""

    def __init__(
        self,
        cluster: Cluster,
        processes: Callable[[str], Iterable[BaseProcess]],
        reachable: Callable[[str], bool] = lambda _node: True,
        conditions: Conditions | None = None,
    ) -> None:
        self._cluster = cluster
        self._processes = processes
        #: is the node on the network at all
        self._reachable = reachable
        self.conditions = conditions or Conditions()
        #: rises whenever an object changes that routes depend on
        self.version = 0
        #: by the only namespace whose objects decide about them; under "" those that any object may change
        self._resolved: dict[str, dict[tuple[str, str, int, str], network.Resolution]] = {}
        self._allowed: dict[tuple[str, str, str, str, int], bool] = {}
        #: nodes without kube-proxy -> the endpoints their rules still lead to
        self._stale: dict[str, _Rules] = {}
        self._unsubscribe = [cluster.subscribe(resource, self._changed) for resource in _WATCHED]
        self._unsubscribe.append(cluster.subscribe("pods", self._pod_changed))

    def close(self) -> None:
        for stop in self._unsubscribe:
            stop()

    def _changed(self, _type: str, new: Object, _old: Object | None) -> None:
        self.version += 1
        self._resolved.pop("", None)
        self._resolved.pop(new["metadata"].get("namespace") or "", None)
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

    # machines

    def freeze_rules(self, node: str) -> None:
        """kube-proxy on this node stops: the rules it wrote stay as they are."""
        backends: _Rules = {}
        for service in self._cluster.list("services"):
            meta = service["metadata"]
            ports = {
                int(port["port"]): self.resolve(meta["namespace"], meta["name"], int(port["port"])).backends
                for port in service["spec"].get("ports") or ()
            }
            backends[meta["namespace"], meta["name"]] = ports
        self._stale[node] = backends
        self.conditions.touch()

    def renew_rules(self, node: str) -> None:
        self._stale.pop(node, None)
        self.conditions.touch()

    def has_stale_rules(self, node: str) -> bool:
        return node in self._stale

    # routes

    def ways(self, source: BaseProcess | None, namespace: str, host: str, port: int) -> list[Way]:
        """Where calls from ``source`` (None: from outside the cluster) go. Shares add to one."""
        if source is not None:
            if not self._reachable(source.start.node_name):
                return [Way(1.0, "timeout")]
            if (proxy := self._sidecar(source.start.pod_uid, source)) is not None:
                return [Way(1.0, proxy)]
            if not is_address(host) and not self._names_resolve(source):
                return [Way(1.0, "dns timeout")]
        resolution = self.resolve(namespace, host, port)
        if resolution.error == "unknown-host" or resolution.external:
            return [self._outside(source, resolution.external or host)]
        backends = resolution.backends
        if source is not None and source.start.node_name in self._stale and resolution.service is not None:
            stale = self._stale[source.start.node_name].get(resolution.service, {}).get(port, ())
            if not stale:
                return [Way(1.0, "timeout")]  # no rule for this address was ever written
            backends = stale
        if not backends:
            return [Way(1.0, "refused")]  # kube-proxy rejects what has no endpoints
        if resolution.sticky and source is not None:
            backends = (backends[zlib.crc32(source.start.pod_ip.encode()) % len(backends)],)
        share = 1.0 / len(backends)
        return [self._way(source, backend, share) for backend in backends]

    def sticky(self, namespace: str, host: str, port: int) -> bool:
        """Whether each client stays with one backend."""
        return self.resolve(namespace, host, port).sticky

    def _outside(self, source: BaseProcess | None, host: str) -> Way:
        if not is_external(host):
            return Way(1.0, "no such host")
        mode, seconds = self.conditions.external(host)
        link = self._link_of(source, "").with_(Link(seconds)) if source is not None else Link(seconds)
        if source is not None and not self._leaves(source):
            return Way(1.0, "timeout")
        if mode == "unknown":
            return Way(1.0, "no such host")
        if mode == "down":
            return Way(1.0, "timeout")
        return Way(1.0, "external", link=link, external=mode)

    def _way(self, source: BaseProcess | None, backend: network.Backend, share: float) -> Way:
        meta = backend.pod["metadata"]
        node = str(backend.pod["spec"].get("nodeName", ""))
        here = [p for p in self._processes(meta["uid"]) if p.running]
        serving = next((p for p in here if backend.port in p.ports and p.listening()), None)
        if not self._reachable(node) or not self._permitted(source, backend):
            return Way(share, "timeout", serving, meta["name"])
        current = self._cluster.get("pods", meta["namespace"], meta["name"])
        if current is None or current["metadata"]["uid"] != meta["uid"]:
            return Way(share, "timeout", None, meta["name"])  # a rule that leads to an address nobody has any more
        if serving is None:
            return Way(share, "refused", None, meta["name"])
        proxy = self._sidecar(meta["uid"], serving)
        if proxy is not None:
            return Way(share, proxy, None, meta["name"])
        link = self._link_of(serving, source.start.node_name if source is not None else "")
        if source is not None and source.start.pod_uid != meta["uid"]:
            link = link.with_(self._link_of(source, node))
        return Way(share, "ok", serving, meta["name"], backend.port, link)

    def has_sidecar(self, pod_uid: str) -> bool:
        return any(process.program.kind == "proxy" for process in self._processes(pod_uid))

    def _sidecar(self, pod_uid: str, process: BaseProcess) -> Literal["sidecar", "timeout"] | None:
        """What a proxy in the pod that does not work makes of its traffic."""
        for proxy in self._processes(pod_uid):
            if proxy.program.kind == "proxy" and proxy is not process:
                if not proxy.running or not proxy.listening():
                    return "sidecar"
                if proxy.effects.hang:
                    return "timeout"
        return None

    def _link_of(self, process: BaseProcess, other_node: str) -> Link:
        """One end's share of a connection; the machine's own network is only crossed to leave the machine."""
        effects, node = process.effects, process.start.node_name
        link = CLEAR
        if effects.network_delay_seconds or effects.packet_loss:
            link = Link(effects.network_delay_seconds, effects.packet_loss)
        if node != other_node:
            machine = self.conditions.node_link(node)
            if machine:
                link = link.with_(machine)
        return link

    def resolve(self, namespace: str, host: str, port: int, protocol: str = "TCP") -> network.Resolution:
        key = (namespace, host, port, protocol)
        found = self._resolved.get(namespace, {}).get(key) or self._resolved.get("", {}).get(key)
        if found is None:
            found = network.resolve(self._cluster, namespace, host, port, protocol)
            # The plain name of a Service of the asker's own namespace, which is most of them.
            at_home = found.service is not None and found.service[0] == namespace and not {".", ":"} & set(host)
            self._resolved.setdefault(namespace if at_home else "", {})[key] = found
        return found

    def _names_resolve(self, source: BaseProcess) -> bool:
        return self._kept(source, 53, network.may_resolve_names)

    def _leaves(self, source: BaseProcess) -> bool:
        """Whether its NetworkPolicies let it talk to addresses outside the cluster."""
        return self._kept(source, 0, network.may_leave)

    def _kept(self, source: BaseProcess, kind: int, ask: Callable[[Cluster, Object], bool]) -> bool:
        key = (source.start.namespace, source.start.pod_name, "", "", kind)
        found = self._allowed.get(key)
        if found is None:
            pod = self._cluster.get("pods", source.start.namespace, source.start.pod_name)
            found = self._allowed[key] = pod is None or ask(self._cluster, pod)
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


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
