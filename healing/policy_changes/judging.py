"""What a policy says about a recorded case: seen, only diagnosed, refused by which limit, asked, or done unasked.

Decided by the same limits and rules as in life (`healing.actions.guardrails`, `healing.metacognition.decision`), over
facts that were written down then. Nothing is read here but the facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

from pydantic.alias_generators import to_camel

from healing.actions import brakes, guardrails
from healing.actions.base import Plan
from healing.actions.guardrails import Kind, Refusal, Situation
from healing.metacognition.decision import FLOOR, approval_needed
from healing.policies.spec import ActionName, PolicySpec, Risk
from healing.ports.cluster import Cluster, ObjectRef
from healing.ports.errors import NotFound


class Verdict(StrEnum):
    """From "not even seen" to "done unasked"."""

    UNSEEN = "not seen"
    RECORDED = "only recorded"
    DIAGNOSED = "only diagnosed"
    NOTHING = "nothing proposed"
    REFUSED = "refused"
    ASKED = "a person is asked"
    AUTOMATIC = "done unasked"
    UNKNOWN = "cannot be told"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A strategy as it was proposed: ``score`` 0..1 is what it was worth."""

    title: str
    score: float
    risk: Risk
    plans: tuple[Plan, ...]
    #: why a person had to be asked although no policy says so (owned by Argo CD, a doubtful cause)
    ask_anyway: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """What was known when it was decided. ``labels`` None: they were not written down and the workload is gone."""

    key: str
    title: str
    at: datetime
    target: ObjectRef
    labels: Mapping[str, str] | None
    confidence: float
    proposals: tuple[Proposal, ...]
    #: of each metric that was over its threshold: the threshold's name in Python, the value if it was written down,
    #: and the threshold that it was over
    measured: tuple[tuple[str, float | None, float | None], ...] = ()
    #: whether anything else than metrics showed it
    seen_otherwise: bool = True
    actions_last_hour: int = 0
    seconds_since_action: float | None = None
    failed_healings: int = 0
    faults_at_once: int = 0
    outcome: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """``strategy``: what would be done or proposed; ``limits``: names of the policy's fields that decide it."""

    verdict: Verdict
    strategy: str = ""
    reasons: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    @property
    def is_same_as(self) -> tuple[Verdict, str]:
        """What has to differ for people to see a difference."""
        return self.verdict, self.strategy


def judge(spec: PolicySpec, case: Case) -> Judgement:
    """What this policy, which governs the case, says about it."""
    hidden = _not_noticed(spec, case)
    if hidden is not None:
        return hidden
    if spec.paused:
        return Judgement(Verdict.RECORDED, reasons=("The policy is paused.",), limits=("paused",))
    if spec.autonomy == "observe":
        return Judgement(Verdict.DIAGNOSED, reasons=("The policy only observes.",), limits=("autonomy",))
    refused: list[Refusal] = []
    for proposal in sorted(case.proposals, key=lambda p: -p.score):
        if proposal.score < FLOOR or not proposal.plans:
            continue
        refusals = _refusals(spec, case, proposal)
        forbidden = [r for r in refusals if r.kind is Kind.FORBID]
        if forbidden:
            refused += forbidden
            continue
        return _asked_or_done(spec, case, proposal, refusals)
    if refused:
        reasons = tuple(dict.fromkeys(r.message for r in refused))
        return Judgement(Verdict.REFUSED, reasons=reasons, limits=tuple(dict.fromkeys(r.limit for r in refused)))
    return Judgement(Verdict.NOTHING, reasons=("No strategy was proposed then.",))


def _not_noticed(spec: PolicySpec, case: Case) -> Judgement | None:
    if case.seen_otherwise or not case.measured:
        return None
    reasons, limits = [], []
    for name, value, over in case.measured:
        threshold = getattr(spec.thresholds, name)
        field = f"thresholds.{to_camel(name)}"
        limits.append(field)
        if threshold is None:
            reasons.append(f"{field} is not watched.")
        elif (value or over) is None or (value is None and threshold > (over or 0.0)):
            return Judgement(Verdict.UNKNOWN, reasons=(f"What was measured for {field} was not written down.",))
        elif value is None or value > threshold:
            return None
        else:
            reasons.append(f"{value:g} was measured; {field} is {threshold:g}.")
    return Judgement(Verdict.UNSEEN, reasons=tuple(reasons), limits=tuple(limits))


def _refusals(spec: PolicySpec, case: Case, proposal: Proposal) -> list[Refusal]:
    situation = Situation(
        policy=spec,
        policy_problem="",
        event_namespace=case.target.namespace,
        healings_before=0,
        actions_last_hour=case.actions_last_hour,
        seconds_since_action=case.seconds_since_action,
        frozen=brakes.frozen_until(spec, case.at),
        failed_healings=case.failed_healings,
        faults_at_once=case.faults_at_once,
    )
    cluster = cast("Cluster", _Recorded(case))
    found: list[Refusal] = []
    for plan in proposal.plans:
        found += guardrails.check(plan, situation, cluster, among=proposal.plans, timeout_seconds=0.1)
    # A kill switch that is thrown today says nothing about the policy; what waits goes on by itself.
    return [r for r in dict.fromkeys(found) if r.limit != "halt" and r.kind is not Kind.WAIT]


def _asked_or_done(spec: PolicySpec, case: Case, proposal: Proposal, refusals: Sequence[Refusal]) -> Judgement:
    reasons = approval_needed(spec, proposal.risk)
    limits = ["autonomy" if spec.autonomy == "propose" else "approval"] if reasons else []
    asking = [r for r in refusals if r.kind is Kind.ASK and r.limit != "autonomy"]
    reasons += [r.message for r in asking]
    limits += [r.limit for r in asking]
    if proposal.score < spec.decision_threshold:
        reasons.append(f"It is worth {proposal.score:.2f}; decisionThreshold is {spec.decision_threshold:g}.")
        limits.append("decisionThreshold")
    if case.confidence < spec.confidence_threshold:
        reasons.append(
            f"The cause is {case.confidence:.0%} sure; confidenceThreshold is {spec.confidence_threshold:g}."
        )
        limits.append("confidenceThreshold")
    reasons += proposal.ask_anyway
    verdict = Verdict.ASKED if reasons else Verdict.AUTOMATIC
    return Judgement(verdict, proposal.title, tuple(reasons), tuple(dict.fromkeys(limits)))


class _Recorded:
    """Stands in for the cluster: the limits ask it for labels only."""

    def __init__(self, case: Case) -> None:
        self._case = case

    def get(self, kind: str, namespace: str, name: str, *, timeout_seconds: float | None = None) -> dict[str, Any]:
        """The target with its labels; its pods are taken for it. Others are gone."""
        target = self._case.target
        if self._case.labels is None or namespace != target.namespace:
            raise NotFound(f"{kind} {namespace}/{name} was not recorded")
        return {"kind": kind, "metadata": {"name": name, "namespace": namespace, "labels": dict(self._case.labels)}}


def simple_plan(action: str, target: ObjectRef, risk: Risk) -> Plan | None:
    """A plan of which only action and target were written down; None for an action that does not exist any more."""
    try:
        name = ActionName(action)
    except ValueError:
        return None
    return Plan(
        action=name, target=target, generation=0, summary="", changes=(), operations=(), pre_state={}, risk=risk,
        risk_reason="", reversible=True, undo_summary="",
    )  # fmt: skip


def without_scope(spec: PolicySpec, case: Case) -> PolicySpec:
    """The spec as if it covered the case: for cases of other clusters, whose namespaces mean nothing here."""
    names = {case.target.namespace or "default"}
    for proposal in case.proposals:
        for plan in proposal.plans:
            pods = [str(pod).partition("/")[0] for pod in plan.parameters.get("pods", ())]
            names |= {name for name in (plan.target.namespace, *pods) if name}
    return spec.model_copy(update={"target_namespaces": sorted(names), "target_labels": {}})


def with_labels(case: Case, labels: Mapping[str, str] | None) -> Case:
    """The case with labels that are known now."""
    return replace(case, labels=labels) if labels is not None and case.labels is None else case
