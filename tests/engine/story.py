"""A small world for the engine's tests: a cluster that counts, and handlers that walk the whole lifecycle."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from healing.faults import Fault, Severity, SignalSource
from healing.lifecycle import TERMINAL_PHASE_OF_OUTCOME, Outcome, Phase
from healing.models import ActionRun, ActionState, Approval, HealingEvent, Strategy, StrategyState
from healing.phase import Note, PhaseContext, PhaseHandler, PhaseResult
from healing.policies.spec import ActionName
from healing.ports import ObjectRef

POLICY = {"targetNamespaces": ["shop"]}


class Killed(BaseException):
    """Stands for SIGKILL: no handler and no engine code may catch it."""


def fault(name: str = "api", symptom: str = "CrashLoopBackOff") -> Fault:
    return Fault(
        cluster="default",
        target=ObjectRef("Deployment", "shop", name, uid=f"uid-{name}"),
        symptom=symptom,
        message=f"{name} is broken",
        severity=Severity.HIGH,
        source=SignalSource.WATCH,
        observed_at=datetime.now(UTC),
    )


@dataclass
class World:
    """Counts what reaches the cluster, and dies where it is told to."""

    applied: Counter[str] = field(default_factory=Counter)
    #: the next handler run raises `Killed` at this point, once
    die_at: str = ""
    ask_person: bool = True
    heals: bool = True

    def point(self, name: str) -> None:
        if self.die_at == name:
            self.die_at = ""
            raise Killed(name)

    def handlers(self) -> dict[Phase, PhaseHandler]:
        return {
            Phase.CONTAINING: self._containing,
            Phase.DIAGNOSING: self._diagnosing,
            Phase.PLANNING: self._planning,
            Phase.HEALING: self._healing,
            Phase.VERIFYING: self._verifying,
            Phase.LEARNING: self._learning,
        }

    def _containing(self, context: PhaseContext) -> PhaseResult:
        self.point("start")
        self.apply_once(context, "contain")
        self.point("end")
        return PhaseResult(Phase.DIAGNOSING, [Note("contained", "contained")], {"contained_at": timezone.now()})

    def _diagnosing(self, context: PhaseContext) -> PhaseResult:
        self.point("start")
        context.report(Note("evidence", "looked at the logs"))
        self.point("end")
        fields = {"cause": "BadRollout", "confidence": 0.9, "diagnosed_at": timezone.now()}
        return PhaseResult(Phase.PLANNING, [Note("diagnosed", "bad rollout")], fields)

    def _planning(self, context: PhaseContext) -> PhaseResult:
        self.point("start")

        def write(event: HealingEvent) -> None:
            strategies = [
                Strategy.objects.create(
                    event=event,
                    attempt=event.attempt,
                    key=key,
                    title=key,
                    origin="causes",
                    steps=[{"action": key, "target": {}, "parameters": {}}],
                    digest=f"{event.pk}-{event.attempt}-{key}",
                    state=state,
                )
                for key, state in (("rollback", StrategyState.CHOSEN), ("restart", StrategyState.PROPOSED))
            ]
            if self.ask_person:
                now = timezone.now()
                Approval.objects.create(
                    event=event,
                    strategy=strategies[0],
                    digest=strategies[0].digest,
                    risk="medium",
                    created_at=now,
                    expires_at=now + timedelta(minutes=30),
                )

        self.point("end")
        following = Phase.AWAITING_APPROVAL if self.ask_person else Phase.HEALING
        return PhaseResult(following, [Note("planned", "two strategies")], writes=write)

    def _healing(self, context: PhaseContext) -> PhaseResult:
        self.point("start")
        self.apply_once(context, f"heal-{context.event.attempt}")
        self.point("end")
        return PhaseResult(Phase.VERIFYING, [Note("applied", "applied")])

    def _verifying(self, context: PhaseContext) -> PhaseResult:
        self.point("start")
        if not context.event.timeline.filter(kind="looked").exists():
            return PhaseResult.wait(2.0, [Note("looked", "not yet")])
        self.point("end")
        if self.heals:
            return PhaseResult(Phase.LEARNING, outcome=Outcome.HEALED, fields={"healed_at": timezone.now()})
        if context.event.attempt >= 2:
            return PhaseResult(Phase.LEARNING, outcome=Outcome.ESCALATED, outcome_reason="nothing helped")
        return PhaseResult(Phase.PLANNING, fields={"attempt": context.event.attempt + 1})

    def _learning(self, context: PhaseContext) -> PhaseResult:
        self.point("start")
        self.point("end")
        return PhaseResult(TERMINAL_PHASE_OF_OUTCOME[Outcome(context.event.outcome)], [Note("learned", "remembered")])

    def apply_once(self, context: PhaseContext, purpose: str) -> None:
        """The write-ahead rule that `healing.actions.runner` follows, on a cluster that is a counter."""
        key = f"{context.event.pk}/{purpose}"
        defaults: dict[str, Any] = {"event": context.event, "action": ActionName.RESTART, "target": {}}
        action, _ = ActionRun.objects.get_or_create(key=key, defaults=defaults)
        if action.state == ActionState.PLANNED:
            action.pre_state = {"applied": self.applied[key]}
            action.state = ActionState.APPLYING
            action.save()
        self.point("before-cluster")
        if action.state == ActionState.APPLYING:
            context.check_still_mine()
            if self.applied[key] == action.pre_state["applied"]:
                self.applied[key] += 1
            self.point("after-cluster")
            action.state = ActionState.APPLIED
            action.save()


DEATHS = ("start", "before-cluster", "after-cluster", "end")
