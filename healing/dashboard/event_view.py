"""Everything an event's page shows, loaded once. Templates read it; nothing here writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.translation import gettext as _

from healing.access import Capability, grants_of
from healing.approvals import undo as undoing
from healing.clocks import WoundClock, healing_seconds, wound_clocks
from healing.dashboard import charts, graph, story, words
from healing.dashboard.debate import Debate, debates
from healing.dashboard.decision_view import DecisionView, decision_view
from healing.dashboard.evidence import EvidenceGroup, EvidenceView, evidence_views, groups_of
from healing.dashboard.model_view import ModelCallView, call_view
from healing.dashboard.plans import ObjectDiff, StrategyView, diffs_of
from healing.dashboard.rows import FOLLOWED
from healing.dashboard.story import ToDo, to_do
from healing.lifecycle import WOUND_OF_PHASE, Phase, Wound
from healing.models import (
    ActionRun,
    ActionState,
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
    #: ``[[start, end, waits for a person]]`` of its runs in milliseconds, for the replay
    runs: list[list[float | bool]]


@dataclass(frozen=True, slots=True)
class ActionView:
    """An action that was taken, with its diff."""

    row: ActionRun
    diffs: list[ObjectDiff]
    #: whether and how it can be taken back, from its plan
    reversible: bool
    undo: str
    #: why it cannot be taken back now, and why this person may not; both empty: there is a button
    why_not_back: str = ""
    why_may_not: str = ""
    #: who has asked that it be taken back
    asked_by: str = ""

    @property
    def is_in_force(self) -> bool:
        """Whether the cluster is as it left it, as far as we know."""
        return self.row.state == ActionState.APPLIED


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
    reader: User

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
        return [PhaseView(clock, says.get(clock.wound, ""), self._runs_of(clock.wound)) for clock in self.clocks]

    def _runs_of(self, wound: Wound) -> list[list[float | bool]]:
        return [
            [
                run.started_at.timestamp() * 1000,
                (run.finished_at or self.now).timestamp() * 1000,
                run.phase == Phase.AWAITING_APPROVAL,
            ]
            for run in self.runs
            if self.event.finished_at and WOUND_OF_PHASE[Phase(run.phase)] == wound
        ]

    @cached_property
    def story(self) -> list[str]:
        return story.sentences(self.event, self.chosen, self.approvals, self.healing_seconds, self.waited_seconds)

    @cached_property
    def todo(self) -> ToDo | None:
        """What the reader has to do, or somebody else."""
        return to_do(self.event, self.open_approval, self.decision)

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
    def evidence_groups(self) -> list[EvidenceGroup]:
        """What was observed, by kind."""
        return groups_of(self.observations)

    @cached_property
    def debates(self) -> list[Debate]:
        """The micro-agents' arguments, attempt by attempt, the newest first."""
        return debates(self.strategies)

    @cached_property
    def memory_says(self) -> list[str]:
        """Which strategies memory has kept from being argued about, and why."""
        dropped = [
            item for entry in self.timeline for item in entry.data.get("dropped") or () if isinstance(item, dict)
        ]
        said = [
            (str(d.get("key", "")), str(d.get("reason", "")).removeprefix("memory: "))
            for d in dropped
            if str(d.get("reason", "")).startswith("memory: ")
        ]
        text = _("“%(title)s” was not argued about: %(reason)s.")
        return [text % {"title": words.humanize(key), "reason": reason} for key, reason in dict.fromkeys(said)]

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
        refusal = undoing.why_may_not(self.reader, self.event) if self.actions else ""
        return [_action_view(run, refusal) for run in self.actions]

    @cached_property
    def verification(self) -> Verification | None:
        looks = [run.result for run in self.runs if run.phase == Phase.VERIFYING and run.result]
        if not looks:
            return None
        found = Verification(_sentences(looks[-1].get("good")), _sentences(looks[-1].get("failing")))
        return found if found.good or found.failing else None

    @cached_property
    def metric_charts(self) -> list[charts.Chart]:
        return charts.charts(self.event, self.evidence, self.actions)


def _sentences(value: object) -> list[str]:
    return [words.capitalize(str(text)) for text in value] if isinstance(value, list) else []


def _action_view(run: ActionRun, why_may_not: str) -> ActionView:
    plan = run.pre_state.get("plan") or {}
    if not plan and run.strategy:
        plan = next((s.get("plan") or {} for s in run.strategy.steps if s.get("action") == run.action), {})
    reversible, undo = bool(plan.get("reversible")), str(plan.get("undo_summary", ""))
    why_not = undoing.why_not(run) if run.state == ActionState.APPLIED and run.pre_state.get("plan") else "-"
    return ActionView(run, diffs_of(_changes(run)), reversible, undo, why_not, why_may_not, undoing.asked_by(run))


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
        actions=list(event.actions.select_related("strategy")),
        isolations=list(event.isolations.all()),
        llm_calls=list(event.llm_calls.all()),
        decision=decision_view(event, approvals, user, now),
        reader=user,
    )
