"""Prometheus and Loki of a cluster: reachable, and what they hold of what we ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from healing.ports import get_ports
from healing.ports.errors import Forbidden, SourceError, Unauthorized
from healing.queries import catalogue, http, trends
from recist_web.doctor.report import Finding, error, ok, warning

_SECONDS = 8.0
#: What is needed of Prometheus, by what it is for.
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "high CPU and memory": ("container_cpu_usage_seconds_total", "container_memory_working_set_bytes"),
    "forecasts of memory": ("container_spec_memory_limit_bytes",),
    "forecasts of volumes": ("kubelet_volume_stats_used_bytes", "kubelet_volume_stats_capacity_bytes"),
    "forecasts of quotas": ("kube_resourcequota",),
    "forecasts of restarts": ("container_start_time_seconds",),
}
_CERTIFICATES = trends.CERTIFICATE_NAMES


def prometheus(name: str) -> Iterator[Finding]:
    part = f"cluster {name}: Prometheus"
    metrics = get_ports(name).metrics
    if metrics is None:
        yield warning(part, "None is configured: CPU, memory, latency, errors are not watched.", "Set PROMETHEUS_URL.")
        return
    names = [metric for metrics_of in _NEEDED.values() for metric in metrics_of]
    query = f'count by (__name__) ({{__name__=~"{"|".join((*names, *_CERTIFICATES))}"}})'
    try:
        there = {sample.labels.get("__name__", "") for sample in metrics.query(query, timeout_seconds=_SECONDS)}
        families = metrics.query(catalogue.HTTP_FAMILIES.text(), timeout_seconds=_SECONDS)
        times = metrics.query("time()", timeout_seconds=_SECONDS)
    except SourceError as problem:
        yield error(part, str(problem), _advice(problem, "PROMETHEUS"))
        return
    yield ok(part, "answers")
    for what, needed in _NEEDED.items():
        missing = [metric for metric in needed if metric not in there]
        if missing:
            yield warning(part, f"For {what} it lacks {', '.join(missing)}.", "docs/metrics.md says who exports it.")
    if not there.intersection(_CERTIFICATES):
        yield warning(part, "For forecasts of certificates it has no exporter's metric.", "See docs/forecasts.md.")
    known = sorted({sample.labels.get("__name__", "") for sample in families})
    if known:
        yield ok(part, f"requests are counted by {', '.join(known[:6])}")
    else:
        yield warning(
            part,
            f"No metric counts requests (none of {len(http.NAMES)} names): latency and errors are not watched.",
            "docs/metrics.md lists the names.",
        )
    if times and abs(times[0].value - datetime.now(UTC).timestamp()) > 15:
        yield warning(part, "Its clock is off ours by more than 15 s.", "Let NTP set the clocks of all machines.")


def loki(name: str) -> Iterator[Finding]:
    part = f"cluster {name}: Loki"
    logs = get_ports(name).logs
    if logs is None:
        yield ok(part, "none is configured; logs are read through the Kubernetes API")
        return
    now = datetime.now(UTC)
    try:
        lines = logs.query_range(
            '{namespace=~".+"}', start=now - timedelta(minutes=15), end=now, limit=20, timeout_seconds=_SECONDS
        )
    except SourceError as problem:
        yield error(part, str(problem), _advice(problem, "LOKI"))
        return
    if not lines:
        yield warning(
            part,
            "It answers, and has no line with the label `namespace` of the last 15 minutes.",
            "Have the collector set the labels namespace, pod and container.",
        )
        return
    missing = {"namespace", "pod", "container"} - {label for line in lines for label in line.labels}
    if missing:
        yield warning(part, f"Its lines lack the labels {', '.join(sorted(missing))}.", "Set them in the collector.")
    else:
        yield ok(part, "answers, with the labels we read by")


def _advice(problem: SourceError, what: str) -> str:
    if isinstance(problem, Unauthorized | Forbidden):
        return f"See to {what}_TOKEN_FILE, {what}_USERNAME and {what}_HEADERS (docs/configuration.md)."
    return f"Is {what}_URL right, and does it run? Set it to off to do without."
