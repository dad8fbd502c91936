"""Services that lead nowhere: selectors that match nothing, endpoints that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from healing.diagnosis import reading as r
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence
from healing.diagnosis.reading import Object
from healing.diagnosis.revisions import last_change
from healing.diagnosis.scene import PATIENCE, Scene, is_over, is_ready
from healing.diagnosis.snapshot import recent
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """ServiceSelectorMismatch, ServiceWithoutEndpoints."""
    for service in scene.snapshot.of_kind("Service"):
        if (
            not scene.covers(r.text(service, "metadata", "namespace"))
            or r.text(service, "spec", "type") == "ExternalName"
        ):
            continue
        selector = r.labels(service, "spec", "selector")
        if not selector:
            found = _by_hand(scene, service)
        elif not _selected(scene, service, selector):
            found = None
            if not scene.calls.backends.get(bare(ObjectRef.of(service, "Service"))):
                found = _nothing_selected(scene, service, selector)
        else:
            found = _not_listed(scene, service, selector)
        if found is not None:
            yield found


def _selected(scene: Scene, service: Object, selector: dict[str, str]) -> list[Object]:
    return scene.selected(r.text(service, "metadata", "namespace"), selector)


def _by_hand(scene: Scene, service: Object) -> Hypothesis | None:
    """A Service without a selector whose endpoints somebody has to write, and nobody has."""
    ref = bare(ObjectRef.of(service, "Service"))
    callers = needed_by(scene, ref)
    if not callers or addresses_of(scene, ref) != 0:
        return None
    words = f"Service {ref.name} has no selector, and nobody has written endpoints for it."
    proof = [evidence("spec", f"Service {ref.name} has no endpoints", "no selector, no addresses", obj=ref)]
    facts = {"service": ref.name, "callers": [c.as_json() for c in callers]}
    affected = {ref, *callers}
    return Hypothesis("ServiceWithoutEndpoints", ObjectRef.of(service, "Service"), 0.85, words, proof, facts, affected)


def _not_listed(scene: Scene, service: Object, selector: dict[str, str]) -> Hypothesis | None:
    """Ready pods that the Service selects, and yet no address: the endpoints are not kept."""
    ref = bare(ObjectRef.of(service, "Service"))
    ready = [p for p in _selected(scene, service, selector) if is_ready(p) and not is_over(p)]
    lasting = [p for p in ready if not recent(_ready_since(p), scene.now, PATIENCE)]
    if not lasting or addresses_of(scene, ref) != 0 or r.at(service, "spec", "publishNotReadyAddresses") is True:
        return None
    words = f"Service {ref.name} has no endpoints although {len(lasting)} of its pods are ready."
    proof = [evidence("status", f"Service {ref.name} has no endpoints", f"{len(lasting)} ready pods", obj=ref)]
    facts = {"service": ref.name, "pods": [r.text(p, "metadata", "name") for p in lasting][:20]}
    affected = {ref, *scene.calls.callers(ref)}
    return Hypothesis("ServiceWithoutEndpoints", ObjectRef.of(service, "Service"), 0.7, words, proof, facts, affected)


def _ready_since(pod: Object) -> datetime | None:
    return r.moment(r.condition(pod, "Ready"), "lastTransitionTime")


def addresses_of(scene: Scene, service: ObjectRef) -> int | None:
    """Addresses in the Service's EndpointSlices or Endpoints; None where the snapshot has none of these kinds."""
    slices = [
        s
        for s in scene.snapshot.of_kind("EndpointSlice", service.namespace)
        if r.text(s, "metadata", "labels", "kubernetes.io/service-name") == service.name
    ]
    if slices:
        return sum(len(r.strings(e, "addresses")) for s in slices for e in r.dicts(s, "endpoints"))
    endpoints = scene.snapshot.get("Endpoints", service.namespace, service.name)
    if endpoints is not None:
        subsets = r.dicts(endpoints, "subsets")
        return sum(len(r.dicts(s, "addresses")) + len(r.dicts(s, "notReadyAddresses")) for s in subsets)
    known = any(scene.snapshot.knows_all(kind, service.namespace) for kind in ("EndpointSlice", "Endpoints"))
    return 0 if known else None


def needed_by(scene: Scene, service: ObjectRef) -> list[ObjectRef]:
    """Workloads and Ingresses that send requests to the Service, sorted."""
    found = {c for c in scene.calls.callers(service) if scene.pods.get(c)}
    for ingress in scene.snapshot.of_kind("Ingress", service.namespace):
        for rule in r.dicts(ingress, "spec", "rules"):
            for path in r.dicts(rule, "http", "paths"):
                if r.text(path, "backend", "service", "name") == service.name:
                    found.add(bare(ObjectRef.of(ingress, "Ingress")))
    return sorted(found)


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
    callers = needed_by(scene, bare(ref))
    changed, who = last_change(service, fields="f:spec")
    proof = [_selects_nothing(service, selector)]
    facts: dict[str, Any] = {"selector": selector, "service": ref.name, "callers": [c.as_json() for c in callers]}
    if best is None or best[0] < 0.6:
        if not callers:
            return None  # a Service nobody calls and nothing stands behind: a leftover, not a fault
        words = f"Service {ref.name} selects no pod, and no workload looks like the one it means: it may be gone."
        affected = {bare(ref), *callers}
        return Hypothesis("ServiceWithoutEndpoints", ref, 0.82, words, proof, facts, affected=affected)
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
