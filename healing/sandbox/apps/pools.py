"""Connection pools of callers: what they hold of a database's limit, and what waiting for one costs a request."""

from __future__ import annotations

import math
from collections import Counter

from healing.sandbox.apps import latency
from healing.sandbox.apps.address import POOLED
from healing.sandbox.apps.model import CallerClass, Edge, Outcome
from healing.sandbox.apps.server import ServerProcess

_BUSY = 0.7  # above this share of its connections in use a pool makes requests wait


def size_of(edge: Edge, process: ServerProcess) -> int:
    """How many connections this process keeps at most."""
    text = process.start.env.get(edge.spec.pool_env, "") if edge.spec.pool_env else ""
    return int(text) if text.isdigit() and int(text) > 0 else edge.spec.pool_size


def settle(group: CallerClass, edge: Edge, outcome: Outcome) -> None:
    """Adds to ``outcome`` what waiting for a connection does, and takes the connections from the servers."""
    if edge.address.protocol not in POOLED or not group.members:
        return
    count = len(group.members)
    rate = sum(member.served_rate for member in group.members) / count * edge.spec.per_request
    seconds = latency.mean(outcome.mixture)
    busy = rate * seconds
    held = waiting = 0.0
    failed, waited = 0.0, 0.0
    kinds = Counter(
        (size_of(edge, m), m.effects.leaked_connections, m.program.language == "java") for m in group.members
    )
    for (size, leaked, fixed), members in kinds.items():
        free = max(0, size - leaked)
        need = size if fixed else min(size, leaked + math.ceil(busy * 1.5) + 1)
        held += members * need
        lost, wait = _queue(busy, free, seconds, edge.spec.pool_timeout_seconds)
        failed += members * lost / count
        waited += members * wait / count
        waiting += members * rate * wait
    edge.connections, edge.waiting, edge.busy = held, waiting, busy * count
    if waited > 0:
        outcome.mixture = [(weight, median + waited) for weight, median in outcome.mixture]
    outcome.fail("pool timeout", failed)
    for way in edge.ways:
        if way.verdict == "ok" and isinstance(way.process, ServerProcess):
            way.process.connections_wanted += held * way.share


def _queue(busy: float, free: int, seconds: float, patience: float) -> tuple[float, float]:
    """(share of requests that give up, mean wait): an M/M/c queue, roughly, whose customers wait ``patience``."""
    if free == 0:
        return 1.0, patience
    load = busy / free
    if load <= _BUSY:
        return 0.0, 0.0
    if load < 0.98:
        return 0.0, min(patience, seconds * load / (1 - load) / free)
    return max(0.0, 1 - 1 / load), patience
