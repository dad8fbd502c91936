"""The handler of the phase PLANNING: candidates, arguments, decision, and a person's approval where it is needed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from healing import shared_clock
from healing.actions import guardrails
from healing.actions.planning_cluster import PlanningCluster
from healing.findings import Diagnosis
from healing.lifecycle import Outcome, Phase
from healing.metacognition import by_person, critique, health, shared, watching
from healing.metacognition.agents import Agent, deliberate
from healing.metacognition.candidates import Candidate, Dropped, candidates_for
from healing.metacognition.case import Case
from healing.metacognition.decision import Decision, best_of, decide, score, weigh
from healing.metacognition.experience import bad_revisions, recall
from healing.metacognition.proposals import ask, digest_of, steps_of
from healing.metacognition.turns import turns_for
from healing.metacognition.waits import keeping_books
from healing.models import ActorKind, HealingEvent, Strategy, StrategyState
from healing.phase import Note, PhaseContext, PhaseResult
from healing.policies.spec import PolicySpec

#: A strategy that was looked at for so long was given a chance.
_HAD_ITS_TIME = timedelta(seconds=30)
#: The candidate that is always there.
ASK_A_PERSON = "ask-a-person"


@keeping_books
def plan(context: PhaseContext) -> PhaseResult:
    """Decide what is to be done about the diagnosed cause, or that it is a person's turn."""
    event, now = context.event, shared_clock.now()
    policy, _ = guardrails.current_policy(event)
    gone = health.recovered(event, context.ports, now, timeout_seconds=2.0)
    instead = shared.wait(context, policy, gone, now)
    if instead is not None:
        return instead
    edited = by_person.propose_edited(context, policy, now)
    if edited is not None:
        return edited
    if _was_treated_in_vain(event, now):
        message = "What was done about the cause has not helped, so it may be another one: diagnosed anew."
        return PhaseResult(Phase.DIAGNOSING, [_note("diagnose-anew", message)])
    looked_again = watching.again(event)
    if looked_again is not None:
        return looked_again
    diagnosis = Diagnosis.from_json(event.diagnosis)
    cause = diagnosis.best.cause if diagnosis.best else event.cause
    case = Case(
        event=event,
        policy=policy,
        diagnosis=diagnosis,
        cluster=PlanningCluster(context.ports.cluster),
        experience=recall(event, cause, now),
        deadline=context.deadline,
        now=now,
        bad_revisions=bad_revisions(event),
        metrics=context.ports.metrics,
    )
    candidates, dropped = candidates_for(case)
    context.report(_candidates_note(candidates, dropped))

    def on_turn(number: int, agents: list[Agent]) -> None:
        context.report(_turn_note(number, agents))

    turns = turns_for(guardrails.situation_of(event, now))
    agents = deliberate(case, candidates, turns, policy.max_reasoning_depth, on_turn)
    first = best_of(agents)
    heard = critique.ask(context, case, agents)
    objected = [agent for agent in agents if not agent.problem and heard.of(agent)]
    for agent in objected:
        agent.hear(heard.of(agent))
    if objected:
        on_turn(max(agent.turns for agent in objected), objected)
    decision = decide(case, agents, policy, first_before_critique=first)
    if decision.chosen is None:
        return watching.instead(case, now) or _nothing_to_do(decision, agents, dropped, policy)
    return _proceed(event, policy, agents, decision)


def _was_treated_in_vain(event: HealingEvent, now: datetime) -> bool:
    """Whether a strategy had its time since the diagnosis and the fault is still there. What was taken back after a
    moment, because it made things worse, has left nothing to look at but itself."""
    if event.diagnosed_at is None:
        return False
    return event.strategies.filter(
        attempt__lt=event.attempt,
        state__in=(StrategyState.FAILED, StrategyState.UNDONE),
        applied_at__gt=event.diagnosed_at,
        applied_at__lt=now - _HAD_ITS_TIME,
    ).exists()


def _proceed(event: HealingEvent, policy: PolicySpec, agents: list[Agent], decision: Decision) -> PhaseResult:
    assert decision.chosen is not None
    chosen = decision.chosen
    title, key = chosen.candidate.blueprint.title, chosen.candidate.key
    data: dict[str, Any] = {
        "strategy": key,
        "score": round(score(chosen), 3),
        "weighing": weigh(chosen).as_json(),
        "ask": list(decision.ask),
        "byPolicy": decision.by_policy,
    }
    notes = [_note("decided", decision.reason, data)]

    def writes(row: HealingEvent) -> None:
        rows = write_strategies(row, agents, policy, chosen)
        if decision.ask:
            ask(row, rows[key], policy, " ".join(decision.ask), shared_clock.now())

    if decision.ask:
        notes.append(_note("approval-requested", f"A person is asked about '{title}': {' '.join(decision.ask)}", data))
        return PhaseResult(Phase.AWAITING_APPROVAL, notes, writes=writes, result=_summary(agents))
    return PhaseResult(Phase.HEALING, notes, writes=writes, result=_summary(agents))


def _nothing_to_do(decision: Decision, agents: list[Agent], dropped: list[Dropped], policy: PolicySpec) -> PhaseResult:
    """A person takes over, and reads everything that was considered."""
    reasons = [f"{a.candidate.blueprint.title}: {a.problem or f'worth {score(a):.2f}'}" for a in agents]
    reasons += [f"{d.key}: {d.reason}" for d in dropped]
    message = f"{decision.reason} Considered: {'; '.join(reasons) or 'nothing; no strategy is known'}."
    return PhaseResult(
        Phase.LEARNING,
        [_note("no-strategy", message, {"reasons": reasons})],
        outcome=Outcome.ESCALATED,
        outcome_reason=message,
        writes=_writer(agents, policy),
        result=_summary(agents),
    )


def _writer(agents: list[Agent], policy: PolicySpec) -> Callable[[HealingEvent], None]:
    def writes(row: HealingEvent) -> None:
        write_strategies(row, agents, policy, None)

    return writes


def write_strategies(
    event: HealingEvent, agents: list[Agent], policy: PolicySpec, chosen: Agent | None
) -> dict[str, Strategy]:
    """Rows of this attempt, by key. A plan made anew in the same attempt replaces the former one."""
    event.strategies.filter(attempt=event.attempt, state=StrategyState.PROPOSED).exclude(
        key__in=[a.candidate.key for a in agents]
    ).update(state=StrategyState.REFUSED, state_reason="not proposed any more: the plan was made anew")
    rows = {agent.candidate.key: _write(event, agent, is_chosen=agent is chosen) for agent in agents}
    Strategy.objects.update_or_create(
        event=event,
        attempt=event.attempt,
        key=ASK_A_PERSON,
        defaults={
            "title": "Do nothing and ask a person",
            "rationale": "Whatever scores below this is not carried out unasked.",
            "origin": "causes",
            "steps": [],
            "risk": "low",
            "score": policy.decision_threshold,
            "confidence": 0.0,
            "state": StrategyState.PROPOSED,
        },
    )
    return rows


def _write(event: HealingEvent, agent: Agent, *, is_chosen: bool) -> Strategy:
    candidate, blueprint = agent.candidate, agent.candidate.blueprint
    steps = steps_of(agent.plans)
    state = StrategyState.CHOSEN if is_chosen else StrategyState.PROPOSED
    row, _ = Strategy.objects.update_or_create(
        event=event,
        attempt=event.attempt,
        key=candidate.key,
        defaults={
            "title": blueprint.title[:200],
            "rationale": blueprint.rationale,
            "origin": candidate.origin,
            "steps": steps if not agent.problem else [],
            "risk": str(agent.risk),
            "score": round(score(agent), 4) if not agent.problem else 0.0,
            "confidence": round(agent.confidence, 4),
            "arguments": agent.arguments,
            "state": StrategyState.REFUSED if agent.problem else state,
            "state_reason": agent.problem,
            "digest": digest_of(steps),
            "applied_at": None,
            "author": None,
        },
    )
    return row


def _candidates_note(candidates: list[Candidate], dropped: list[Dropped]) -> Note:
    titles = "; ".join(c.blueprint.title for c in candidates) or "none"
    data = {
        "candidates": [{"key": c.key, "title": c.blueprint.title, "origin": c.origin} for c in candidates],
        "dropped": [{"key": d.key, "reason": d.reason} for d in dropped],
    }
    return _note("candidates", f"{len(candidates)} candidate(s): {titles}.", data)


def _turn_note(number: int, agents: list[Agent]) -> Note:
    state = "; ".join(
        f"{a.candidate.key} {a.confidence:.0%}" if not a.problem else f"{a.candidate.key} out" for a in agents
    )
    data = {
        "turn": number,
        "agents": [
            {"key": a.candidate.key, "confidence": round(a.confidence, 3), "problem": a.problem} for a in agents
        ],
    }
    return _note("argued", f"Turn {number}: {state}.", data)


def _summary(agents: list[Agent]) -> dict[str, Any]:
    return {"agents": len(agents), "turns": max((a.turns for a in agents), default=0)}


def _note(kind: str, message: str, data: dict[str, Any] | None = None) -> Note:
    return Note(kind, message, data=data or {}, actor_kind=ActorKind.RULE, source="metacognition")
