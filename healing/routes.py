"""What Ingresses and HTTPRoutes lead to, and why a backend of theirs leads nowhere. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from healing.ports.cluster import Object


@dataclass(frozen=True, slots=True)
class Backend:
    """A Service that a route names. ``port`` is a number, a name, or None where the route does not say."""

    namespace: str
    service: str
    port: int | str | None


def backends(route: Object) -> list[Backend]:
    """The Services that an Ingress or HTTPRoute sends to, each once; other backends (buckets, weight 0) left out."""
    spec, namespace = route.get("spec") or {}, str((route.get("metadata") or {}).get("namespace") or "")
    find = _of_ingress if route.get("kind") == "Ingress" else _of_http_route
    return list(dict.fromkeys(found for found in find(spec, namespace) if found.service))


def problem(backend: Backend, service: Object | None) -> str:
    """Why nothing answers there: ``Service x, which does not exist``; empty: something may. ``service`` is the one of
    the backend's name, None where there is none."""
    if service is None:
        return f"Service {backend.service}, which does not exist"
    spec = service.get("spec") or {}
    ports = spec.get("ports") or ()
    offered = [value for port in ports for value in (port.get("port"), port.get("name")) if value]
    if backend.port is None or backend.port in offered or spec.get("type") == "ExternalName":
        return ""
    known = ", ".join(str(port.get("port")) for port in ports) or "none"
    return f"port {backend.port} of Service {backend.service}, which it does not have (it has: {known})"


def _of_ingress(spec: Object, namespace: str) -> Iterator[Backend]:
    paths = [path for rule in spec.get("rules") or () for path in (rule.get("http") or {}).get("paths") or ()]
    for backend in [spec.get("defaultBackend") or {}, *((path.get("backend") or {}) for path in paths)]:
        service = backend.get("service") or {}
        port = service.get("port") or {}
        # ingress controllers read a name of this kind from annotations, not from a Service's ports
        name = None if port.get("name") == "use-annotation" else port.get("name")
        if port.get("name") != "use-annotation":
            yield Backend(namespace, str(service.get("name") or ""), port.get("number") or name)


def _of_http_route(spec: Object, namespace: str) -> Iterator[Backend]:
    for rule in spec.get("rules") or ():
        for ref in rule.get("backendRefs") or ():
            is_service = ref.get("kind") in (None, "Service") and not ref.get("group")
            if is_service and ref.get("weight") != 0:
                yield Backend(str(ref.get("namespace") or namespace), str(ref.get("name") or ""), ref.get("port"))
