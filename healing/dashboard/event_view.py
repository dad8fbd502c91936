"""Everything an event's page shows, loaded once. Templates read it; nothing here writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from healing.access import Capability, grants_of
from healing.clocks import WoundClock, healing_seconds, wound_clocks
from healing.dashboard import charts, graph, story, words
from healing.dashboard.decision_view import DecisionView, decision_view
from healing.dashboard.evidence import EvidenceView, evidence_views
from healing.dashboard.model_view import ModelCallView, call_view
from healing.dashboard.plans import ObjectDiff, StrategyView, diffs_of
from healing.dashboard.rows import FOLLOWED
from healing.lifecycle import WOUND_OF_PHASE, Phase, Wound
from healing.models import (
    ActionRun,
    Approval,
    ApprovalState,
    HealingEvent,
    Isolation,
    LlmCall,
    PhaseRun,
    Strategy,
    TimelineEntry,
)


@dataclass(frozen=True, slots=True)
class FindingView:
    """A finding as JSON (`healing.findings.Finding`) with its evidence put beside it."""

    cause: str
    object: dict[str, Any]
    confidence: float
    explanation: str
    evidence: list[EvidenceView]
    #: what to look at to be surer
    would_settle: list[str]


@dataclass(frozen=True, slots=True)
class PhaseView:
    """One of the four phases: its clock and the last thing it said."""

    clock: WoundClock
    says: str


@dataclass(frozen=True, slots=True)
class ActionView:
    """An action that was taken, with its diff."""

    row: ActionRun
    diffs: list[ObjectDiff]


@dataclass(frozen=True, slots=True)
class Verification:
    """What the last look after the strategy found, in sentences."""

    good: list[str]
    failing: list[str]


@dataclass
class EventView:
    """One event for one reader. Not frozen only because the derived parts are computed when first asked for."""

    event: HealingEvent
    now: datetime
    timeline: list[TimelineEntry]
    runs: list[PhaseRun]
    strategies: list[StrategyView]
    approvals: list[Approval]
    actions: list[ActionRun]
    isolations: list[Isolation]
    llm_calls: list[LlmCall]
    decision: DecisionView

    @cached_property
    def clocks(self) -> list[WoundClock]:
        return wound_clocks(self.event, self.runs, self.now)

    @cached_property
    def healing_seconds(self) -> float:
        return healing_seconds(self.event, self.clocks, self.now)

    @cached_property
    def waited_seconds(self) -> float:
        return sum(clock.waited_seconds for clock in self.clocks)

    @cached_property
    def waiting_since(self) -> datetime | None:
        return next((clock.waiting_since for clock in self.clocks if clock.waiting_since), None)

    @cached_property
    def phases(self) -> list[PhaseView]:
        says: dict[Wound, str] = {}
        for entry in self.timeline:
            if (wound := WOUND_OF_PHASE.get(Phase(entry.phase))) is not None:
                says[wound] = entry.message
        return [PhaseView(clock, says.get(clock.wound, "")) for clock in self.clocks]

    @cached_property
    def story(self) -> list[str]:
        return story.sentences(self.event, self.chosen, self.approvals, self.healing_seconds, self.waited_seconds)

    # --- the decision ------------------------------------------------------------------------------------------

    @cached_property
    def open_approval(self) -> Approval | None:
        return next((a for a in self.approvals if a.state == ApprovalState.OPEN), None)

    @cached_property
    def last_decision(self) -> Approval | None:
        decided = (a for a in self.approvals if a.state != ApprovalState.OPEN)
        return next(decided, None)

    @cached_property
    def proposal(self) -> StrategyView | None:
        approval = self.open_approval
        return next((s for s in self.strategies if approval and s.row.pk == approval.strategy_id), None)

    @cached_property
    def alternatives(self) -> list[StrategyView]:
        """Strategies a person may choose instead of the proposal."""
        proposal = self.proposal
        return [
            s
            for s in self.strategies
            if proposal and s.can_be_chosen(self.event.attempt) and s.row.pk != proposal.row.pk
        ]

    @cached_property
    def chosen(self) -> StrategyView | None:
        """The strategy that is proposed, or else the latest that was followed."""
        followed = [s for s in self.strategies if s.row.state in FOLLOWED]
        return self.proposal or max(followed, key=lambda s: (s.row.attempt, s.row.pk), default=None)

    # --- the diagnosis -----------------------------------------------------------------------------------------

    @cached_property
    def evidence(self) -> list[EvidenceView]:
        return evidence_views(self.event.diagnosis.get("evidence") or [])

    @cached_property
    def memories(self) -> list[EvidenceView]:
        return [e for e in self.evidence if e.kind == "memory"]

    @cached_property
    def observations(self) -> list[EvidenceView]:
        return [e for e in self.evidence if e.kind != "memory"]

    @cached_property
    def findings(self) -> list[FindingView]:
        by_id = {e.id: e for e in self.evidence}
        return [
            FindingView(
                cause=str(raw.get("cause", "")),
                object=raw.get("object") or {},
                confidence=float(raw.get("confidence") or 0.0),
                explanation=str(raw.get("explanation", "")),
                evidence=[by_id[key] for key in raw.get("evidence") or () if key in by_id],
                would_settle=[str(text) for text in raw.get("would_settle") or ()],
            )
            for raw in self.event.diagnosis.get("findings") or ()
        ]

    @cached_property
    def missing_sources(self) -> dict[str, str]:
        return dict(self.event.diagnosis.get("missing_sources") or {})

    @cached_property
    def model_calls(self) -> list[ModelCallView]:
        return [call_view(row) for row in self.llm_calls]

    @cached_property
    def causal_graph(self) -> graph.Layout | None:
        return graph.layout(self.event.diagnosis.get("graph") or {})

    @cached_property
    def action_views(self) -> list[ActionView]:
        return [ActionView(run, diffs_of(_changes(run))) for run in self.actions]

    @cached_property
    def verification(self) -> Verification | None:
        looks = [run.result for run in self.runs if run.phase == Phase.VERIFYING and run.result]
        if not looks:
            return None
        found = Verification(_sentences(looks[-1].get("good")), _sentences(looks[-1].get("failing")))
        return found if found.good or found.failing else None

    @cached_property
    def metric_charts(self) -> list[charts.Chart]:
        return charts.charts(self.event, self.evidence, self.runs, self.actions)


def _sentences(value: object) -> list[str]:
    return [words.capitalize(str(text)) for text in value] if isinstance(value, list) else []


def _changes(run: ActionRun) -> list[dict[str, Any]]:
    return [{"object": run.target, **change} for change in run.diff if isinstance(change, dict)]


def load_event(name: str, user: User) -> EventView | None:
    """The event with all that belongs to it, or None where there is no such event for this person."""
    event = HealingEvent.objects.select_related("policy").filter(name=name).first()
    if event is None:
        return None
    if not grants_of(user).may(Capability.VIEW, cluster=event.cluster, namespace=event.target_namespace):
        return None
    now = timezone.now()
    approvals = list(event.approvals.select_related("strategy", "chosen").prefetch_related("votes"))
    strategies: list[Strategy] = list(event.strategies.all())
    return EventView(
        event=event,
        now=now,
        # Entries newer than the event row belong to the next update, which reads both again.
        timeline=list(event.timeline.filter(seq__lte=event.seq)),
        runs=list(event.phase_runs.all()),
        strategies=[StrategyView(s) for s in strategies],
        approvals=approvals,
        actions=list(event.actions.all()),
        isolations=list(event.isolations.all()),
        llm_calls=list(event.llm_calls.all()),
        decision=decision_view(event, approvals, user, now),
    )
