"""What cAdvisor says about containers and what programs say about themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache

from healing.sandbox.apps.process import BaseProcess
from healing.sandbox.apps.runtime import AppRuntime
from healing.sandbox.apps.server import BUCKETS, ServerProcess
from healing.sandbox.apps.starting import ReplacedProcess
from healing.sandbox.ports import Cluster, Object
from healing.sandbox.signals.tsdb import Labels, make_labels

Samples = list[tuple[Labels, float]]
_PERIOD_MICROSECONDS = 100_000


@lru_cache(maxsize=400_000)
def _labels(name: str, pairs: tuple[tuple[str, str], ...]) -> Labels:
    return make_labels(name, pairs)


@lru_cache(maxsize=20_000)
def _container_id(pod_uid: str, container: str, restart: int) -> str:
    return hashlib.sha256(f"{pod_uid}/{container}/{restart}".encode()).hexdigest()


def node_address(node: Object) -> str:
    addresses = node.get("status", {}).get("addresses") or []
    return str(next((a["address"] for a in addresses if a.get("type") == "InternalIP"), node["metadata"]["name"]))


def served(process: BaseProcess) -> BaseProcess:
    """The server behind a script that has started one."""
    if isinstance(process, ReplacedProcess) and process.server is not None:
        return process.server
    return process


def cadvisor(cluster: Cluster, runtime: AppRuntime, node: str, processes: Iterable[BaseProcess]) -> Samples:
    """One node's containers."""
    samples: Samples = []
    found = cluster.get("nodes", None, node)
    address = node_address(found) if found else node
    target = (("instance", f"{address}:10250"), ("job", "cadvisor"), ("node", node))
    for process in processes:
        if process.exit is None:
            samples.extend(_container(served(process), runtime, target))
    if found:
        capacity = found.get("status", {}).get("capacity", {})
        samples.append((_labels("machine_cpu_cores", target), cpu(capacity.get("cpu", "0"))))
        samples.append((_labels("machine_memory_bytes", target), memory(capacity.get("memory", "0"))))
    return samples


def _container(
    process: BaseProcess, runtime: AppRuntime, target: tuple[tuple[str, str], ...]
) -> Iterator[tuple[Labels, float]]:
    start, counters = process.start, process.counters
    name = _container_id(start.pod_uid, start.container, start.restart_count)
    quality = "burstable" if start.memory_request_bytes or start.cpu_request_cores else "besteffort"
    image = start.image if "/" in start.image else f"docker.io/library/{start.image}"
    common = (
        *target,
        ("container", start.container),
        ("id", f"/kubepods/{quality}/pod{start.pod_uid}/{name}"),
        ("image", image),
        ("name", name),
        ("namespace", start.namespace),
        ("pod", start.pod_name),
    )
    yield _labels("container_cpu_usage_seconds_total", (*common, ("cpu", "total"))), counters.cpu_seconds
    yield _labels("container_memory_working_set_bytes", common), float(process.memory_bytes)
    yield _labels("container_memory_usage_bytes", common), float(int(process.memory_bytes * 1.06))
    yield _labels("container_memory_rss", common), float(int(process.memory_bytes * 0.92))
    yield _labels("container_spec_memory_limit_bytes", common), float(start.memory_limit_bytes or 0)
    yield _labels("container_start_time_seconds", common), float(int(process.started_at))
    yield _labels("container_last_seen", common), float(int(process.advanced_at))
    ooms = runtime.oom_kills.get((start.pod_uid, start.container), 0)
    yield _labels("container_oom_events_total", common), float(ooms)
    if start.cpu_limit_cores is not None:
        yield _labels("container_cpu_cfs_periods_total", common), float(int(counters.cpu_periods))
        yield _labels("container_cpu_cfs_throttled_periods_total", common), float(int(counters.throttled_periods))
        yield _labels("container_cpu_cfs_throttled_seconds_total", common), counters.throttled_seconds
        yield _labels("container_spec_cpu_quota", common), start.cpu_limit_cores * _PERIOD_MICROSECONDS
        yield _labels("container_spec_cpu_period", common), float(_PERIOD_MICROSECONDS)
    written = float(int(process.disk.ephemeral_bytes))
    yield _labels("container_fs_usage_bytes", (*common, ("device", "/dev/vda1"))), written
    sandbox = (*target, ("interface", "eth0"), ("namespace", start.namespace), ("pod", start.pod_name))
    yield _labels("container_network_receive_bytes_total", sandbox), float(int(counters.received_bytes))
    yield _labels("container_network_transmit_bytes_total", sandbox), float(int(counters.sent_bytes))


def application(process: BaseProcess, service: str) -> Samples:
    """A program's own ``/metrics``; only ``up`` 0 while it does not listen."""
    server = served(process)
    if not isinstance(server, ServerProcess) or not server.ports:
        return []
    start = server.start
    common = (
        ("container", start.container),
        ("endpoint", "http"),
        ("instance", f"{start.pod_ip}:{min(server.ports)}"),
        ("job", service),
        ("namespace", start.namespace),
        ("pod", start.pod_name),
        ("service", service),
    )
    if server.effects.hang:
        return [(_labels("up", common), 0.0)]  # it accepts the scrape and never answers
    if not server.listening():
        return [(_labels("up", common), 0.0)]
    requests = server.requests
    samples: Samples = [
        (_labels("up", common), 1.0),
        (_labels("process_resident_memory_bytes", common), float(server.memory_bytes)),
        (_labels("process_cpu_seconds_total", common), server.counters.cpu_seconds),
        (_labels("process_start_time_seconds", common), server.started_at),
        (
            _labels("http_requests_in_flight", common),
            float(int(server.backlog + server.served_rate * server.own_seconds)),
        ),
    ]
    samples.extend(
        (_labels("http_requests_total", (*common, ("code", code))), float(int(count)))
        for code, count in requests.by_code.items()
    )
    for bound, count in zip(BUCKETS, requests.buckets, strict=True):
        samples.append(
            (_labels("http_request_duration_seconds_bucket", (*common, ("le", f"{bound:g}"))), float(int(count)))
        )
    samples.append(
        (_labels("http_request_duration_seconds_bucket", (*common, ("le", "+Inf"))), float(int(requests.count)))
    )
    samples.append((_labels("http_request_duration_seconds_count", common), float(int(requests.count))))
    samples.append((_labels("http_request_duration_seconds_sum", common), requests.seconds))
    for (variable, cause), count in server.dependency_errors.items():
        pairs = (*common, ("dependency", variable.lower().removesuffix("_url")), ("cause", cause.replace(" ", "_")))
        samples.append((_labels("dependency_errors_total", pairs), float(int(count))))
    return samples


def cpu(text: str | int) -> float:
    """``250m`` or ``2`` as cores."""
    value = str(text)
    return float(value[:-1]) / 1000 if value.endswith("m") else float(value)


_SUFFIXES = {
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "m": 1e-3,
}  # fmt: skip


def memory(text: str | int) -> float:
    """``64Mi`` as bytes; also plain counts."""
    value = str(text)
    for suffix, factor in _SUFFIXES.items():
        if value.endswith(suffix):
            return float(value.removesuffix(suffix)) * factor
    return float(value)
