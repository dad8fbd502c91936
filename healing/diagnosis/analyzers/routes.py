"""Routes from outside: Ingresses, routes of the Gateway API, VirtualServices and OpenShift Routes that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from healing.diagnosis import reading as r
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence
from healing.diagnosis.reading import Object
from healing.diagnosis.revisions import last_change
from healing.diagnosis.scene import Scene
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

#: kinds of the Gateway API whose rules name backends
GATEWAY_ROUTES = ("HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute")
#: (type, reason) of a route's conditions that say it leads nowhere
_REFUSED = frozenset(
    {
        ("ResolvedRefs", "BackendNotFound"),
        ("ResolvedRefs", "RefNotPermitted"),
        ("ResolvedRefs", "InvalidKind"),
        ("ResolvedRefs", "UnsupportedProtocol"),
        ("Accepted", "NoMatchingParent"),
        ("Accepted", "NoMatchingListenerHostname"),
        ("Accepted", "NotAllowedByListeners"),
    }
)


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """IngressBackendMissing, RouteBackendMissing."""
    for ingress in scene.snapshot.of_kind("Ingress"):
        if scene.covers(r.text(ingress, "metadata", "namespace")):
            yield from _ingress(scene, ingress)
    for kind in GATEWAY_ROUTES:
        for route in scene.snapshot.of_kind(kind):
            if scene.covers(r.text(route, "metadata", "namespace")):
                yield from _gateway_route(scene, route)
    for route in scene.snapshot.of_kind("VirtualService"):
        yield from _virtual_service(scene, route)
    for route in scene.snapshot.of_kind("Route"):
        yield from _openshift(scene, route)


def _ingress(scene: Scene, ingress: Object) -> Iterator[Hypothesis]:
    namespace = r.text(ingress, "metadata", "namespace")
    backends = [r.mapping(ingress, "spec", "defaultBackend", "service")]
    for rule in r.dicts(ingress, "spec", "rules"):
        backends += [r.mapping(path, "backend", "service") for path in r.dicts(rule, "http", "paths")]
    for backend in backends:
        port = r.at(backend, "port", "number") or r.at(backend, "port", "name")
        found = _missing(scene, namespace, r.text(backend, "name"), port)
        if found is not None:
            yield _hypothesis(scene, "IngressBackendMissing", ingress, found, port)


def _gateway_route(scene: Scene, route: Object) -> Iterator[Hypothesis]:
    namespace = r.text(route, "metadata", "namespace")
    judged = False
    for rule in r.dicts(route, "spec", "rules"):
        for backend in r.dicts(rule, "backendRefs"):
            if r.text(backend, "kind") not in ("", "Service") or r.at(backend, "weight") == 0:
                continue
            where = r.text(backend, "namespace") or namespace
            found = _missing(scene, where, r.text(backend, "name"), r.at(backend, "port"))
            if found is not None:
                judged = True
                yield _hypothesis(scene, "RouteBackendMissing", route, found, r.at(backend, "port"))
    if judged:
        return
    ref = ObjectRef.of(route)
    for parent in r.dicts(route, "status", "parents"):
        for condition in r.dicts(parent, "conditions"):
            said = (r.text(condition, "type"), r.text(condition, "reason"))
            if condition.get("status") == "False" and said in _REFUSED:
                message = r.text(condition, "message")
                proof = evidence("status", f"{ref.kind} {ref.name}: {said[1]}", message, obj=bare(ref))
                words = f"{ref.kind} {ref.name} leads nowhere: {said[1]}. {message[:200]}"
                yield Hypothesis("RouteBackendMissing", ref, 0.9, words, [proof], {"reason": said[1]})
                return
    gateways = scene.snapshot.of_kind("Gateway")
    for parent in r.dicts(route, "spec", "parentRefs"):
        name, where = r.text(parent, "name"), r.text(parent, "namespace") or namespace
        if r.text(parent, "kind") not in ("", "Gateway") or not gateways or scene.snapshot.get("Gateway", where, name):
            continue
        names = [r.text(g, "metadata", "name") for g in gateways]
        words = f"{ref.kind} {ref.name} belongs to Gateway {where}/{name}, which does not exist."
        proof = evidence("spec", f"Parent of {ref.kind} {ref.name}", f"Gateway {where}/{name}", obj=bare(ref))
        facts = {"gateway": name, "suggested_gateway": r.closest(name, names)}
        yield Hypothesis("RouteBackendMissing", ref, 0.88, words, [proof], facts)


def _virtual_service(scene: Scene, route: Object) -> Iterator[Hypothesis]:
    namespace = r.text(route, "metadata", "namespace")
    if not scene.covers(namespace):
        return
    for protocol in ("http", "tcp", "tls"):
        for rule in r.dicts(route, "spec", protocol):
            for one in r.dicts(rule, "route"):
                host, port = r.text(one, "destination", "host"), r.at(one, "destination", "port", "number")
                parts = host.split(".")
                if len(parts) > 1 and (len(parts) < 3 or parts[2] != "svc"):
                    continue  # a name outside of the cluster, or one a ServiceEntry makes
                found = _missing(scene, parts[1] if len(parts) > 1 else namespace, parts[0], port)
                if found is not None:
                    yield _hypothesis(scene, "RouteBackendMissing", route, found, port)


def _openshift(scene: Scene, route: Object) -> Iterator[Hypothesis]:
    namespace = r.text(route, "metadata", "namespace")
    if not scene.covers(namespace) or r.text(route, "spec", "to", "kind") not in ("", "Service"):
        return
    port = r.at(route, "spec", "port", "targetPort")
    found = _missing(scene, namespace, r.text(route, "spec", "to", "name"), port, is_target=True)
    if found is not None:
        yield _hypothesis(scene, "RouteBackendMissing", route, found, port)


def _missing(
    scene: Scene, namespace: str, name: str, port: object, *, is_target: bool = False
) -> tuple[str, str, str, list[Any]] | None:
    """(Service, what is wrong, similar Service, its ports) where the backend is not there."""
    if not name or not scene.snapshot.knows_all("Service", namespace):
        return None
    service = scene.snapshot.get("Service", namespace, name)
    if service is None:
        names = [r.text(s, "metadata", "name") for s in scene.snapshot.of_kind("Service", namespace)]
        return name, f"to Service {name}, which does not exist", r.closest(name, names), []
    ports = r.dicts(service, "spec", "ports")
    offered = [
        p for one in ports for p in (r.at(one, "port"), r.text(one, "name"), is_target and r.at(one, "targetPort"))
    ]
    if port is None or port in offered or r.text(service, "spec", "type") == "ExternalName":
        return None
    return name, f"to port {port} of Service {name}, which it does not have", "", [r.at(one, "port") for one in ports]


def _hypothesis(
    scene: Scene, cause: str, route: Object, missing: tuple[str, str, str, list[Any]], port: object
) -> Hypothesis:
    ref = ObjectRef.of(route)
    service, wrong, similar, ports = missing
    words = f"{ref.kind} {ref.name} routes {wrong}." + (f" There is {similar}." if similar else "")
    proof: list[Evidence] = [
        evidence("spec", f"Backend of {ref.kind} {ref.name}", f"service {service} port {port}", obj=bare(ref))
    ]
    when, who = last_change(route, fields="f:spec")
    if who and when and (scene.now - when).total_seconds() < 3600:
        proof.append(evidence("change", f"{ref.kind} {ref.name} was changed", f"by {who}", obj=bare(ref), at=when))
    facts: dict[str, Any] = {"service": service, "port": port, "suggested_service": similar}
    if len(ports) == 1:
        facts["suggested_port"] = ports[0]
    return Hypothesis(cause, ref, 0.92, words, proof, facts, since=when)
