"""Faults that are changes of other objects: ConfigMaps, Secrets, Services, NetworkPolicies, quotas."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

from healing.sandbox.faults.base import (
    DEVELOPER,
    NAMESPACE,
    ON_WORKLOAD,
    Fault,
    FaultError,
    Outcome,
    Parameter,
    Scene,
    selector_labels,
)
from healing.sandbox.ports import Object

SERVICE = Parameter("service", "string", "name of the Service", required=True)


def config_references(template: Object) -> list[tuple[str, str, str]]:
    """(resource, object name, key) of what the containers' variables take from ConfigMaps and Secrets."""
    found: list[tuple[str, str, str]] = []
    for container in template["spec"].get("containers") or ():
        for entry in container.get("env") or ():
            source: dict[str, Any] = entry.get("valueFrom") or {}
            for field, resource in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
                if field in source and not source[field].get("optional"):
                    found.append((resource, source[field]["name"], source[field]["key"]))
    return found


def missing_config_key(scene: Scene) -> Outcome:
    """A key disappears from a ConfigMap, then the workload is restarted: that is when it shows."""
    resource, name, key = _choose_key(scene)
    owner = scene.cluster.get(resource, scene.namespace, name)
    if owner is None or key not in (owner.get("data") or {}):
        raise FaultError(f"key: {resource}/{name} in {scene.namespace!r} has no key {key!r}")
    value = owner["data"][key]

    def remove(body: Object) -> None:
        del body["data"][key]

    scene.cluster.mutate(resource, scene.namespace, name, remove, user=DEVELOPER)
    restart(scene)

    def undo() -> None:
        def put_back(body: Object) -> None:
            body.setdefault("data", {}).setdefault(key, value)

        if scene.cluster.get(resource, scene.namespace, name) is not None:
            scene.cluster.mutate(resource, scene.namespace, name, put_back, user=DEVELOPER)

    kind = "ConfigMap" if resource == "configmaps" else "Secret"
    target = {"kind": kind, "namespace": scene.namespace, "name": name}
    return target, f"removed the key {key} from {kind} {name} and restarted {scene.params['workload']}", undo


def _choose_key(scene: Scene) -> tuple[str, str, str]:
    _, workload = scene.workload()
    references = config_references(workload["spec"]["template"])
    wanted = scene.params["key"]
    for resource, name, key in references:
        if (not wanted and resource == "configmaps") or key == wanted:
            return resource, name, key
    if wanted and scene.params["config_map"]:
        return "configmaps", str(scene.params["config_map"]), str(wanted)
    known = ", ".join(key for _, _, key in references) or "none"
    raise FaultError(f"key: the workload takes no such key from a ConfigMap or Secret; it takes {known}")


def restart(scene: Scene) -> None:
    """``kubectl rollout restart``."""
    stamp = datetime.fromtimestamp(scene.runtime.clock(), tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def change(template: Object) -> None:
        annotations = template.setdefault("metadata", {}).setdefault("annotations", {})
        annotations["kubectl.kubernetes.io/restartedAt"] = stamp

    scene.change_template(change)


def _edit_service(scene: Scene, change: Any, summary: str) -> Outcome:
    name = str(scene.params["service"])
    service = scene.cluster.get("services", scene.namespace, name)
    if service is None:
        raise FaultError(f"service: no {name!r} in namespace {scene.namespace!r}")
    before = copy.deepcopy(service["spec"])
    after = scene.cluster.mutate("services", scene.namespace, name, change, user=DEVELOPER)["spec"]

    def undo() -> None:
        found = scene.cluster.get("services", scene.namespace, name)
        if found is None or found["spec"] != after:
            return

        def put_back(body: Object) -> None:
            body["spec"] = copy.deepcopy(before)

        scene.cluster.mutate("services", scene.namespace, name, put_back, user=DEVELOPER)

    return {"kind": "Service", "namespace": scene.namespace, "name": name}, summary, undo


def service_selector_typo(scene: Scene) -> Outcome:
    name = str(scene.params["service"])
    service = scene.cluster.get("services", scene.namespace, name)
    selector: dict[str, str] = ((service or {}).get("spec") or {}).get("selector") or {}
    if service is not None and not selector:
        raise FaultError(f"service: {name!r} has no selector to get wrong")
    label = str(scene.params["label"] or next(iter(selector), ""))
    value = str(scene.params["value"] or _slip(selector.get(label, "x")))

    def change(body: Object) -> None:
        body["spec"]["selector"][label] = value

    return _edit_service(scene, change, f"set the selector to {label}={value}")


def _slip(text: str) -> str:
    """Two letters swapped, as fingers do it."""
    for index in range(len(text) - 1, 0, -1):
        if text[index] != text[index - 1]:
            return text[: index - 1] + text[index] + text[index - 1] + text[index + 1 :]
    return text + "s"


def service_wrong_port(scene: Scene) -> Outcome:
    target_port = int(scene.params["target_port"])

    def change(body: Object) -> None:
        for port in body["spec"]["ports"]:
            port["targetPort"] = target_port

    return _edit_service(scene, change, f"set the targetPort to {target_port}")


def network_policy_deny(scene: Scene) -> Outcome:
    _, workload = scene.workload()
    name = str(scene.params["name"])
    direction = str(scene.params["direction"])
    if direction not in ("Ingress", "Egress"):
        raise FaultError(f"direction: {direction!r} is neither Ingress nor Egress")
    body = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": scene.namespace},
        "spec": {"podSelector": {"matchLabels": selector_labels(workload)}, "policyTypes": [direction]},
    }
    resource = "networkpolicies.networking.k8s.io"
    created = scene.cluster.create(resource, scene.namespace, body, user=DEVELOPER)

    def undo() -> None:
        found = scene.cluster.get(resource, scene.namespace, name)
        if found is not None and found["metadata"]["uid"] == created["metadata"]["uid"]:
            scene.cluster.delete(resource, scene.namespace, name, user=DEVELOPER)

    target = {"kind": "NetworkPolicy", "namespace": scene.namespace, "name": name}
    return target, f"denied all {direction.lower()} of {scene.params['workload']}", undo


FAULTS = (
    Fault(
        "missing-config-key", "A key is gone from a ConfigMap or Secret", "change", missing_config_key,
        (
            *ON_WORKLOAD,
            Parameter("key", "string", "the key; the first one the workload takes unless given", default=""),
            Parameter("config_map", "string", "ConfigMap with the key, if no variable names it", default=""),
        ),
    ),
    Fault(
        "service-selector-typo", "A Service selects nothing", "change", service_selector_typo,
        (
            NAMESPACE,
            SERVICE,
            Parameter("label", "string", "label in the selector; the first one unless given", default=""),
            Parameter("value", "string", "the wrong value; a typo unless given", default=""),
        ),
    ),
    Fault(
        "service-wrong-port", "A Service forwards to a port nobody listens on", "change", service_wrong_port,
        (NAMESPACE, SERVICE, Parameter("target_port", "integer", "the wrong port", default=8081)),
    ),
    Fault(
        "network-policy-deny", "A NetworkPolicy cuts a workload off", "change", network_policy_deny,
        (
            *ON_WORKLOAD,
            Parameter("name", "string", "name of the policy", default="default-deny"),
            Parameter("direction", "string", "Ingress or Egress", default="Ingress"),
        ),
    ),
)  # fmt: skip
