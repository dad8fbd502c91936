"""The PromQL that thresholds are judged by. docs/metrics.md lists these texts and a test compares them.

Limits come from the pods' own specs, so that no kube-state-metrics is needed. ``irate`` sees a hog at the second
scrape; `Thresholds.for_seconds` smooths it. ``max`` and not ``sum``: a container that was restarted leaves its old
series behind for a moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

CPU = "cpu"
MEMORY = "memory"
LATENCY = "latency"
REQUESTS = "requests"

#: ``$namespaces`` stands for a regular expression of the policies' namespaces.
TEMPLATES = MappingProxyType(
    {
        CPU: (
            "max by (namespace, pod, container) "
            '(irate(container_cpu_usage_seconds_total{namespace=~"$namespaces",container!="",container!="POD"}[2m]))'
        ),
        MEMORY: (
            "max by (namespace, pod, container) "
            '(container_memory_working_set_bytes{namespace=~"$namespaces",container!="",container!="POD"})'
        ),
        LATENCY: (
            'sum by (namespace, pod, le) (rate(http_request_duration_seconds_bucket{namespace=~"$namespaces"}[1m]))'
        ),
        REQUESTS: (
            "sum by (namespace, pod, code, status, status_code) "
            '(rate(http_requests_total{namespace=~"$namespaces"}[1m]))'
        ),
    }
)

#: Namespaces asked for in one query: a regular expression has to stay of a size that a server takes.
BATCH = 100


def promql(name: str, namespaces: Sequence[str]) -> str:
    """The query for these namespaces (DNS labels: nothing in them has to be escaped)."""
    return TEMPLATES[name].replace("$namespaces", "|".join(sorted(namespaces)))
