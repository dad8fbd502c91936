"""Who may talk to whom, and what a host name leads to: NetworkPolicies, Services and DNS. Pure functions."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from healing.sandbox.ports import Cluster, Object
from healing.sandbox.world import pods
from healing.sandbox.world.controllers.endpoint_parts import endpoints_of, target_port
from healing.sandbox.world.selectors import matches

DNS_PORT = 53
CLUSTER_DOMAIN = "cluster.local"
ResolveError = Literal["unknown-host", "no-endpoints", "unknown-port"]


@dataclass(frozen=True, slots=True)
class Backend:
    """A ready pod behind a Service, and the port traffic to the Service's port goes to there."""

    pod: Object
    port: int


@dataclass(frozen=True, slots=True)
class Resolution:
    """``error`` is empty, or why there is nothing to connect to:

    - ``unknown-host``: DNS answers NXDOMAIN;
    - ``no-endpoints``: the Service exists, nothing ready stands behind it (connection refused);
    - ``unknown-port``: the Service has no such port, or the pods have none of its target port's name.
    """

    backends: tuple[Backend, ...] = ()
    error: ResolveError | Literal[""] = ""
    #: (namespace, name) of the Service whose address kube-proxy translates
    service: tuple[str, str] | None = None
    #: its cluster IP
    address: str = ""
    #: ``sessionAffinity: ClientIP``
    sticky: bool = False
    #: the name outside the cluster that an ExternalName Service stands for
    external: str = ""


def allowed(
    cluster: Cluster, source_pod: Object | None, destination_pod: Object, port: int, protocol: str = "TCP"
) -> bool:
    """May ``source_pod`` (None: something outside the cluster) open a connection to this port of ``destination_pod``?

    The source's egress rules and the destination's ingress rules must both allow it.
    """
    if source_pod is not None:
        if source_pod["metadata"]["uid"] == destination_pod["metadata"]["uid"]:
            return True
        if not _passes(
            cluster,
            "Egress",
            source_pod,
            peer=destination_pod,
            destination=destination_pod,
            port=port,
            protocol=protocol,
        ):
            return False
    return _passes(
        cluster, "Ingress", destination_pod, peer=source_pod, destination=destination_pod, port=port, protocol=protocol
    )


def may_resolve_names(cluster: Cluster, pod: Object) -> bool:
    """Whether the pod's egress rules let it reach the cluster's DNS (UDP or TCP port 53 in kube-system)."""
    servers = [p for p in cluster.list("pods", "kube-system", {"k8s-app": "kube-dns"}) if pods.is_active(p)]
    for protocol in ("UDP", "TCP"):
        if servers:
            if any(
                _passes(cluster, "Egress", pod, peer=server, destination=server, port=DNS_PORT, protocol=protocol)
                for server in servers
            ):
                return True
            continue
        stand_in: Object = {
            "metadata": {"name": "kube-dns", "namespace": "kube-system", "uid": "", "labels": {"k8s-app": "kube-dns"}},
            "spec": {"containers": [{"name": "dns", "ports": [
                {"name": "dns", "containerPort": DNS_PORT, "protocol": "UDP"},
                {"name": "dns-tcp", "containerPort": DNS_PORT, "protocol": "TCP"},
            ]}]},
            "status": {},
        }  # fmt: skip
        if _passes(cluster, "Egress", pod, peer=stand_in, destination=stand_in, port=DNS_PORT, protocol=protocol):
            return True
    return False


def may_leave(cluster: Cluster, pod: Object) -> bool:
    """Whether the pod's egress rules let it talk to an address on the internet (HTTPS)."""
    return _passes(cluster, "Egress", pod, peer=None, destination=_NOWHERE, port=443, protocol="TCP")


_NOWHERE: Object = {"metadata": {}, "spec": {"containers": []}}


def resolve(cluster: Cluster, from_namespace: str, hostname: str, port: int, protocol: str = "TCP") -> Resolution:
    """What a connection from a pod in ``from_namespace`` to ``hostname:port`` can reach.

    A Service's port of the other protocol is none for this one.
    Names: ``svc``, ``svc.ns``, ``svc.ns.svc[.cluster.local]``, ``pod.svc...`` of a headless Service, a Service's
    cluster IP and a pod's IP.
    """
    host = hostname.rstrip(".")
    service = _service_at(cluster, host) if _is_address(host) else None
    if service is None and _is_address(host):
        owner = next((p for p in cluster.list("pods") if (p.get("status") or {}).get("podIP") == host), None)
        return Resolution((Backend(owner, port),)) if owner is not None else Resolution(error="no-endpoints")
    pod_name = ""
    if service is None:
        service, pod_name = _service_named(cluster, from_namespace, host)
    if service is None:
        return Resolution(error="unknown-host")
    if service["spec"].get("type") == "ExternalName":
        return Resolution(error="unknown-host", external=str(service["spec"].get("externalName", "")).rstrip("."))
    ready = [e for e in endpoints_of(cluster, service) if e.ready]
    if pod_name:
        ready = [e for e in ready if (e.pod["spec"].get("hostname") or e.pod["metadata"]["name"]) == pod_name]
    if service["spec"].get("clusterIP") == "None":
        # Headless: DNS gives the pods themselves, the port is taken as it is.
        found = tuple(Backend(e.pod, port) for e in ready)
        return Resolution(found) if found else Resolution(error="unknown-host" if pod_name else "no-endpoints")
    ports = service["spec"].get("ports") or ()
    declared = next((p for p in ports if p["port"] == port and (p.get("protocol") or "TCP") == protocol), None)
    key = (service["metadata"]["namespace"], service["metadata"]["name"])
    address = str(service["spec"].get("clusterIP") or "")
    if declared is None:
        return Resolution(error="unknown-port", service=key, address=address)
    if not ready:
        return Resolution(error="no-endpoints", service=key, address=address)
    backends = tuple(Backend(e.pod, number) for e in ready if (number := target_port(declared, e.pod)) is not None)
    sticky = service["spec"].get("sessionAffinity") == "ClientIP"
    return Resolution(backends, "" if backends else "unknown-port", key, address, sticky)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _service_at(cluster: Cluster, address: str) -> Object | None:
    return next((s for s in cluster.list("services") if s["spec"].get("clusterIP") == address), None)


def _service_named(cluster: Cluster, from_namespace: str, host: str) -> tuple[Object | None, str]:
    """(Service, pod name before it in the host name)."""
    for ending in (f".svc.{CLUSTER_DOMAIN}", ".svc"):
        host = host.removesuffix(ending)
    parts = host.split(".")
    service: Object | None = None
    if len(parts) == 1:
        return _follow(cluster, cluster.get("services", from_namespace, parts[0])), ""
    if len(parts) == 2:
        service = cluster.get("services", parts[1], parts[0])
        if service is not None:
            return _follow(cluster, service), ""
        return cluster.get("services", from_namespace, parts[1]), parts[0]
    if len(parts) == 3:
        return cluster.get("services", parts[2], parts[1]), parts[0]
    return None, ""


def _follow(cluster: Cluster, service: Object | None) -> Object | None:
    """An ExternalName that names a Service of this cluster leads there; any other leads out of it."""
    if service is None or service["spec"].get("type") != "ExternalName":
        return service
    name = str(service["spec"].get("externalName", "")).rstrip(".")
    if ".svc" not in name:
        return service  # a name of the outside: DNS only searches below the cluster's domain with it
    target, _ = _service_named(cluster, service["metadata"]["namespace"], name)
    return target if target is not service else None


def enforces_policies(cluster: Cluster) -> bool:
    """Who enforces NetworkPolicies is the network plugin. A cluster that shows none has one that does; one with Flannel
    alone only connects pods, and its policies have no effect."""
    agents = {agent["metadata"]["name"] for agent in cluster.list("daemonsets.apps")}
    return not agents & _ONLY_CONNECT or bool(agents & _ENFORCE)


_ONLY_CONNECT = frozenset({"kube-flannel-ds"})
_ENFORCE = frozenset({"calico-node", "canal", "cilium", "kube-router"})


def _passes(
    cluster: Cluster,
    direction: Literal["Ingress", "Egress"],
    subject: Object,
    *,
    peer: Object | None,
    destination: Object,
    port: int,
    protocol: str,
) -> bool:
    """The policies that select ``subject`` for this direction allow ``peer``; none of them means yes."""
    namespace = subject["metadata"]["namespace"]
    selecting = [
        policy
        for policy in cluster.list("networkpolicies.networking.k8s.io", namespace)
        if direction in _types(policy["spec"])
        and matches(policy["spec"].get("podSelector") or {}, subject["metadata"].get("labels") or {})
    ]
    if not selecting or not enforces_policies(cluster):
        return True
    rules, peers = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    return any(
        _port_allowed(rule.get("ports"), destination, port, protocol)
        and _peer_allowed(cluster, rule.get(peers), namespace, peer)
        for policy in selecting
        for rule in policy["spec"].get(rules) or ()
    )


def _types(spec: Object) -> Sequence[str]:
    types: Sequence[str] | None = spec.get("policyTypes")
    return types or ["Ingress", *(["Egress"] if spec.get("egress") else [])]


def _port_allowed(ports: Sequence[Object] | None, destination: Object, number: int, protocol: str) -> bool:
    if not ports:
        return True
    for entry in ports:
        if (entry.get("protocol") or "TCP") != protocol:
            continue
        wanted = entry.get("port")
        if wanted is None:
            return True
        if isinstance(wanted, str) and not wanted.isdigit():
            named = {
                (p["name"], p.get("protocol") or "TCP"): p["containerPort"]
                for c in destination["spec"]["containers"]
                for p in c.get("ports") or ()
                if p.get("name")
            }
            if named.get((wanted, protocol)) == number:
                return True
            continue
        if int(wanted) <= number <= int(entry.get("endPort") or wanted):
            return True
    return False


def _peer_allowed(cluster: Cluster, peers: Sequence[Object] | None, namespace: str, pod: Object | None) -> bool:
    if not peers:
        return True
    return any(_peer_matches(cluster, peer, namespace, pod) for peer in peers)


def _peer_matches(cluster: Cluster, peer: Object, namespace: str, pod: Object | None) -> bool:
    if "ipBlock" in peer:
        address = (pod.get("status") or {}).get("podIP") if pod is not None else "203.0.113.1"
        if not address:
            return False
        ip = ipaddress.ip_address(address)
        block = peer["ipBlock"]
        inside = ip in ipaddress.ip_network(block["cidr"], strict=False)
        return inside and not any(ip in ipaddress.ip_network(e, strict=False) for e in block.get("except") or ())
    if pod is None:
        return False
    there = pod["metadata"]["namespace"]
    if peer.get("namespaceSelector") is not None:
        found = cluster.get("namespaces", None, there)
        labels = {"kubernetes.io/metadata.name": there, **((found or {}).get("metadata", {}).get("labels") or {})}
        if not matches(peer["namespaceSelector"], labels):
            return False
    elif there != namespace:
        return False
    selector = peer.get("podSelector")
    return selector is None or matches(selector, pod["metadata"].get("labels") or {})
