"""NetworkPolicies that block a call some workload is made to do."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import timedelta

from healing.diagnosis import reading as r
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence
from healing.diagnosis.reading import Object
from healing.diagnosis.revisions import last_change
from healing.diagnosis.scene import Scene
from healing.diagnosis.selectors import matches
from healing.diagnosis.snapshot import recent
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

#: what containment puts up must not be taken for the cause
_OURS = "recist.io/"


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """NetworkPolicyBlocking."""
    policies = [p for p in scene.snapshot.of_kind("NetworkPolicy") if not _is_ours(p)]
    if not policies:
        return
    blamed: dict[ObjectRef, Hypothesis] = {}
    for caller, services in scene.calls.services.items():
        if not scene.covers(caller.namespace):
            continue
        for service in services:
            for callee in scene.calls.backends.get(service, ()):
                policy = _blocking(scene, policies, caller, callee, service)
                if policy is None:
                    continue
                found = _hypothesis(scene, policy, caller, callee, service)
                if found is not None and (found.object not in blamed or found.strength > blamed[found.object].strength):
                    blamed[found.object] = found
    yield from blamed.values()
    yield from _without_dns(scene, policies)


def _without_dns(scene: Scene, policies: list[Object]) -> Iterator[Hypothesis]:
    """Egress policies that forget port 53: names are not resolved any more."""
    for caller, containers in scene.containers.items():
        found = next(((c, m) for c in containers for m in scene.matches(c) if m.kind == "UnknownHost"), None)
        labels = _labels(scene, caller)
        if found is None or labels is None:
            continue
        selecting = [
            p
            for p in policies
            if r.text(p, "metadata", "namespace") == caller.namespace
            and "Egress" in _types(p)
            and matches(r.mapping(p, "spec", "podSelector"), labels)
        ]
        if not selecting or any(_allows_dns(p) for p in selecting):
            continue
        policy = max(selecting, key=lambda p: (last_change(p)[0] or scene.now, r.text(p, "metadata", "name")))
        ref = ObjectRef.of(policy, "NetworkPolicy")
        when, who = last_change(policy, fields="f:spec")
        yield Hypothesis(
            "NetworkPolicyBlocking",
            ref,
            0.92,
            f"NetworkPolicy {ref.name}{f', changed last by {who}' if who else ''} does not let {caller.name} ask the"
            " DNS: port 53 is not allowed.",
            [
                evidence("spec", f"NetworkPolicy {ref.name}", _words(policy), obj=bare(ref), at=when),
                *scene.log_evidence(*found)[:1],
            ],
            {"policy": ref.name, "caller": caller.as_json(), "port": 53},
            affected={caller, *scene.around(caller)},
            since=when,
        )


def _allows_dns(policy: Object) -> bool:
    """Whether some rule lets anything out on port 53; to whom is not asked."""
    for rule in r.dicts(policy, "spec", "egress"):
        ports = r.dicts(rule, "ports")
        if not ports or any(_port_fits(p, {53, "dns", "dns-tcp", "domain"}) for p in ports):
            return True
    return False


def _is_ours(policy: Object) -> bool:
    marks = {*r.mapping(policy, "metadata", "labels"), *r.mapping(policy, "metadata", "annotations")}
    return any(mark.startswith(_OURS) for mark in marks)


def _hypothesis(
    scene: Scene, policy: Object, caller: ObjectRef, callee: ObjectRef, service: ObjectRef
) -> Hypothesis | None:
    lines = _complaints(scene, caller, service)
    when, who = last_change(policy, fields="f:spec")
    is_new = recent(when, scene.now, timedelta(hours=1))
    if not lines and not is_new:
        return None  # perhaps the call is never made
    if not lines and not any(not c.is_ready for c in scene.containers.get(caller, ())):
        return None
    ref = ObjectRef.of(policy, "NetworkPolicy")
    proof = [evidence("spec", f"NetworkPolicy {ref.name}", _words(policy), obj=bare(ref), at=when), *lines[:2]]
    by = f", changed last by {who}" if who else ""
    return Hypothesis(
        "NetworkPolicyBlocking",
        ref,
        0.93 if lines and is_new else 0.88 if lines else 0.6,
        f"NetworkPolicy {ref.name}{by} does not let {caller.name} call {callee.name}.",
        proof,
        {"policy": ref.name, "caller": caller.as_json(), "callee": callee.as_json(), "service": service.as_json()},
        affected={service, callee, caller},
        since=when,
    )


def _complaints(scene: Scene, caller: ObjectRef, service: ObjectRef) -> list[Evidence]:
    ip = r.text(scene.snapshot.find(service) or {}, "spec", "clusterIP")
    found = []
    for container in scene.containers.get(caller, ()):
        for match in scene.matches(container):
            host = match.details.get("host", "")
            if match.kind == "Unreachable" and host and (host == ip or host.split(".")[0] == service.name):
                found += scene.log_evidence(container, match)
    return found


def _blocking(
    scene: Scene, policies: list[Object], caller: ObjectRef, callee: ObjectRef, service: ObjectRef
) -> Object | None:
    """A policy that denies the call, when no other allows it."""
    source, target = _labels(scene, caller), _labels(scene, callee)
    if source is None or target is None:
        return None
    ports = _ports(scene, service)
    for direction, subject, subject_ns, peer, peer_ns, who in (
        ("Ingress", target, callee.namespace, source, caller.namespace, caller),
        ("Egress", source, caller.namespace, target, callee.namespace, callee),
    ):
        addresses = _addresses(scene, who)
        selecting = [
            p
            for p in policies
            if r.text(p, "metadata", "namespace") == subject_ns
            and direction in _types(p)
            and matches(r.mapping(p, "spec", "podSelector"), subject)
        ]
        if selecting and not any(
            _allows(scene, p, direction, subject_ns, peer, peer_ns, ports, addresses) for p in selecting
        ):
            return max(selecting, key=lambda p: (last_change(p)[0] or scene.now, r.text(p, "metadata", "name")))
    return None


def _types(policy: Object) -> list[str]:
    found = r.strings(policy, "spec", "policyTypes")
    return found or (["Ingress", "Egress"] if r.at(policy, "spec", "egress") is not None else ["Ingress"])


def _allows(
    scene: Scene,
    policy: Object,
    direction: str,
    namespace: str,
    peer: dict[str, str],
    peer_namespace: str,
    ports: set[int | str],
    addresses: list[str],
) -> bool:
    key, side = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    for rule in r.dicts(policy, "spec", key):
        allowed = r.dicts(rule, "ports")
        if allowed and ports and not any(_port_fits(p, ports) for p in allowed):
            continue
        peers = r.dicts(rule, side)
        if not peers or any(_peer_fits(scene, one, namespace, peer, peer_namespace, addresses) for one in peers):
            return True
    return False


def _port_fits(allowed: Object, ports: set[int | str]) -> bool:
    port, end = r.at(allowed, "port"), r.number(allowed, "endPort")
    if port is None:
        return True
    if isinstance(port, int) and end:
        return any(isinstance(p, int) and port <= p <= end for p in ports)
    return port in ports


def _peer_fits(
    scene: Scene, peer_rule: Object, namespace: str, peer: dict[str, str], peer_namespace: str, addresses: list[str]
) -> bool:
    if "ipBlock" in peer_rule:
        return _in_block(r.mapping(peer_rule, "ipBlock"), addresses)
    pods, spaces = peer_rule.get("podSelector"), peer_rule.get("namespaceSelector")
    if spaces is None:
        if peer_namespace != namespace:
            return False
    else:
        space = scene.snapshot.get("Namespace", "", peer_namespace)
        labels = r.labels(space or {}, "metadata", "labels") | {"kubernetes.io/metadata.name": peer_namespace}
        if not matches(spaces if isinstance(spaces, dict) else {}, labels):
            return False
    return pods is None or matches(pods if isinstance(pods, dict) else {}, peer)


def _in_block(block: Object, addresses: list[str]) -> bool:
    """Whether the block may hold the peer's pods; where nobody knows their addresses: yes, and nobody is accused."""
    try:
        network = ipaddress.ip_network(r.text(block, "cidr"), strict=False)
        but = [ipaddress.ip_network(text, strict=False) for text in r.strings(block, "except")]
        known = [ipaddress.ip_address(text) for text in addresses]
    except ValueError:
        return True
    return not known or any(a in network and not any(a in hole for hole in but) for a in known)


def _addresses(scene: Scene, workload: ObjectRef) -> list[str]:
    return [ip for pod in scene.pods.get(workload, ()) if (ip := r.text(pod, "status", "podIP"))]


def _labels(scene: Scene, workload: ObjectRef) -> dict[str, str] | None:
    obj = scene.snapshot.find(workload)
    return r.template_labels(obj) if obj is not None else None


def _ports(scene: Scene, service: ObjectRef) -> set[int | str]:
    found: set[int | str] = set()
    for port in r.dicts(scene.snapshot.find(service) or {}, "spec", "ports"):
        target = r.at(port, "targetPort")
        found.add(target if isinstance(target, int | str) else r.number(port, "port"))
    named = {p for p in found if isinstance(p, str)}
    for backend in scene.calls.backends.get(service, ()) if named else ():
        for container in r.dicts(r.pod_spec(scene.snapshot.find(backend) or {}), "containers"):
            found |= {r.number(p, "containerPort") for p in r.dicts(container, "ports") if r.text(p, "name") in named}
    return found


def _words(policy: Object) -> str:
    selected = r.mapping(policy, "spec", "podSelector")
    counts = (
        f"{len(r.dicts(policy, 'spec', 'ingress'))} ingress and {len(r.dicts(policy, 'spec', 'egress'))} egress rules"
    )
    return f"selects {r.labels(selected, 'matchLabels') or 'every pod'}; {', '.join(_types(policy))}; {counts}"
