"""What a limit on automation is, and which there are; `healing.actions.guardrails` holds plans to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a refusal means."""

    FORBID = "forbid"  # not under this policy
    ASK = "ask"  # with a person's approval
    WAIT = "wait"  # later


#: Every limit there is, with what it bounds. docs/actions.md says of each how it is lifted.
LIMITS: Mapping[str, str] = {
    "halt": "the kill switch",
    "freezeWindows": "times in which nothing is changed unasked",
    "circuitBreakerFailures": "healings of a workload that failed one after another",
    "stormFaults": "different faults in the cluster at once",
    "policy": "a policy that is there and switched on",
    "paused": "the policy's pause",
    "autonomy": "whether the policy acts at all, and unasked",
    "allowedActions": "which actions the policy allows",
    "targetNamespaces": "the namespaces of the policy",
    "targetLabels": "the labels of the policy",
    "allowLastReplica": "the last ready replica",
    "minHealthyPercent": "how many ready replicas remain",
    "quorum": "the majority that replicas with state need",
    "restartable": "whether pods that go can come back",
    "rollout": "a rollout that goes on",
    "keepsData": "pods that keep data, or are not interchangeable",
    "room": "places for pods on the nodes that are left",
    "PodDisruptionBudget": "the cluster's own budgets",
    "autoscaler": "replicas that belong to an autoscaler",
    "gitops": "what Argo CD, Flux or an operator would put back",
    "freshEdit": "what a person has just edited",
    "maxActionsPerWorkloadAndHour": "strategies on one workload",
    "cooldownSeconds": "time between two strategies on one workload",
    "maxConcurrentHealings": "workloads being healed at the same time",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """``limit`` is one of `LIMITS`; ``lift`` says what to do about it."""

    limit: str
    kind: Kind
    message: str
    lift: str
    wait_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.limit not in LIMITS:
            raise ValueError(f"{self.limit!r} is not in LIMITS: every limit is listed there.")

    def as_json(self) -> dict[str, Any]:
        """For the timeline."""
        return {"limit": self.limit, "kind": str(self.kind), "message": self.message, "lift": self.lift}

    def __str__(self) -> str:
        return f"{self.message} ({self.lift})"


class Refused(Exception):
    """Raised right before sending."""

    def __init__(self, refusals: list[Refusal]) -> None:
        super().__init__("; ".join(r.message for r in refusals))
        self.refusals = refusals
