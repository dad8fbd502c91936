"""Phase 4: remember what happened and how it went, then end the event as its outcome says."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from healing import shared_clock
from healing.findings import Diagnosis
from healing.incident_text import after_diagnosis
from healing.lifecycle import TERMINAL_PHASE_OF_OUTCOME, Outcome
from healing.models import Approval, ApprovalState, HealingEvent, Strategy, StrategyState
from healing.phase import Note, PhaseContext, PhaseResult
from healing.ports.cluster import ObjectRef
from healing.redaction import redact
from knowledge.memory import Experience, TrialOutcome, TriedStrategy, remember
from knowledge.teaching import taken_back

_OUTCOMES: Mapping[str, TrialOutcome] = MappingProxyType(
    {
        StrategyState.SUCCEEDED: "succeeded",
        StrategyState.FAILED: "failed",
        StrategyState.UNDONE: "undone",
        StrategyState.APPLIED: "failed",  # carried out, and nobody saw it work
        StrategyState.REFUSED: "refused",
    }
)
_CHANGED: Mapping[str, str] = MappingProxyType(
    {
        ApprovalState.OVERRIDDEN: "chose another way than",
        ApprovalState.REJECTED: "rejected",
        ApprovalState.EDITED: "edited",
        ApprovalState.TAKEN: "took over by hand, instead of",
    }
)
_SAID = {"healed": "what worked", "recovered": "that it went away by itself", "declined": "that nothing was to be done"}


def run(context: PhaseContext) -> PhaseResult:
    """LEARNING to the end the outcome asks for. An event is remembered once, however often this runs."""
    event = context.event
    outcome = Outcome(event.outcome) if event.outcome else Outcome.ESCALATED
    experience = experience_of(event, outcome)
    ref = remember(experience)
    for strategy in event.strategies.filter(state=StrategyState.UNDONE):
        # Taken back by a person while it was being remembered: whoever of both comes last says so.
        taken_back(event.name, strategy.key, why=redact(f"{strategy.state_reason}."))
    what = _SAID.get(outcome, "what did not help")
    note = Note("remembered", f"Remembered {what}.", data={"knowledge_ref": ref}, source="knowledge")
    return PhaseResult(
        TERMINAL_PHASE_OF_OUTCOME[outcome],
        notes=[note],
        fields={"knowledge_ref": ref},
        result={"knowledge_ref": ref, "strategies": len(experience.strategies)},
        outcome=None if event.outcome else outcome,
        outcome_reason="" if event.outcome else "The event came to its end without an outcome.",
    )


def experience_of(event: HealingEvent, outcome: Outcome) -> Experience:
    """The event as it is remembered."""
    diagnosis = Diagnosis.from_json(event.diagnosis)
    took = ((event.healed_at or shared_clock.now()) - event.detected_at).total_seconds() - event.waited_seconds
    return Experience(
        event_ref=event.name,
        symptom=event.symptom,
        text=after_diagnosis(event, diagnosis),
        outcome=outcome.value,
        outcome_reason=redact(event.outcome_reason),
        occurred_at=event.detected_at,
        cluster=event.cluster,
        namespace=event.target_namespace,
        fingerprint=event.fingerprint,
        cause=event.cause,
        confidence=event.confidence,
        target=ObjectRef(event.target_kind, event.target_namespace, event.target_name).as_json(),
        topology=_topology(diagnosis),
        strategies=[
            _tried(strategy)
            for strategy in event.strategies.order_by("attempt", "applied_at", "id")
            if strategy.state in _OUTCOMES
        ],
        person_changed=_what_people_changed(event),
        duration_seconds=max(0.0, round(took, 3)),
        ttl_days=event.policy_spec.knowledge_ttl_days,
        max_local_events=event.policy_spec.max_local_events,
    )


def _what_people_changed(event: HealingEvent) -> str:
    """Where people decided otherwise than was proposed, in sentences."""
    rows = Approval.objects.filter(event=event, state__in=tuple(_CHANGED))
    said = []
    for row in rows.select_related("strategy").order_by("decided_at", "pk"):
        did, why = _CHANGED[row.state], f": {row.comment}" if row.comment else "."
        said.append(f"{row.decided_by_name or 'Somebody'} {did} '{row.strategy.title}'{why}")
    return redact("\n".join(said))


def _tried(strategy: Strategy) -> TriedStrategy:
    steps: list[Any] = strategy.steps if isinstance(strategy.steps, list) else []
    return TriedStrategy(
        strategy=strategy.key,
        outcome=_OUTCOMES[strategy.state],
        title=strategy.title,
        reason=redact(strategy.state_reason),
        actions=tuple(str(step.get("action", "")) for step in steps if isinstance(step, dict)),
    )


def _topology(diagnosis: Diagnosis) -> dict[str, Any]:
    """Objects of the causal graph and how they hang together, by kind and name."""
    names = {node.id: f"{node.object.kind}/{node.object.name}" for node in diagnosis.graph.nodes if node.object}
    edges = {
        (names[edge.source], names[edge.target], edge.kind)
        for edge in diagnosis.graph.edges
        if edge.source in names and edge.target in names and names[edge.source] != names[edge.target]
    }
    return {"objects": sorted(set(names.values())), "edges": [list(edge) for edge in sorted(edges)]}
