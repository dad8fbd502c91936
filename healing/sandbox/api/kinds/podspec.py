"""Defaults of pod specs, in pods and in templates."""

from __future__ import annotations

from typing import Any

from healing.sandbox.api.quantity import canonical_quantity
from healing.sandbox.ports import Object

_SECRET_MODE = 420


def default_pod_spec(spec: Object, *, in_template: bool) -> None:
    """Fill in what the API fills in when it reads a pod (or a template)."""
    for container in _containers(spec):
        _default_container(container)
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    if "serviceAccount" in spec and not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    if spec.get("serviceAccountName"):
        # The old name of the field is always written beside the new one.
        spec["serviceAccount"] = spec["serviceAccountName"]
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    if not in_template:
        spec.setdefault("enableServiceLinks", True)
    if spec.get("hostNetwork"):
        for container in _containers(spec):
            for port in container.get("ports") or ():
                port.setdefault("hostPort", port.get("containerPort"))
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    for constraint in spec.get("topologySpreadConstraints") or ():
        constraint.setdefault("maxSkew", 1)
    if "overhead" in spec:
        canonicalize(spec["overhead"])


def _containers(spec: Object) -> list[Object]:
    found = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return [container for container in found if isinstance(container, dict)]


def canonicalize(resources: Any) -> None:
    """Write the quantities of a map in their one form; what is none is left for the checks."""
    for key, value in (resources or {}).items():
        try:
            resources[key] = canonical_quantity(str(value))
        except ValueError:
            continue


def _default_container(container: Object) -> None:
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference is not None:
            reference.setdefault("apiVersion", "v1")
        resource = (variable.get("valueFrom") or {}).get("resourceFieldRef")
        if resource is not None:
            resource.setdefault("divisor", "0")
    resources = container.setdefault("resources", {})
    canonicalize(resources.get("limits"))
    canonicalize(resources.get("requests"))
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            _default_probe(container[name])
    for name in ("postStart", "preStop"):
        http = ((container.get("lifecycle") or {}).get(name) or {}).get("httpGet")
        if http is not None:
            http.setdefault("path", "/")
            http.setdefault("scheme", "HTTP")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = "Always" if _tag(container.get("image") or "") == "latest" else "IfNotPresent"


def _tag(image: str) -> str:
    if "@" in image:
        return ""
    last = image.rpartition("/")[2]
    return last.partition(":")[2] or "latest"


def _default_probe(probe: Object) -> None:
    http = probe.get("httpGet")
    if http is not None:
        http.setdefault("path", "/")
        http.setdefault("scheme", "HTTP")
    if probe.get("grpc") is not None:
        probe["grpc"].setdefault("service", "")
    for name, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        if not probe.get(name):
            probe[name] = value


def _default_volume(volume: Object) -> None:
    for name in ("configMap", "secret", "downwardAPI", "projected"):
        if volume.get(name) is not None:
            volume[name].setdefault("defaultMode", _SECRET_MODE)
    for source in (volume.get("projected") or {}).get("sources") or ():
        token = source.get("serviceAccountToken")
        if token is not None:
            token.setdefault("expirationSeconds", 3600)
    items = list((volume.get("downwardAPI") or {}).get("items") or ())
    for source in (volume.get("projected") or {}).get("sources") or ():
        items += (source.get("downwardAPI") or {}).get("items") or ()
    for item in items:
        if item.get("fieldRef") is not None:
            item["fieldRef"].setdefault("apiVersion", "v1")
    if volume.get("hostPath") is not None:
        volume["hostPath"].setdefault("type", "")
    if set(volume) == {"name"}:
        volume["emptyDir"] = {}


def requests_from_limits(spec: Object) -> None:
    """In a pod (not in a template) a limit without a request is the request too."""
    for container in _containers(spec):
        resources = container.get("resources") or {}
        limits = resources.get("limits")
        if not limits:
            continue
        requests = dict(resources.get("requests") or {})
        for key, value in limits.items():
            requests.setdefault(key, value)
        resources["requests"] = requests
