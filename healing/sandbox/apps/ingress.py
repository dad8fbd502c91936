"""Traffic from outside by host and path: what Ingresses and HTTPRoutes lead to, and what their controller answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from healing.sandbox.apps.calls import outcome_of
from healing.sandbox.apps.model import Outcome, TrafficSource
from healing.sandbox.apps.program import CallSpec
from healing.sandbox.apps.wiring import Way, Wiring
from healing.sandbox.ports import ApiError, Cluster, Object

INGRESSES, CLASSES = "ingresses.networking.k8s.io", "ingressclasses.networking.k8s.io"
HTTP_ROUTES, GATEWAYS = "httproutes.gateway.networking.k8s.io", "gateways.gateway.networking.k8s.io"
_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_DEFAULT_CLASS = "nginx"
#: the controller's answer for what became of the call behind it
_STATUS = {"timeout": "504", "refused": "502", "sidecar": "503", "upstream": "502"}


@dataclass(frozen=True, slots=True)
class Route:
    """``status`` is set where the controller itself answers, without calling anything."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    service: str = ""
    port: int = 0
    status: str = ""


_NO_ROUTE = Route(status="404")


class Routes:
    """Rules are read again when an object they are made of has changed."""

    def __init__(self, cluster: Cluster, wiring: Wiring) -> None:
        self._cluster = cluster
        self._wiring = wiring
        self._found: dict[tuple[str, str], list[tuple[float, Route]]] = {}
        self._version = -1
        self._stop: list[Callable[[], None]] = []
        for resource in (INGRESSES, CLASSES, HTTP_ROUTES, GATEWAYS):
            self._stop.append(cluster.subscribe(resource, lambda *_: self._found.clear()))

    def find(self, host: str, path: str) -> list[tuple[float, Route]]:
        """(share, route) of a request; the most exact rule wins: host before wildcard, longer path before shorter."""
        if self._version != self._wiring.version:
            self._version = self._wiring.version
            self._found.clear()
        key = (host, path)
        if key not in self._found:
            self._found[key] = self._search(host, path)
        return self._found[key]

    def _search(self, host: str, path: str) -> list[tuple[float, Route]]:
        best: tuple[tuple[int, int, int], list[tuple[float, Route]]] | None = None
        for rank, routes in (*self._of_ingresses(host, path), *self._of_http_routes(host, path)):
            if best is None or rank > best[0]:
                best = (rank, routes)
        return best[1] if best is not None else [(1.0, _NO_ROUTE)]

    # Ingress

    def _of_ingresses(self, host: str, path: str) -> Iterator[tuple[tuple[int, int, int], list[tuple[float, Route]]]]:
        known = {item["metadata"]["name"] for item in self._list(CLASSES)} or {_DEFAULT_CLASS}
        for ingress in self._list(INGRESSES):
            meta, spec = ingress["metadata"], ingress.get("spec") or {}
            wanted = spec.get("ingressClassName") or (meta.get("annotations") or {}).get(_CLASS_ANNOTATION)
            if wanted and wanted not in known:
                continue  # no controller takes it
            if spec.get("defaultBackend"):
                yield (0, 0, 0), [(1.0, self._backend(ingress, spec["defaultBackend"]))]
            for rule in spec.get("rules") or ():
                exact = _host_rank(rule.get("host") or "", host)
                for entry in (rule.get("http") or {}).get("paths") or ():
                    length = _path_rank(entry.get("path") or "/", entry.get("pathType") or "Prefix", path)
                    if exact and length:
                        rank = (exact, length, int(entry.get("pathType") == "Exact"))
                        yield rank, [(1.0, self._backend(ingress, entry.get("backend") or {}))]

    def _backend(self, ingress: Object, backend: Object) -> Route:
        meta, service = ingress["metadata"], backend.get("service") or {}
        name, namespace = str(service.get("name", "")), meta["namespace"]
        route = ("Ingress", namespace, meta["name"], name)
        found = self._cluster.get("services", namespace, name) if name else None
        if found is None:
            return Route(*route, status="503")
        wanted = service.get("port") or {}
        for port in found["spec"].get("ports") or ():
            if port["port"] == wanted.get("number") or (wanted.get("name") and port.get("name") == wanted["name"]):
                return Route(*route, int(port["port"]))
        return Route(*route, status="503")

    # Gateway API

    def _of_http_routes(self, host: str, path: str) -> Iterator[tuple[tuple[int, int, int], list[tuple[float, Route]]]]:
        for item in self._list(HTTP_ROUTES):
            meta, spec = item["metadata"], item.get("spec") or {}
            if not any(self._attached(meta["namespace"], parent) for parent in spec.get("parentRefs") or ()):
                continue
            exact = max((_host_rank(name, host) for name in spec.get("hostnames") or [""]), default=0)
            for rule in spec.get("rules") or ():
                for match in rule.get("matches") or [{}]:
                    wanted = match.get("path") or {}
                    kind = "Exact" if wanted.get("type") == "Exact" else "Prefix"
                    length = _path_rank(wanted.get("value") or "/", kind, path)
                    if exact and length:
                        yield (exact, length, int(kind == "Exact")), list(self._shares(item, rule))

    def _attached(self, namespace: str, parent: Object) -> bool:
        return self._cluster.get(GATEWAYS, parent.get("namespace") or namespace, str(parent.get("name"))) is not None

    def _shares(self, item: Object, rule: Object) -> Iterator[tuple[float, Route]]:
        meta, references = item["metadata"], rule.get("backendRefs") or []
        total = sum(reference.get("weight", 1) for reference in references)
        if not total:
            yield 1.0, Route("HTTPRoute", meta["namespace"], meta["name"], status="500")
            return
        for reference in references:
            namespace = reference.get("namespace") or meta["namespace"]
            service = self._cluster.get("services", namespace, str(reference.get("name")))
            ports = [port["port"] for port in (service or {}).get("spec", {}).get("ports") or ()]
            names = ("HTTPRoute", namespace, meta["name"], str(reference.get("name")))
            good = reference.get("port") in ports
            route = Route(*names, int(reference["port"])) if good else Route(*names, status="500")
            yield reference.get("weight", 1) / total, route

    def _list(self, resource: str) -> list[Object]:
        try:
            return list(self._cluster.list(resource))
        except (ApiError, KeyError):
            return []  # this cluster does not have the kind

    # calls

    def ways(self, host: str, path: str) -> list[Way]:
        return [
            replace(way, share=way.share * share)
            for share, route in self.find(host, path)
            if not route.status
            for way in self._wiring.ways(None, route.namespace, route.service, route.port)
        ]

    def outcome(self, host: str, path: str, timeout_seconds: float) -> tuple[Route, Outcome]:
        """The (first) route and what a request comes to; a cause that is a number is the controller's own status."""
        result = Outcome()
        parts: list[tuple[float, float]] = []
        routes = self.find(host, path)
        for share, route in routes:
            if route.status:
                one = Outcome(1.0, [(1.0, 0.001)], {route.status: 1.0})
            else:
                ways = self._wiring.ways(None, route.namespace, route.service, route.port)
                one = outcome_of(ways, CallSpec(timeout_seconds=timeout_seconds))
                if not any(way.pod for way in ways) and "refused" in one.causes:
                    one.causes = {"503": 1.0}  # nothing stands behind the Service
            result.failed += share * one.failed
            for cause, lost in one.causes.items():
                result.causes[cause] = result.causes.get(cause, 0.0) + share * lost
            parts.extend((share * weight, seconds) for weight, seconds in one.mixture)
        result.mixture = sorted(parts)
        return routes[0][1], result

    @staticmethod
    def count(source: TrafficSource, route: Route, outcome: Outcome, requests: float) -> None:
        """Add to what the controller has answered."""
        key = f"{route.namespace}/{route.name}/{route.service}" if route.name else ""
        shares = {"200": 1 - outcome.failed}
        for cause, share in outcome.causes.items():
            status = cause if cause.isdigit() else _STATUS.get(cause, "502")
            shares[status] = shares.get(status, 0.0) + share
        for status, share in shares.items():
            if share > 1e-6:
                source.answers[key, status] = source.answers.get((key, status), 0.0) + share * requests


def _host_rank(rule: str, host: str) -> int:
    if not rule or rule == "*":
        return 1
    if rule == host:
        return 3
    return 2 if rule.startswith("*.") and host.partition(".")[2] == rule[2:] else 0


def _path_rank(rule: str, kind: str, path: str) -> int:
    """How much of the path the rule names (at least 1), or 0 if it does not match."""
    if kind == "Exact":
        return len(rule) if rule == path else 0
    stem = rule.rstrip("/")
    return max(1, len(stem)) if path == stem or path.startswith(stem + "/") or not stem else 0
