"""What is known of the event when candidates are looked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from healing.actions import revisions
from healing.actions.base import CannotPlan
from healing.actions.planning_cluster import PlanningCluster
from healing.actions.reading import WORKLOAD_KINDS, Workload
from healing.actions.revisions import GoodRevision
from healing.deadline import Deadline
from healing.findings import Diagnosis, Finding
from healing.metacognition.experience import Experience
from healing.models import HealingEvent
from healing.policies.spec import PolicySpec
from healing.ports.cluster import ObjectRef
from healing.ports.metrics import Metrics

_CALL_SECONDS = 2.5
#: What a finding is called that knows the symptom only.
UNKNOWN_CAUSE = "Unknown"


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that strategies and micro-agents may look at; safe for threads."""

    event: HealingEvent
    policy: PolicySpec
    diagnosis: Diagnosis
    cluster: PlanningCluster
    experience: Experience
    deadline: Deadline
    now: datetime
    #: revisions that our own history calls bad, by workload
    bad_revisions: dict[tuple[str, str, str], tuple[int, ...]] = field(default_factory=dict)
    metrics: Metrics | None = None

    @property
    def seconds(self) -> float:
        """Timeout of one call."""
        return max(0.1, self.deadline.remaining_seconds(at_most=_CALL_SECONDS))

    @property
    def target(self) -> ObjectRef:
        """What is to be healed."""
        e = self.event
        return ObjectRef(e.target_kind, e.target_namespace, e.target_name, e.target_uid)

    @property
    def finding(self) -> Finding:
        """The best one; without any, one that knows the symptom only."""
        if self.diagnosis.best is not None:
            return self.diagnosis.best
        return Finding(self.event.cause or UNKNOWN_CAUSE, self.target, self.event.confidence or 0.2, self.event.message)

    @property
    def is_cause_known(self) -> bool:
        """Whether the diagnosis has found anything but the symptom."""
        return self.diagnosis.best is not None and self.diagnosis.best.cause != UNKNOWN_CAUSE

    @property
    def is_elsewhere(self) -> bool:
        """Whether the cause lies with another object than the one that is ill."""
        cause, target = self.finding.object, self.target
        return (cause.kind, cause.namespace, cause.name) != (target.kind, target.namespace, target.name)

    def fact(self, name: str, default: Any = None) -> Any:
        """A fact of the finding."""
        value = self.finding.facts.get(name)
        return default if value in (None, "") else value

    def workload(self) -> Workload:
        """The workload that is ill: the finding's object, else the event's target, else the one that the finding
        names beside its object. Raises `CannotPlan`."""
        for ref in (self.finding.object, self.target, ObjectRef.from_json(self.fact("workload", {}))):
            if ref.kind in WORKLOAD_KINDS:
                return Workload.read(self.cluster, ref, timeout_seconds=self.seconds)
        raise CannotPlan(f"{self.finding.object} has no pod template that could be changed.")

    def target_workload(self) -> Workload:
        """The event's own target. Raises `CannotPlan`."""
        if self.target.kind not in WORKLOAD_KINDS:
            raise CannotPlan(f"{self.target} has no pods of its own.")
        return Workload.read(self.cluster, self.target, timeout_seconds=self.seconds)

    def last_good(self, workload: Workload) -> GoodRevision:
        """Raises `CannotPlan`."""
        ref = workload.ref
        avoid = self.bad_revisions.get((ref.kind, ref.namespace, ref.name), ())
        # What an attempt of ours has left behind served too, in vain.
        made_before = self.event.detected_at if self.event.attempt > 1 else None
        return revisions.last_good(
            self.cluster, workload, avoid=avoid, made_before=made_before, timeout_seconds=self.seconds
        )
