"""Services that lead nowhere: selectors, ports, and Ingresses whose backend is not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from healing.diagnosis import reading as r
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence
from healing.diagnosis.reading import Object
from healing.diagnosis.revisions import last_change
from healing.diagnosis.scene import Scene, is_ready
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """ServiceSelectorMismatch, ServicePortMismatch, IngressBackendMissing."""
    for service in scene.snapshot.of_kind("Service"):
        if not scene.covers(r.text(service, "metadata", "namespace")):
            continue
        selector = r.labels(service, "spec", "selector")
        if not selector or r.text(service, "spec", "type") == "ExternalName":
            continue
        pods = _selected(scene, service, selector)
        if not pods and not scene.calls.backends.get(bare(ObjectRef.of(service, "Service"))):
            found = _nothing_selected(scene, service, selector)
            if found is not None:
                yield found
        elif pods:
            yield from _ports(scene, service, pods)
    for ingress in scene.snapshot.of_kind("Ingress"):
        if scene.covers(r.text(ingress, "metadata", "namespace")):
            yield from _ingress(scene, ingress)


def _selected(scene: Scene, service: Object, selector: dict[str, str]) -> list[Object]:
    namespace = r.text(service, "metadata", "namespace")
    pods = scene.snapshot.of_kind("Pod", namespace)
    return [p for p in pods if selector.items() <= r.labels(p, "metadata", "labels").items()]


def _nothing_selected(scene: Scene, service: Object, selector: dict[str, str]) -> Hypothesis | None:
    ref = ObjectRef.of(service, "Service")
    candidates = []
    for workload in scene.snapshot.workloads(ref.namespace):
        labels = r.template_labels(workload)
        if workload.get("kind") in ("Job", "CronJob") or not labels:
            continue
        suggestion = suggest(selector, labels)
        if suggestion is None:
            continue
        likeness = _likeness(ref.name, r.text(workload, "metadata", "name"), selector, labels)
        if _served_already(scene, service, workload):
            likeness -= 0.5
        candidates.append((likeness, r.text(workload, "metadata", "name"), workload, suggestion))
    best = max(candidates, key=lambda c: (c[0], c[1]), default=None)
    callers = sorted(scene.calls.callers(bare(ref)))
    changed, who = last_change(service, fields="f:spec")
    proof = [_selects_nothing(service, selector)]
    facts: dict[str, Any] = {"selector": selector, "service": ref.name, "callers": [c.as_json() for c in callers]}
    if best is None or best[0] < 0.6:
        if not callers:
            return None  # a Service nobody calls and nothing stands behind: a leftover, not a fault
        words = f"Service {ref.name} selects no pod, and no workload looks like the one it means."
        return Hypothesis("ServiceSelectorMismatch", ref, 0.5, words, proof, facts, affected=set(callers))
    likeness, name, workload, suggestion = best
    target = ObjectRef.of(workload)
    facts |= {"suggested_selector": suggestion, "workload": target.as_json()}
    differing = [k for k in selector if suggestion.get(k) != selector[k]]
    wrong = ", ".join(f"{k}={selector[k]}" for k in differing)
    right = ", ".join(f"{k}={v}" for k, v in suggestion.items() if selector.get(k) != v)
    words = f"Service {ref.name} selects {wrong}, which no pod has; the pods of {name} have {right or 'other labels'}."
    if who and changed and (scene.now - changed).total_seconds() < 3600:
        words += f" {who} changed it last."
        proof.append(evidence("change", f"Service {ref.name} was changed", f"by {who}", obj=bare(ref), at=changed))
    strength = min(0.96, 0.72 + 0.2 * likeness + (0.05 if callers else 0))
    return Hypothesis(
        "ServiceSelectorMismatch", ref, strength, words, proof, facts, affected={bare(ref)}, since=changed
    )


def suggest(selector: dict[str, str], labels: dict[str, str]) -> dict[str, str] | None:
    """The selector with as few changes as possible so that it matches ``labels``; None: nothing in common."""
    corrected: dict[str, str] = {}
    for key, value in selector.items():
        if labels.get(key) == value:
            corrected[key] = value
        elif key in labels:
            corrected[key] = labels[key]
        elif similar := r.closest(key, [k for k in labels if k not in selector], 0.6):
            corrected[similar] = labels[similar]
    return corrected or None


def _likeness(service: str, workload: str, selector: dict[str, str], labels: dict[str, str]) -> float:
    """0..1: how surely the Service means this workload."""
    equal = sum(labels.get(k) == v for k, v in selector.items()) / len(selector)
    near = max((r.similarity(v, labels[k]) for k, v in selector.items() if k in labels and labels[k] != v), default=0.0)
    if not near:
        near = max((0.8 * r.similarity(v, w) for v in selector.values() for w in labels.values()), default=0.0)
    names = (
        1.0
        if service == workload
        else 0.85
        if workload.startswith(f"{service}-") or service.startswith(f"{workload}-")
        else r.similarity(service, workload)
    )
    return 0.6 * names + 0.4 * max(equal, near)


def _served_already(scene: Scene, service: Object, workload: Object) -> bool:
    """Another Service selects the workload: this one probably means something else."""
    mine = bare(ObjectRef.of(service, "Service"))
    return any(s != mine and s.name != f"{mine.name}-headless" for s in scene.services_of(ObjectRef.of(workload)))


def _selects_nothing(service: Object, selector: dict[str, str]) -> Evidence:
    ref = bare(ObjectRef.of(service, "Service"))
    text = "selector: " + ", ".join(f"{k}={v}" for k, v in selector.items()) + "\nno pod has these labels"
    return evidence("spec", f"Service {ref.name} has no endpoints", text, obj=ref)


def _ports(scene: Scene, service: Object, pods: list[Object]) -> Iterator[Hypothesis]:
    ref = ObjectRef.of(service, "Service")
    ready = [p for p in pods if is_ready(p)]
    if not ready:
        return  # the pods are the trouble, not the Service
    declared = [p for c in r.dicts(ready[0], "spec", "containers") for p in r.dicts(c, "ports")]
    names = {r.text(p, "name"): r.number(p, "containerPort") for p in declared if r.text(p, "name")}
    numbers = {r.number(p, "containerPort") for p in declared}
    workload = bare(scene.snapshot.workload_of(ready[0]))
    for port in r.dicts(service, "spec", "ports"):
        number = r.number(port, "port")
        target = r.at(port, "targetPort")
        target = number if target is None else target
        facts: dict[str, Any] = {
            "service": ref.name,
            "port": number,
            "port_name": r.text(port, "name"),
            "target_port": target,
            "workload": workload.as_json(),
        }
        if isinstance(target, str) and not target.isdigit():
            if target in names:
                continue
            right = r.closest(target, list(names), 0.5) or (next(iter(names)) if len(names) == 1 else "")
            facts["suggested_target_port"] = right or (next(iter(numbers)) if len(numbers) == 1 else None)
            words = f"Service {ref.name} sends port {number} to the port named {target}, which the pods do not have."
            strength = 0.95
        elif isinstance(target, int | str):
            asked = int(target)
            if asked in numbers or not numbers or _uses_port(ready[0], asked):
                continue
            refused = _refused(scene, ref)
            probed = _probed_ports(ready[0]) & numbers
            if not refused and len(numbers) > 1 and not probed:
                continue
            facts["suggested_target_port"] = _likely(r.text(port, "name"), number, names, numbers, probed)
            listening = ", ".join(map(str, sorted(numbers)))
            words = f"Service {ref.name} sends port {number} to {asked}; the pods listen on {listening}."
            strength = 0.93 if refused else 0.78
        else:
            continue
        if facts["suggested_target_port"] is not None:
            words += f" {facts['suggested_target_port']} would be right."
        text = f"port {number} → targetPort {target}\ncontainer ports: " + ", ".join(
            f"{r.text(p, 'name') or '-'} {r.number(p, 'containerPort')}" for p in declared
        )
        proof = [
            evidence("spec", f"Ports of Service {ref.name} and its pods", text, obj=bare(ref)),
            *_refused(scene, ref)[:2],
        ]
        changed, who = last_change(service, fields="f:spec")
        if who and changed and (scene.now - changed).total_seconds() < 3600:
            proof.append(evidence("change", f"Service {ref.name} was changed", f"by {who}", obj=bare(ref), at=changed))
        yield Hypothesis("ServicePortMismatch", ref, strength, words, proof, facts, affected={bare(ref)}, since=changed)


def _likely(name: str, number: int, names: dict[str, int], numbers: set[int], probed: set[int]) -> int | None:
    if name in names:
        return names[name]
    if number in numbers:
        return number
    if len(probed) == 1:
        return next(iter(probed))
    return next(iter(numbers)) if len(numbers) == 1 else None


def _probed_ports(pod: Object) -> set[int]:
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
    if port in _probed_ports(pod):
        return True
    text = str(port)
    for container in r.dicts(pod, "spec", "containers"):
        values = [
            r.text(e, "value")
            for e in r.dicts(container, "env")
            if "PORT" in r.text(e, "name").upper()
            or "ADDR" in r.text(e, "name").upper()
            or "LISTEN" in r.text(e, "name").upper()
        ]
        words = [*values, *r.strings(container, "command"), *r.strings(container, "args")]
        if any(word.endswith(text) and not word.removesuffix(text)[-1:].isdigit() for word in words):
            return True
    return False


def _refused(scene: Scene, service: ObjectRef) -> list[Evidence]:
    """Lines in which callers of the Service say that they cannot connect."""
    found = []
    ip = r.text(scene.snapshot.find(bare(service)) or {}, "spec", "clusterIP")
    names = {service.name, f"{service.name}.{service.namespace}", f"{service.name}.{service.namespace}.svc", ip} - {""}
    for workload in scene.calls.callers(bare(service)):
        for container in scene.containers.get(workload, ()):
            for match in scene.matches(container):
                host = match.details.get("host", "")
                if match.kind == "Unreachable" and (
                    host in names or host.startswith(f"{service.name}.{service.namespace}.svc")
                ):
                    found += scene.log_evidence(container, match)
    return found


def _ingress(scene: Scene, ingress: Object) -> Iterator[Hypothesis]:
    ref = ObjectRef.of(ingress, "Ingress")
    if not scene.snapshot.knows_all("Service", ref.namespace):
        return
    backends = [r.mapping(ingress, "spec", "defaultBackend", "service")]
    for rule in r.dicts(ingress, "spec", "rules"):
        backends += [r.mapping(path, "backend", "service") for path in r.dicts(rule, "http", "paths")]
    for backend in backends:
        name = r.text(backend, "name")
        if not name:
            continue
        service = scene.snapshot.get("Service", ref.namespace, name)
        names = [r.text(s, "metadata", "name") for s in scene.snapshot.of_kind("Service", ref.namespace)]
        wanted = r.at(backend, "port", "number") or r.at(backend, "port", "name")
        if service is None:
            words, strength = f"Ingress {ref.name} routes to Service {name}, which does not exist.", 0.9
        elif wanted is not None and not any(
            wanted in (r.at(p, "port"), r.at(p, "name")) for p in r.dicts(service, "spec", "ports")
        ):
            words, strength = (
                f"Ingress {ref.name} routes to port {wanted} of Service {name}, which it does not have.",
                0.9,
            )
        else:
            continue
        facts = {"service": name, "port": wanted, "suggested_service": r.closest(name, names)}
        proof = [evidence("spec", f"Backend of Ingress {ref.name}", f"service {name} port {wanted}", obj=bare(ref))]
        yield Hypothesis("IngressBackendMissing", ref, strength, words, proof, facts)
