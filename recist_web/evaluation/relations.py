"""Which objects belong to a fault: its own, those that it touches by Kubernetes' references, those said to suffer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from healing.sandbox.ports import Object
from healing.sandbox.scenarios import Expectation, Scenario

#: ``{"kind", "namespace", "name"}``; what is empty matches everything
Ref = dict[str, str]
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
#: what holds for everything in a namespace
_OF_A_NAMESPACE = frozenset({"ResourceQuota", "LimitRange", "Namespace"})
#: what may be under everything
_OF_THE_CLUSTER = frozenset({"Node", "StorageClass", "PersistentVolume"})
#: of a pod's spec: where a name of this kind stands
_REFERENCES: Mapping[str, tuple[str, ...]] = {
    "ConfigMap": ("configMap.name", "configMapRef.name", "configMapKeyRef.name"),
    "Secret": ("secret.secretName", "secretRef.name", "secretKeyRef.name", "imagePullSecrets.name", "secret.name"),
    "PersistentVolumeClaim": ("persistentVolumeClaim.claimName",),
    "ServiceAccount": ("serviceAccountName", "serviceAccount"),
}


def ref(kind: str, namespace: str = "", name: str = "") -> Ref:
    return {"kind": kind, "namespace": namespace, "name": name}


def related(scenario: Scenario, expectation: Expectation) -> list[Ref]:
    """The expected object first, then everything an event may be about because of it."""
    objects = _objects(scenario)
    cause = expectation.object
    found: list[Ref] = []
    if cause:
        found.append(ref(cause["kind"], cause.get("namespace", ""), cause.get("name", "")))
        found += _touched(found[0], objects)
    found += [ref(r["kind"], r.get("namespace", ""), r["name"]) for r in expectation.also_affected]
    for text in expectation.well_services:
        namespace, _, name = text.partition("/")
        found.append(ref("Service", namespace, name))
    for text in expectation.well_workloads:
        namespace, _, name = text.partition("/")
        found += [r for r in map(_ref_of, objects) if r["kind"] in _WORKLOADS and _is(r, namespace, name)]
    return _unique(found)


def _is(reference: Ref, namespace: str, name: str) -> bool:
    return (reference["namespace"], reference["name"]) == (namespace, name)


def _touched(cause: Ref, objects: list[Object]) -> Iterator[Ref]:
    kind, namespace, name = cause["kind"], cause["namespace"], cause["name"]
    if kind in _OF_THE_CLUSTER or namespace.startswith("kube-"):
        yield from (r for r in map(_ref_of, objects) if r["kind"] in (*_WORKLOADS, "Service"))
        return
    for live in objects:
        here = _ref_of(live)
        if kind == "Namespace" and here["namespace"] == name and here["kind"] in (*_WORKLOADS, "Service"):
            yield here
        if here["namespace"] != namespace:
            continue
        if here["kind"] in _WORKLOADS:
            if kind in _OF_A_NAMESPACE or _uses(live, kind, name) or _selects_from(cause, objects, live):
                yield here
        elif here["kind"] == "Service":
            if any(_selects(live, w) for w in _named(objects, cause)) or _is_backend(cause, objects, here["name"]):
                yield here
        elif here["kind"] == "HorizontalPodAutoscaler" and _scales(live, kind, name):
            yield here


def _uses(workload: Object, kind: str, name: str) -> bool:
    places = _REFERENCES.get(kind, ())
    spec = _pod_spec(workload)
    if kind == "PersistentVolumeClaim" and workload["kind"] == "StatefulSet":
        templates = workload.get("spec", {}).get("volumeClaimTemplates") or ()
        own = str(workload["metadata"]["name"])
        if any(name.startswith(f"{t.get('metadata', {}).get('name', '')}-{own}-") for t in templates):
            return True
    return any(path.endswith(place) and value == name for path, value in _strings(spec) for place in places)


def _strings(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(dotted path without list positions, text)."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _strings(each, f"{path}.{key}")
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each, path)


def _selects_from(cause: Ref, objects: list[Object], workload: Object) -> bool:
    """Whether the object (a Service, NetworkPolicy, budget or autoscaler) is about this workload."""
    for live in _named(objects, cause):
        if cause["kind"] in ("Service", "NetworkPolicy", "PodDisruptionBudget") and _selects(live, workload):
            return True
        if cause["kind"] == "HorizontalPodAutoscaler":
            here = workload["metadata"]["name"]
            return _scales(live, workload["kind"], here)
    return False


def _selects(selecting: Object, workload: Object) -> bool:
    spec = selecting.get("spec") or {}
    selector = spec.get("selector") if selecting["kind"] != "NetworkPolicy" else spec.get("podSelector")
    if selector is None or workload["kind"] not in _WORKLOADS:
        return False
    wanted = selector.get("matchLabels", {}) if "matchLabels" in selector or not _is_flat(selector) else selector
    labels = _template(workload).get("metadata", {}).get("labels") or {}
    if selecting["kind"] == "Service" and not wanted:
        return False
    return all(labels.get(key) == value for key, value in wanted.items())


def _is_flat(selector: Mapping[str, Any]) -> bool:
    return all(isinstance(value, str) for value in selector.values())


def _scales(autoscaler: Object, kind: str, name: str) -> bool:
    target = (autoscaler.get("spec") or {}).get("scaleTargetRef") or {}
    return (target.get("kind"), target.get("name")) == (kind, name)


def _is_backend(cause: Ref, objects: list[Object], service: str) -> bool:
    if cause["kind"] not in ("Ingress", "HTTPRoute", "Gateway"):
        return False
    return any(value == service for live in _named(objects, cause) for _, value in _strings(live.get("spec")))


def _named(objects: Iterable[Object], reference: Ref) -> list[Object]:
    return [live for live in objects if _ref_of(live) == reference]


def _objects(scenario: Scenario) -> list[Object]:
    applied = [m for step in scenario.timeline if step.action == "apply" for m in step.body]
    return [*scenario.manifests, *applied]


def _ref_of(live: Object) -> Ref:
    meta = live["metadata"]
    return ref(str(live["kind"]), str(meta.get("namespace") or ""), str(meta["name"]))


def _template(workload: Object) -> Object:
    spec = workload.get("spec") or {}
    if workload["kind"] == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    template: Object = spec.get("template") or {}
    return template


def _pod_spec(workload: Object) -> Object:
    spec: Object = _template(workload).get("spec") or {}
    return spec


def _unique(refs: Iterable[Ref]) -> list[Ref]:
    return list({tuple(sorted(r.items())): r for r in refs}.values())
