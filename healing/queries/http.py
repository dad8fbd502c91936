"""The metrics that count HTTP and gRPC requests, under the names and labels that frameworks and meshes give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_PODS = ("namespace", "pod")
#: An ingress controller's own ``namespace`` and ``service`` are where it runs itself; without ``honorLabels`` its
#: metrics' labels of these names get the prefix.
_BACKENDS = ("exported_namespace", "exported_service")
_HONORED = ("namespace", "service")


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. Earlier ones in `FAMILIES` are preferred where a workload is counted by several.

    ``place_labels``: what tells where the requests were served: a pod, or a Service.
    """

    name: str
    who: str
    place_labels: tuple[str, ...] = _PODS
    #: the first that is set holds the status; empty for a histogram
    code_labels: tuple[str, ...] = ()
    #: further matchers, with a leading comma
    only: str = ""
    #: one of ``le`` in seconds; 0: no histogram
    bucket_seconds: float = 0.0

    @property
    def is_histogram(self) -> bool:
        return self.bucket_seconds > 0

    @property
    def is_of_services(self) -> bool:
        """Whether it tells Services and not pods."""
        return self.place_labels != _PODS

    @property
    def template(self) -> str:
        """Parameters: ``window``, and ``where`` (of pods: matchers) or ``namespaces`` (of Services: an expression)."""
        labels = ", ".join((*self.place_labels, *(("le",) if self.is_histogram else self.code_labels)))
        if self.place_labels == _BACKENDS:
            own = labels.replace("exported_", "")
            exported = f'sum by ({labels}) (rate({self.name}{{exported_namespace=~"$namespaces"{self.only}}}[$window]))'
            honored = f'{self.name}{{exported_namespace="",namespace=~"$namespaces"{self.only}}}'
            return f"{exported} or sum by ({own}) (rate({honored}[$window]))"
        if self.place_labels == ("service",):
            where = f'service=~"(?:$namespaces)-.+"{self.only}'
        else:
            where = f"$where{self.only}"
        return f"sum by ({labels}) (rate({self.name}{{{where}}}[$window]))"

    @property
    def example(self) -> Mapping[str, str]:
        where = {"namespaces": "bank|shop"} if self.is_of_services else {"where": 'namespace=~"bank|shop"'}
        return MappingProxyType({**where, "window": "30s"})


_CODES = ("code", "status", "status_code")
_INBOUND = ',reporter="destination"'
_SERVED = ',direction="inbound"'

FAMILIES: tuple[Family, ...] = (
    Family("http_requests_total", "most client libraries", code_labels=_CODES),
    Family("http_server_requests_seconds_count", "Spring Boot and Quarkus", code_labels=("status",)),
    Family(
        "http_server_request_duration_seconds_count",
        "OpenTelemetry's SDKs",
        code_labels=("http_response_status_code", "http_status_code", *_CODES),
    ),
    Family("http_server_duration_milliseconds_count", "older OpenTelemetry SDKs", code_labels=("http_status_code",)),
    Family("http_requests_received_total", ".NET (prometheus-net)", code_labels=("code",)),
    Family("http_request_duration_seconds_count", "Express, Go and .NET", code_labels=_CODES),
    Family("flask_http_request_total", "Flask", code_labels=("status",)),
    Family("starlette_requests_total", "Starlette", code_labels=("status_code",)),
    Family("django_http_responses_total_by_status_total", "Django", code_labels=("status",)),
    Family("grpc_server_handled_total", "gRPC servers", code_labels=("grpc_code",)),
    Family("istio_requests_total", "Istio's sidecars", code_labels=("response_code",), only=_INBOUND),
    Family("response_total", "Linkerd's sidecars", code_labels=("status_code",), only=_SERVED),
    Family("envoy_http_downstream_rq_xx", "Envoy", code_labels=("envoy_response_code_class",)),
    Family("nginx_ingress_controller_requests", "ingress-nginx", _BACKENDS, code_labels=("status",)),
    Family("traefik_service_requests_total", "Traefik", ("service",), code_labels=("code",)),
    Family("http_request_duration_seconds_bucket", "most client libraries", bucket_seconds=1.0),
    Family("http_server_requests_seconds_bucket", "Spring Boot and Quarkus", bucket_seconds=1.0),
    Family("http_server_request_duration_seconds_bucket", "OpenTelemetry's SDKs", bucket_seconds=1.0),
    Family("http_server_duration_milliseconds_bucket", "older OpenTelemetry SDKs", bucket_seconds=0.001),
    Family("flask_http_request_duration_seconds_bucket", "Flask", bucket_seconds=1.0),
    Family("starlette_request_duration_seconds_bucket", "Starlette", bucket_seconds=1.0),
    Family("django_http_requests_latency_seconds_by_view_method_bucket", "Django", bucket_seconds=1.0),
    Family("grpc_server_handling_seconds_bucket", "gRPC servers", bucket_seconds=1.0),
    Family("istio_request_duration_milliseconds_bucket", "Istio's sidecars", only=_INBOUND, bucket_seconds=0.001),
    Family("response_latency_ms_bucket", "Linkerd's sidecars", only=_SERVED, bucket_seconds=0.001),
    Family("envoy_http_downstream_rq_time_bucket", "Envoy", bucket_seconds=0.001),
    Family("nginx_ingress_controller_request_duration_seconds_bucket", "ingress-nginx", _BACKENDS, bucket_seconds=1.0),
    Family("traefik_service_request_duration_seconds_bucket", "Traefik", ("service",), bucket_seconds=1.0),
)
#: Names that show whether a family is there; of a histogram its count, which has far fewer series than its buckets.
NAMES: tuple[str, ...] = tuple(
    dict.fromkeys(
        f"{family.name.removesuffix('_bucket')}_count" if family.is_histogram else family.name for family in FAMILIES
    )
)

_GRPC_FAILURES = frozenset(
    {"Unknown", "DeadlineExceeded", "ResourceExhausted", "Internal", "Unavailable", "DataLoss", "Unimplemented"}
)


def status_of(family: Family, labels: Mapping[str, str]) -> str:
    """The status of the requests of one series; empty: it does not say."""
    return next((labels[name] for name in family.code_labels if labels.get(name)), "")


def is_failure(status: str) -> bool:
    """Whether the server failed: ``500``, ``5xx``, ``5``, or gRPC's names for it."""
    return (status[:1] == "5" and len(status) <= 3) or status in _GRPC_FAILURES


def place_of(family: Family, labels: Mapping[str, str], namespaces: frozenset[str]) -> tuple[str, str, str] | None:
    """(kind, namespace, name) of the pod or Service that served; None: it cannot be told."""
    if not family.is_of_services:
        namespace, name = labels.get("namespace", ""), labels.get("pod", "")
        return ("Pod", namespace, name) if name else None
    if family.place_labels == _BACKENDS:
        namespace = labels.get("exported_namespace") or labels.get("namespace", "")
        name = labels.get("exported_service") or labels.get("service", "")
        return ("Service", namespace, name) if name and namespace in namespaces else None
    # Traefik's Kubernetes providers: namespace-service-port@provider
    text = labels.get("service", "").partition("@")[0]
    for namespace in sorted(namespaces, key=len, reverse=True):
        if text.startswith(f"{namespace}-"):
            return "Service", namespace, text.removeprefix(f"{namespace}-").rpartition("-")[0] or text
    return None
