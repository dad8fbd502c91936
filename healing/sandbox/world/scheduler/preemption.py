"""Making room for a pod of higher priority: whom to send away, and from which node. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from healing.sandbox.world.scheduler import filters
from healing.sandbox.world.scheduler.filters import Attempt, Refusal
from healing.sandbox.world.scheduler.state import NodeInfo, PodInfo


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
    mine = attempt.info.priority
    lower = [info for info in node.pods.values() if info.priority < mine]
    if not lower:
        return None
    trial = node.changed(without=lower)
    if not _fits(attempt, trial):
        return None
    victims = []
    for info in sorted(lower, key=lambda i: (-i.priority, i.pod["metadata"].get("creationTimestamp") or "")):
        trial.add(info)
        if not _fits(attempt, trial):
            trial.remove(info.uid)
            victims.append(info)
    return Plan(node.name, tuple(victims)) if victims else None


def _fits(attempt: Attempt, trial: NodeInfo) -> bool:
    return filters.refusal(replace(attempt, state=attempt.state.with_node(trial)), trial) is None


def _cost(made: Plan) -> tuple[int, int, int, str]:
    priorities = [info.priority for info in made.victims]
    return max(priorities), sum(priorities), len(priorities), made.node
