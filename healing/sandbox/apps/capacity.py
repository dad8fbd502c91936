"""How the CPU of a node is shared among its processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from healing.sandbox.apps.server import ServerProcess


def capacities(servers: Iterable[ServerProcess], node_cores: Callable[[str], float]) -> dict[int, float]:
    """Cores each process (by ``id``) may use: its limit, and on a crowded node its share by request."""
    by_node: dict[str, list[ServerProcess]] = {}
    for process in servers:
        by_node.setdefault(process.start.node_name, []).append(process)
    result: dict[int, float] = {}
    for node, members in by_node.items():
        cores = node_cores(node)
        wanted = {id(p): _demand(p) for p in members}
        crowded = sum(wanted.values()) > cores
        weights = sum(max(p.start.cpu_request_cores, 0.002) for p in members if wanted[id(p)] > 0.01) or 1.0
        for process in members:
            limit = process.start.cpu_limit_cores
            most = min(limit, cores) if limit is not None else cores
            if crowded:
                fair = cores * max(process.start.cpu_request_cores, 0.002) / weights
                most = min(most, max(fair, min(wanted[id(process)], 0.01)))
            result[id(process)] = most
    return result


def _demand(process: ServerProcess) -> float:
    """A guess from the last tick, enough to see a crowded node coming."""
    limit = process.start.cpu_limit_cores
    own = process.program.base_cpu_cores + process.effects.cpu_cores
    wanted = own + process.rate * process.program.cpu_seconds_per_request
    return min(wanted, limit) if limit is not None else wanted
