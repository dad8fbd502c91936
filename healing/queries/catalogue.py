"""Every query the product sends, as a template with what it means. ``$name`` stands for a parameter."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from healing.queries import http
from healing.queries.model import NAMESPACES_AT_ONCE, Query, in_namespaces, of_pods
from healing.queries.trends import TRENDS

__all__ = ["CATALOGUE", "NAMESPACES_AT_ONCE", "RATES", "Query", "in_namespaces", "of_pods"]

_WHERE = MappingProxyType({"where": in_namespaces(("shop", "bank"))})

#: Limits come from the pods' own specs, so that no kube-state-metrics is needed. ``irate`` sees a hog at the second
#: scrape; `Thresholds.for_seconds` smooths it. ``max`` and not ``sum``: a container that was restarted leaves its old
#: series behind for a moment.
CONTAINER_CPU = Query(
    "container-cpu",
    'max by (namespace, pod, container) (irate(container_cpu_usage_seconds_total{$where,container!="",'
    'container!="POD"}[2m]))',
    "CPU that each container uses now, to be compared with its limit.",
    "cores",
    ("namespace", "pod", "container"),
    "detection (`HighCpu`), verification",
    example=_WHERE,
)
CONTAINER_MEMORY = Query(
    "container-memory",
    'max by (namespace, pod, container) (container_memory_working_set_bytes{$where,container!="",container!="POD"})',
    "Working set of each container, which is what the kernel's limit is compared with.",
    "bytes",
    ("namespace", "pod", "container"),
    "detection (`HighMemory`), verification",
    example=_WHERE,
)
HTTP_FAMILIES = Query(
    "http-families",
    f'count by (__name__) ({{__name__=~"{"|".join(http.NAMES)}"}})',
    "Which of the metrics that count HTTP requests exist here; only those are asked for afterwards.",
    "series",
    ("__name__",),
    "detection, verification (at most every 15 seconds)",
)
SCRAPED_TWICE = Query(
    "scraped-twice",
    "quantile(0.3, count_over_time($metric[$window]))",
    "Samples in a window: the shortest window that holds two is the newest that a rate can be taken over.",
    "samples",
    (),
    "detection, verification (with the families)",
    example=MappingProxyType({"metric": "http_requests_total", "window": "10s"}),
)
CONTAINER_HISTORY = Query(
    "container-history",
    '{__name__=~"container_memory_working_set_bytes|container_cpu_usage_seconds_total|container_cpu_cfs_periods_total'
    '|container_cpu_cfs_throttled_periods_total",$where,container!=""}',
    "The last 30 minutes of each container's memory, CPU and throttling.",
    "bytes, seconds, periods",
    ("namespace", "pod", "container"),
    "diagnosis (range query)",
    example=MappingProxyType({"where": 'namespace="shop"'}),
)
REQUEST_HISTORY = Query(
    "request-history",
    '{__name__=~"$names",$where}',
    "The last 30 minutes of everything that looks like requests served, by code, and the time they took.",
    "requests, seconds",
    ("namespace", "pod"),
    "diagnosis (range query)",
    example=MappingProxyType({"names": "(?:.*_)?(?:http|grpc).*_(?:total|count|sum)", "where": 'namespace="shop"'}),
)
VOLUME_HISTORY = Query(
    "volume-history",
    '{__name__=~"kubelet_volume_stats_(?:capacity|available|used)_bytes",$where}',
    "How full the claims are.",
    "bytes",
    ("namespace", "persistentvolumeclaim"),
    "diagnosis (range query)",
    example=MappingProxyType({"where": 'namespace="shop"'}),
)
NETWORK_HISTORY = Query(
    "network-history",
    '{__name__=~"container_network_(?:receive|transmit)_(?:packets_dropped|errors)_total",$where}',
    "Packets that pods lose.",
    "packets",
    ("namespace", "pod"),
    "diagnosis (range query)",
    example=MappingProxyType({"where": 'namespace="shop"'}),
)
NODE_HISTORY = Query(
    "node-history",
    '{__name__=~"$names",node=~"$nodes"} or {__name__=~"$names",instance=~"(?:$nodes)(?::[0-9]+)?"}',
    "Clocks, retransmissions and lost packets of the machines that the target and what it calls run on.",
    "seconds, segments, packets",
    ("node", "instance", "device"),
    "diagnosis (range query)",
    example=MappingProxyType({"names": "node_timex_offset_seconds|node_time_seconds", "nodes": "node-1|node-2"}),
)
#: Of virtual devices there is one a pod: the machine's own tell what is wrong with it.
NODE_NAMES = (
    "node_timex_offset_seconds|node_time_seconds|node_netstat_Tcp_RetransSegs"
    "|node_network_(?:receive|transmit)_(?:drop|errs)_total"
)
SCRAPE_INTERVAL = Query(
    "scrape-interval",
    "15 / quantile(0.5, count_over_time(up[15s]))",
    "Seconds between two samples, at most 15: what happened moments ago is asked for in such steps.",
    "seconds",
    (),
    "diagnosis",
)
FIRING_ALERTS = Query(
    "firing-alerts",
    'ALERTS{alertstate="firing",namespace=~"$namespace|"}',
    "Alerts that fire about the namespace, or about no namespace (nodes, volumes).",
    "alerts",
    ("alertname", "namespace", "pod", "node", "service"),
    "diagnosis",
    example=MappingProxyType({"namespace": "shop"}),
)
POD_LOGS = Query(
    "pod-logs",
    "{$where}",
    "The last ten minutes of the lines of the pods that explain a fault.",
    "lines",
    ("namespace", "pod", "container"),
    "diagnosis",
    language="LogQL",
    example=MappingProxyType({"where": 'namespace="shop",pod=~"web-.*"'}),
)


def _of_family(family: http.Family) -> Query:
    if family.is_histogram:
        what = f"How long requests take, as {family.who} measure it."
        labels, unit = (*family.place_labels, "le"), "requests per second"
    else:
        what = f"Requests by status, as {family.who} count them."
        labels, unit = (*family.place_labels, *family.code_labels), "requests per second"
    return Query(
        f"rate-of-{family.name.replace('_', '-')}",
        family.template,
        what,
        unit,
        labels,
        "detection (`HighLatency`), verification"
        if family.is_histogram
        else "detection (`HighErrorRate`), verification",
        example=family.example,
    )


RATES: Mapping[str, Query] = MappingProxyType({family.name: _of_family(family) for family in http.FAMILIES})

CATALOGUE: tuple[Query, ...] = (
    CONTAINER_CPU,
    CONTAINER_MEMORY,
    HTTP_FAMILIES,
    SCRAPED_TWICE,
    *RATES.values(),
    CONTAINER_HISTORY,
    REQUEST_HISTORY,
    VOLUME_HISTORY,
    NETWORK_HISTORY,
    NODE_HISTORY,
    SCRAPE_INTERVAL,
    FIRING_ALERTS,
    *TRENDS,
    POD_LOGS,
)
