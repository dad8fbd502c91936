"""node_exporter's basics of each machine, and what the kubelet says of itself."""

from __future__ import annotations

from collections.abc import Sequence

from healing.sandbox.apps.process import BaseProcess
from healing.sandbox.ports import Object
from healing.sandbox.signals.collect_nodes import Samples, cpu, memory, node_address
from healing.sandbox.signals.tsdb import make_labels

#: The machine's own use: system daemons, the kubelet, the container runtime.
_SYSTEM_MEMORY_BYTES = 600 * 2**20
_SYSTEM_CORES = 0.08
_SYSTEM_DISK_SHARE = 0.12
_USER_SHARE = 0.8


class Machines:
    """Counters of machines go on rising when containers go, so they are summed up here."""

    def __init__(self) -> None:
        self._busy_seconds: dict[str, float] = {}
        self._seen: dict[int, float] = {}
        self._since: dict[str, float] = {}

    def collect(self, node: Object, processes: Sequence[BaseProcess], now: float) -> Samples:
        """One machine, scraped now."""
        name, capacity = node["metadata"]["name"], node.get("status", {}).get("capacity", {})
        labels = (("instance", f"{node_address(node)}:9100"), ("job", "node-exporter"), ("node", name))
        cores, total = cpu(capacity.get("cpu", "0")), memory(capacity.get("memory", "0"))
        boot = self._since.setdefault(name, now)
        busy = self._busy(name, processes) + _SYSTEM_CORES * (now - boot)
        used = min(total, _SYSTEM_MEMORY_BYTES + sum(p.memory_bytes for p in processes if p.running))
        modes = {
            "idle": max(0.0, cores * (now - boot) - busy),
            "user": busy * _USER_SHARE,
            "system": busy * (1 - _USER_SHARE),
            "iowait": 0.0,
        }
        samples: Samples = [
            (make_labels("node_boot_time_seconds", labels), float(int(boot))),
            (make_labels("node_time_seconds", labels), now),
            (make_labels("node_load1", labels), _SYSTEM_CORES + sum(p.cpu_cores for p in processes if p.running)),
            (make_labels("node_memory_MemTotal_bytes", labels), total),
            (make_labels("node_memory_MemAvailable_bytes", labels), float(int(total - used))),
            *(
                (make_labels("node_cpu_seconds_total", (*labels, ("cpu", "0"), ("mode", m))), v)
                for m, v in modes.items()
            ),
        ]
        size = memory(capacity.get("ephemeral-storage", "0"))
        if size:
            disk = (*labels, ("device", "/dev/vda1"), ("fstype", "ext4"), ("mountpoint", "/"))
            written = sum(p.disk.ephemeral_bytes for p in processes if p.running)
            left = max(0.0, size * (1 - _SYSTEM_DISK_SHARE) - written)
            samples.append((make_labels("node_filesystem_size_bytes", disk), size))
            samples.append((make_labels("node_filesystem_avail_bytes", disk), float(int(left))))
        return samples

    def _busy(self, name: str, processes: Sequence[BaseProcess]) -> float:
        for process in processes:
            seconds = process.counters.cpu_seconds
            self._busy_seconds[name] = self._busy_seconds.get(name, 0.0) + seconds - self._seen.get(id(process), 0.0)
            self._seen[id(process)] = seconds
        return self._busy_seconds.get(name, 0.0)

    def forget(self, processes: Sequence[BaseProcess]) -> None:
        """Keep only what still runs: an id may be used again."""
        alive = {id(process) for process in processes}
        self._seen = {key: seconds for key, seconds in self._seen.items() if key in alive}


def kubelet(node: Object, processes: Sequence[BaseProcess]) -> Samples:
    """The kubelet's own metrics."""
    name = node["metadata"]["name"]
    labels = (("instance", f"{node_address(node)}:10250"), ("job", "kubelet"), ("node", name))
    running = [process for process in processes if process.running]
    pods = {process.start.pod_uid for process in running}
    return [
        (make_labels("kubelet_node_name", labels), 1.0),
        (make_labels("kubelet_running_pods", labels), float(len(pods))),
        (make_labels("kubelet_running_containers", (*labels, ("container_state", "running"))), float(len(running))),
    ]
