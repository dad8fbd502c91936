"""Ports of Services: a target nobody listens on, the wrong protocol, a port its callers do not know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from healing.diagnosis import reading as r
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence
from healing.diagnosis.reading import Object
from healing.diagnosis.revisions import last_change
from healing.diagnosis.scene import Scene, containers_of, is_ready
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

LISTENING = re.compile(
    r"(?:listen\w*|serving|started|running|bound|ready|bind)\b[^\n]{0,60}?(?:port[ =:]+|:)(?P<port>\d{2,5})\b",
    re.IGNORECASE,
)


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """ServicePortMismatch, ServiceProtocolMismatch."""
    for service in scene.snapshot.of_kind("Service"):
        selector = r.labels(service, "spec", "selector")
        if not selector or not scene.covers(r.text(service, "metadata", "namespace")):
            continue
        ref = bare(ObjectRef.of(service, "Service"))
        ready = [
            p
            for b in sorted(scene.calls.backends.get(ref, ()))
            for p in scene.pods.get(b, ())
            if is_ready(p) and selector.items() <= r.labels(p, "metadata", "labels").items()
        ]
        if ready:  # otherwise the pods are the trouble, not the Service
            yield from _ports(scene, service, ready[0])


def _ports(scene: Scene, service: Object, pod: Object) -> Iterator[Hypothesis]:
    ref = ObjectRef.of(service, "Service")
    declared = [p for c in r.dicts(pod, "spec", "containers") for p in r.dicts(c, "ports")]
    names = {r.text(p, "name"): r.number(p, "containerPort") for p in declared if r.text(p, "name")}
    numbers = {r.number(p, "containerPort") for p in declared}
    changed, who = last_change(service, fields="f:spec")
    changes: list[Evidence] = []
    if who and changed and (scene.now - changed).total_seconds() < 3600:
        changes = [evidence("change", f"Service {ref.name} was changed", f"by {who}", obj=bare(ref), at=changed)]
    for port in r.dicts(service, "spec", "ports"):
        found = _target(scene, service, pod, port, names, numbers) or _protocol(scene, service, port, declared, names)
        if found is None:
            continue
        cause, strength, words, facts = found
        facts["workload"] = bare(scene.snapshot.workload_of(pod)).as_json()
        text = f"port {r.at(port, 'port')}/{_protocol_of(port)} → targetPort {facts['target_port']}\ncontainer ports: "
        text += ", ".join(
            f"{r.text(p, 'name') or '-'} {r.number(p, 'containerPort')}/{_protocol_of(p)}" for p in declared
        )
        proof = [
            evidence("spec", f"Ports of Service {ref.name} and its pods", text, obj=bare(ref)),
            *refused(scene, ref)[:2],
            *changes,
        ]
        yield Hypothesis(cause, ref, strength, words, proof, facts, affected={bare(ref)}, since=changed)


Found = tuple[str, float, str, dict[str, Any]]


def _target(
    scene: Scene, service: Object, pod: Object, port: Object, names: dict[str, int], numbers: set[int]
) -> Found | None:
    ref = ObjectRef.of(service, "Service")
    number = r.number(port, "port")
    target = r.at(port, "targetPort")
    target = number if target is None else target
    facts: dict[str, Any] = {
        "service": ref.name,
        "port": number,
        "port_name": r.text(port, "name"),
        "target_port": target,
    }
    if isinstance(target, str) and not target.isdigit():
        if target in names:
            return None
        right = r.closest(target, list(names), 0.5) or (next(iter(names)) if len(names) == 1 else "")
        facts["suggested_target_port"] = right or (next(iter(numbers)) if len(numbers) == 1 else None)
        words = f"Service {ref.name} sends port {number} to the port named {target}, which the pods do not have."
        strength = 0.95
    elif isinstance(target, int | str) and not isinstance(target, bool):
        asked = int(target)
        complaints = refused(scene, ref)
        heard = set() if numbers else _heard(scene, pod)
        known = numbers or (heard if complaints else set())
        if asked in known or not known or (_uses_port(pod, asked) and not complaints) or asked in _heard(scene, pod):
            return None
        probed = probed_ports(pod) & known
        if not complaints and len(known) > 1 and not probed:
            return None
        facts["suggested_target_port"] = _likely(r.text(port, "name"), number, names, known, probed)
        listening = ", ".join(map(str, sorted(known)))
        words = f"Service {ref.name} sends port {number} to {asked}; the pods listen on {listening}."
        strength = 0.93 if complaints else 0.8
    else:
        return None
    if facts["suggested_target_port"] is not None:
        words += f" {facts['suggested_target_port']} would be right."
    return "ServicePortMismatch", strength, words, facts


def _protocol(
    scene: Scene, service: Object, port: Object, declared: list[Object], names: dict[str, int]
) -> Found | None:
    """The right number, but no container speaks that protocol there."""
    ref = ObjectRef.of(service, "Service")
    target = r.at(port, "targetPort")
    target = r.number(port, "port") if target is None else target
    number = names.get(target, 0) if isinstance(target, str) and not target.isdigit() else target
    spoken = {_protocol_of(p) for p in declared if str(r.number(p, "containerPort")) == str(number)}
    if not spoken or _protocol_of(port) in spoken:
        return None
    others = {
        _protocol_of(p)
        for p in r.dicts(service, "spec", "ports")
        if str(r.at(p, "targetPort") or r.at(p, "port")) == str(target)
    }
    if others & spoken:
        return None  # it serves the port in both protocols; the container declares one
    right = min(spoken)
    facts: dict[str, Any] = {
        "service": ref.name,
        "port": r.number(port, "port"),
        "port_name": r.text(port, "name"),
        "target_port": target,
        "protocol": _protocol_of(port),
        "suggested_protocol": right,
    }
    words = f"Service {ref.name} offers port {facts['port']} as {facts['protocol']}; its pods speak {right} there."
    return "ServiceProtocolMismatch", 0.9 if refused(scene, ref) else 0.84, words, facts


def _protocol_of(port: Object) -> str:
    return r.text(port, "protocol").upper() or "TCP"


def _likely(name: str, number: int, names: dict[str, int], numbers: set[int], probed: set[int]) -> int | None:
    if name in names:
        return names[name]
    if number in numbers:
        return number
    if len(probed) == 1:
        return next(iter(probed))
    return next(iter(numbers)) if len(numbers) == 1 else None


def _heard(scene: Scene, pod: Object) -> set[int]:
    """Ports the pod's programs say they listen on."""
    return {
        int(match["port"])
        for container in containers_of(pod)
        for match in LISTENING.finditer(scene.snapshot.log(pod, container.name)[:20_000])
    }


def probed_ports(pod: Object) -> set[int]:
    """Port numbers that the pod's probes ask, names resolved."""
    found: set[int] = set()
    for container in r.dicts(pod, "spec", "containers"):
        named = {r.text(p, "name"): r.number(p, "containerPort") for p in r.dicts(container, "ports")}
        for key in ("readinessProbe", "livenessProbe", "startupProbe"):
            for how in ("httpGet", "tcpSocket", "grpc"):
                raw = r.at(container, key, how, "port")
                value = named.get(raw) if isinstance(raw, str) else raw
                if isinstance(value, int):
                    found.add(value)
    return found


def _uses_port(pod: Object, port: int) -> bool:
    """The pod says in its probes, env or arguments that it uses the port, though it does not declare it."""
    if port in probed_ports(pod):
        return True
    text = str(port)
    for container in r.dicts(pod, "spec", "containers"):
        values = [
            r.text(e, "value")
            for e in r.dicts(container, "env")
            if any(word in r.text(e, "name").upper() for word in ("PORT", "ADDR", "LISTEN"))
        ]
        words = [*values, *r.strings(container, "command"), *r.strings(container, "args")]
        if any(word.endswith(text) and not word.removesuffix(text)[-1:].isdigit() for word in words):
            return True
    return False


def refused(scene: Scene, service: ObjectRef) -> list[Evidence]:
    """Lines in which callers of the Service say that they cannot connect."""
    found = []
    ip = r.text(scene.snapshot.find(bare(service)) or {}, "spec", "clusterIP")
    names = {service.name, f"{service.name}.{service.namespace}", f"{service.name}.{service.namespace}.svc", ip} - {""}
    for workload in sorted(scene.calls.callers(bare(service))):
        for container in scene.containers.get(workload, ()):
            for match in scene.matches(container):
                host = match.details.get("host", "")
                if match.kind == "Unreachable" and (
                    host in names or host.startswith(f"{service.name}.{service.namespace}.svc")
                ):
                    found += scene.log_evidence(container, match)
    return found
