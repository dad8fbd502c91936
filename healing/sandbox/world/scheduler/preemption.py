"""Making room for a pod of higher priority: whom to send away, and from which node. Pure functions."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from healing.sandbox.world.scheduler import filters
from healing.sandbox.world.scheduler.filters import Attempt, Refusal
from healing.sandbox.world.scheduler.state import ClusterState, NodeInfo, PodInfo


@dataclass(frozen=True, slots=True)
class Plan:
    node: str
    victims: tuple[PodInfo, ...]


def may_preempt(info: PodInfo) -> bool:
    return str(info.pod["spec"].get("preemptionPolicy")) != "Never"


def plan(attempt: Attempt, refusals: Mapping[str, Refusal]) -> Plan | None:
    """The node whose victims matter least: by their highest priority, the sum of priorities, their number."""
    if not may_preempt(attempt.info):
        return None
    found = [
        made
        for name, refusal in refusals.items()
        if refusal.resolvable and (made := _plan_for(attempt, attempt.state.nodes[name])) is not None
    ]
    return min(found, key=_cost, default=None)


def _plan_for(attempt: Attempt, node: NodeInfo) -> Plan | None:
    """Without all pods of lower priority it must fit; then as many as possible stay, the most important first."""
    mine = _priority(attempt.info)
    lower = [info for info in node.pods.values() if _priority(info) < mine]
    if not lower:
        return None
    trial = _without(node, lower)
    if not _fits(attempt, trial):
        return None
    victims = []
    for info in sorted(lower, key=lambda i: (-_priority(i), i.pod["metadata"].get("creationTimestamp") or "")):
        trial.add(info)
        if not _fits(attempt, trial):
            trial.remove(info.pod["metadata"]["uid"])
            victims.append(info)
    return Plan(node.name, tuple(victims)) if victims else None


def _without(node: NodeInfo, gone: Iterable[PodInfo]) -> NodeInfo:
    trial = NodeInfo(node.node, node.allocatable, dict(node.pods), dict(node.used), dict(node.repelling))
    trial.owners = copy.copy(node.owners)
    for info in gone:
        trial.remove(info.pod["metadata"]["uid"])
    return trial


def _fits(attempt: Attempt, trial: NodeInfo) -> bool:
    state = ClusterState()
    state.nodes = {**attempt.state.nodes, trial.name: trial}
    return filters.refusal(replace(attempt, state=state), trial) is None


def _priority(info: PodInfo) -> int:
    return int(info.pod["spec"].get("priority") or 0)


def _cost(made: Plan) -> tuple[int, int, int, str]:
    priorities = [_priority(info) for info in made.victims]
    return max(priorities), sum(priorities), len(priorities), made.node
