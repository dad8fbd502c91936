"""How fast an autoscaler may go: ``behavior`` with its policies and stabilization windows. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from healing.sandbox.ports import Object

#: (time, replicas)
History = Sequence[tuple[float, int]]
_UP = ({"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15})
_DOWN = ({"type": "Percent", "value": 100, "periodSeconds": 15},)


@dataclass(frozen=True, slots=True)
class Direction:
    window_seconds: float
    #: ``Max``, ``Min`` or ``Disabled``
    select: str
    policies: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Rules:
    up: Direction
    down: Direction

    @property
    def longest_period_seconds(self) -> float:
        return max(float(p["periodSeconds"]) for p in (*self.up.policies, *self.down.policies))


def rules(behavior: Object, down_window_seconds: float) -> Rules:
    """``behavior`` of an autoscaler with Kubernetes' defaults filled in."""
    up, down = behavior.get("scaleUp") or {}, behavior.get("scaleDown") or {}
    return Rules(_direction(up, 0.0, _UP), _direction(down, down_window_seconds, _DOWN))


def _direction(given: Object, window_seconds: float, policies: tuple[dict[str, Any], ...]) -> Direction:
    window = given.get("stabilizationWindowSeconds")
    chosen = tuple(given.get("policies") or policies)
    return Direction(window_seconds if window is None else float(window), given.get("selectPolicy") or "Max", chosen)


def stabilized(limits: Rules, history: History, current: int, wanted: int, now: float) -> int:
    """Up only as far as all of the up window agreed to, down only as far as all of the down window did."""
    lowest = min([wanted, *(size for t, size in history if now - t <= limits.up.window_seconds)])
    highest = max([wanted, *(size for t, size in history if now - t <= limits.down.window_seconds)])
    stable = max(current, lowest)
    return min(stable, highest)


def fastest_up(direction: Direction, current: int, changes: History, now: float) -> int:
    """The largest size that the policies allow now."""
    if direction.select == "Disabled":
        return current
    sizes: list[int] = []
    for policy in direction.policies:
        added = sum(change for t, change in changes if change > 0 and now - t <= policy["periodSeconds"])
        start = current - added
        if policy["type"] == "Pods":
            sizes.append(start + policy["value"])
        else:
            sizes.append(math.ceil(start * (1 + policy["value"] / 100)))
    return min(sizes) if direction.select == "Min" else max(sizes)


def fastest_down(direction: Direction, current: int, changes: History, now: float) -> int:
    """The smallest size that the policies allow now."""
    if direction.select == "Disabled":
        return current
    sizes: list[int] = []
    for policy in direction.policies:
        taken = sum(-change for t, change in changes if change < 0 and now - t <= policy["periodSeconds"])
        start = current + taken
        if policy["type"] == "Pods":
            sizes.append(start - policy["value"])
        else:
            sizes.append(int(start * (1 - policy["value"] / 100)))
    return max(sizes) if direction.select == "Min" else min(sizes)
