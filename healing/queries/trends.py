"""What forecasts ask for: how full things have been, and how much they hold."""

from __future__ import annotations

from types import MappingProxyType

from healing.queries.model import Query, in_namespaces

_WHERE = MappingProxyType({"where": in_namespaces(("shop", "bank"))})
_USED_BY = "forecasts"

MEMORY_LIMIT = Query(
    "memory-limit",
    'max by (namespace, pod, container) (container_spec_memory_limit_bytes{$where,container!="",container!="POD"}) > 0',
    "The memory limit of each container that has one.",
    "bytes",
    ("namespace", "pod", "container"),
    _USED_BY,
    example=_WHERE,
)
VOLUME_USED = Query(
    "volume-used",
    "max by (namespace, persistentvolumeclaim) (kubelet_volume_stats_used_bytes{$where})",
    "What is on each claim's volume.",
    "bytes",
    ("namespace", "persistentvolumeclaim"),
    _USED_BY,
    example=_WHERE,
)
VOLUME_CAPACITY = Query(
    "volume-capacity",
    "max by (namespace, persistentvolumeclaim) (kubelet_volume_stats_capacity_bytes{$where}) > 0",
    "How much each claim's volume holds.",
    "bytes",
    ("namespace", "persistentvolumeclaim"),
    _USED_BY,
    example=_WHERE,
)
QUOTA_USED = Query(
    "quota-used",
    'max by (namespace, resourcequota, resource) (kube_resourcequota{$where,type="used"})',
    "What of each ResourceQuota is used (needs kube-state-metrics).",
    "as the resource",
    ("namespace", "resourcequota", "resource"),
    _USED_BY,
    example=_WHERE,
)
QUOTA_HARD = Query(
    "quota-hard",
    'max by (namespace, resourcequota, resource) (kube_resourcequota{$where,type="hard"}) > 0',
    "How much each ResourceQuota allows (needs kube-state-metrics).",
    "as the resource",
    ("namespace", "resourcequota", "resource"),
    _USED_BY,
    example=_WHERE,
)
CONTAINER_STARTS = Query(
    "container-starts",
    'max by (namespace, pod, container) (container_start_time_seconds{$where,container!="",container!="POD"})',
    "When each container was started: every new value is a restart.",
    "seconds since the epoch",
    ("namespace", "pod", "container"),
    _USED_BY,
    example=_WHERE,
)
CERTIFICATE_NAMES = (
    "certmanager_certificate_expiration_timestamp_seconds",
    "x509_cert_not_after",
    "nginx_ingress_controller_ssl_expire_time_seconds",
)
CERTIFICATES = Query(
    "certificate-ends",
    f'{{__name__=~"{"|".join(CERTIFICATE_NAMES)}"}}',
    "When certificates end, as cert-manager, x509-certificate-exporter or ingress-nginx say.",
    "seconds since the epoch",
    ("namespace", "exported_namespace", "secret_namespace", "name", "secret_name"),
    _USED_BY,
)

TRENDS = (
    MEMORY_LIMIT,
    VOLUME_USED,
    VOLUME_CAPACITY,
    QUOTA_USED,
    QUOTA_HARD,
    CONTAINER_STARTS,
    CERTIFICATES,
)
