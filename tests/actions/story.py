"""The real engine with the real phases, except for the diagnosis, which a test tells, and memory, which ends it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from healing import containment, engine, metacognition
from healing.deadline import Deadline
from healing.findings import Diagnosis, Finding
from healing.lifecycle import TERMINAL_PHASE_OF_OUTCOME, Outcome, Phase, Status
from healing.models import HealingEvent
from healing.phase import PhaseContext, PhaseHandler, PhaseResult
from healing.ports import Ports


def finding(event: HealingEvent, cause: str, confidence: float = 0.9, **facts: Any) -> Finding:
    """About the event's target."""
    from healing.metacognition.health import target_of

    return Finding(cause, target_of(event), confidence, f"It is {cause}.", facts=facts)


class Story:
    """Drives one event; ``said`` is its timeline."""

    def __init__(self, event: HealingEvent, ports: Ports, *findings: Finding) -> None:
        self.event = event
        self.ports = ports
        self.findings = findings
        self.handlers: dict[Phase, PhaseHandler] = {
            Phase.CONTAINING: containment.run,
            Phase.DIAGNOSING: self._diagnose,
            Phase.PLANNING: metacognition.plan,
            Phase.HEALING: metacognition.execute,
            Phase.VERIFYING: metacognition.verify,
            Phase.LEARNING: containment.settling(self._learn),
        }

    def _diagnose(self, context: PhaseContext) -> PhaseResult:
        diagnosis = Diagnosis(findings=self.findings)
        best = diagnosis.best
        fields: dict[str, Any] = {"diagnosis": diagnosis.as_json(), "diagnosed_at": timezone.now()}
        if best is not None:
            fields |= {"cause": best.cause, "cause_object": best.object.as_json(), "confidence": best.confidence}
        return PhaseResult(Phase.PLANNING, fields=fields)

    def _learn(self, context: PhaseContext) -> PhaseResult:
        return PhaseResult(TERMINAL_PHASE_OF_OUTCOME[Outcome(context.event.outcome)])

    def step(self) -> Phase:
        """One run of the current phase, whenever it was due."""
        HealingEvent.objects.filter(pk=self.event.pk).update(next_attempt_at=None)
        self.event.refresh_from_db()
        engine.run(self.event.pk, self.event.run_id, ports=self.ports, handlers=self.handlers)
        self.event.refresh_from_db()
        return Phase(self.event.phase)

    def until(self, *phases: Phase, timeout_seconds: float = 100.0) -> HealingEvent:
        """Step until the event is in one of the phases."""
        deadline = Deadline.after(timeout_seconds)
        self.event.refresh_from_db()
        while self.event.phase not in phases:
            assert self.event.status == Status.QUEUED, f"{self.event.phase} {self.event.status}: {self.told}"
            assert not deadline.is_over, f"in {self.event.phase} after {timeout_seconds:g} s: {self.told}"
            before = self.event.phase
            self.step()
            assert not self.event.timeline.filter(kind__in=("failed", "given-up")).exists(), self.told
            if self.event.phase == before:
                time.sleep(0.2)
        return self.event

    def through(self, timeout_seconds: float = 100.0) -> HealingEvent:
        """To the end."""
        return self.until(Phase.COMPLETED, Phase.ESCALATED, Phase.FAILED, timeout_seconds=timeout_seconds)

    @property
    def told(self) -> str:
        """The timeline as text."""
        return "\n".join(f"{e.phase} {e.kind}: {e.message}" for e in self.event.timeline.all())

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.event.timeline.all()]


Check = Callable[[], bool]
