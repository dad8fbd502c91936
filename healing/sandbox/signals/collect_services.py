"""What exporters say beside the programs: clocks of machines, volumes, databases, pools, the ingress controller."""

from __future__ import annotations

from collections.abc import Iterator

from healing.sandbox.apps import pools
from healing.sandbox.apps.address import POOLED
from healing.sandbox.apps.runtime import AppRuntime
from healing.sandbox.apps.server import ServerProcess
from healing.sandbox.ports import Cluster
from healing.sandbox.signals.collect_nodes import Samples
from healing.sandbox.signals.tsdb import Labels, make_labels

_INGRESS = (("instance", "10.42.0.4:10254"), ("job", "ingress-nginx"), ("controller_class", "k8s.io/ingress-nginx"))


def collect(cluster: Cluster, runtime: AppRuntime) -> Samples:
    """All of them, at one moment."""
    return [
        *_clocks(cluster, runtime), *_volumes(runtime), *_databases(runtime), *_pools(runtime), *_ingress(runtime),
    ]  # fmt: skip


def _clocks(cluster: Cluster, runtime: AppRuntime) -> Iterator[tuple[Labels, float]]:
    """node_exporter: how far chrony finds the machine's clock off."""
    for node in cluster.list("nodes"):
        name = node["metadata"]["name"]
        labels = (("instance", f"{name}:9100"), ("job", "node-exporter"), ("node", name))
        skew = runtime.conditions.clock_skew(name)
        yield make_labels("node_timex_offset_seconds", labels), skew
        yield make_labels("node_timex_sync_status", labels), 0.0 if skew else 1.0


def _volumes(runtime: AppRuntime) -> Iterator[tuple[Labels, float]]:
    for (namespace, claim), volume in runtime.volumes.items():
        labels = (("job", "kubelet"), ("namespace", namespace), ("persistentvolumeclaim", claim))
        if volume.capacity_bytes:
            yield make_labels("kubelet_volume_stats_capacity_bytes", labels), volume.capacity_bytes
            left = max(0.0, volume.capacity_bytes - volume.used_bytes)
            yield make_labels("kubelet_volume_stats_available_bytes", labels), float(int(left))
        yield make_labels("kubelet_volume_stats_used_bytes", labels), float(int(volume.used_bytes))


def _databases(runtime: AppRuntime) -> Iterator[tuple[Labels, float]]:
    for server in runtime.servers():
        limit, names = server.account.max_connections, _DATABASE_METRICS.get(server.program.protocol)
        if not limit or names is None or not server.listening():
            continue
        labels = _of(server, "exporter")
        yield make_labels(names[0], labels), float(round(server.connections))
        yield make_labels(names[1], labels), float(limit)


_DATABASE_METRICS = {
    "postgres": ("pg_stat_database_numbackends", "pg_settings_max_connections"),
    "mysql": ("mysql_global_status_threads_connected", "mysql_global_variables_max_connections"),
}


def _pools(runtime: AppRuntime) -> Iterator[tuple[Labels, float]]:
    """HikariCP's own metrics."""
    for group in runtime.traffic.classes if runtime.traffic is not None else ():
        for edge in group.edges:
            if edge.address.protocol not in POOLED:
                continue
            for server in group.members:
                if server.program.language == "java" and server.listening():
                    size = pools.size_of(edge, server)
                    labels = (*_of(server, server.start.container), ("pool", "HikariPool-1"))
                    waiting = edge.waiting / len(group.members)
                    leaked = min(size, server.effects.leaked_connections)
                    active = size if waiting >= 1 else max(leaked, min(size, round(edge.busy / len(group.members))))
                    yield make_labels("hikaricp_connections_max", labels), float(size)
                    yield make_labels("hikaricp_connections_active", labels), float(active)
                    yield make_labels("hikaricp_connections_pending", labels), float(round(waiting))


def _of(server: ServerProcess, job: str) -> tuple[tuple[str, str], ...]:
    start = server.start
    return (
        ("container", start.container), ("instance", f"{start.pod_ip}:9187"), ("job", job),
        ("namespace", start.namespace), ("pod", start.pod_name),
    )  # fmt: skip


def _ingress(runtime: AppRuntime) -> Iterator[tuple[Labels, float]]:
    for source in runtime.traffic.sources if runtime.traffic is not None else ():
        for (route, status), count in source.answers.items():
            namespace, _, rest = route.partition("/")
            ingress, _, service = rest.partition("/")
            labels = (
                *_INGRESS, ("host", source.host), ("path", source.path), ("status", status),
                ("exported_namespace", namespace), ("ingress", ingress), ("exported_service", service),
            )  # fmt: skip
            yield make_labels("nginx_ingress_controller_requests", labels), float(int(count))
