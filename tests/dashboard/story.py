"""Plays events through the real engine with scripted phases, so that pages and sockets show what they would in life.

`play` advances a clock of its own, so clocks and timelines have realistic times without anybody waiting for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import cast
from unittest import mock

from django.contrib.auth.models import Group, User
from django.db.models import F

from healing import engine
from healing.approvals import service
from healing.approvals.permissions import APPROVER_GROUP
from healing.faults import Fault, Severity, SignalSource
from healing.lifecycle import TERMINAL_PHASE_OF_OUTCOME, Outcome, Phase, Status
from healing.models import (
    ActionRun,
    ActionState,
    ActorKind,
    Approval,
    HealingEvent,
    Policy,
    Strategy,
    StrategyState,
)
from healing.phase import Note, PhaseContext, PhaseHandler, PhaseResult
from healing.ports import Ports
from tests.dashboard import cases
from tests.dashboard.cases import Case

#: Seconds each phase takes in the story.
TAKES = {
    Phase.CONTAINING: 1.8,
    Phase.DIAGNOSING: 6.4,
    Phase.PLANNING: 3.1,
    Phase.HEALING: 2.2,
    Phase.VERIFYING: 11.0,
    Phase.LEARNING: 0.9,
}


class Clock:
    """A time that moves when told to."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@contextmanager
def at(moment: datetime) -> Iterator[Clock]:
    """Everything that asks Django for the time gets this clock's."""
    clock = Clock(moment)
    with mock.patch("django.utils.timezone.now", clock):
        yield clock


def policy(name: str = "shop", namespace: str = "shop") -> Policy:
    spec = {"targetNamespaces": [namespace]}
    found, _ = Policy.objects.get_or_create(cluster="default", namespace=namespace, name=name, defaults={"spec": spec})
    return found


def approver(name: str = "alice", password: str = "correct horse battery") -> User:
    user = User.objects.create_user(name, password=password)
    user.groups.add(Group.objects.get_or_create(name=APPROVER_GROUP)[0])
    return user


def viewer(name: str = "vera", password: str = "correct horse battery") -> User:
    user = User.objects.create_user(name, password=password)
    user.groups.add(Group.objects.get_or_create(name="viewer")[0])
    return user


def open_case(case: Case, now: datetime) -> HealingEvent:
    fault = Fault(
        cluster="default",
        target=case.target,
        symptom=case.symptom,
        message=case.message,
        severity=Severity(case.severity),
        source=SignalSource.METRICS if case.symptom.startswith("High") else SignalSource.WATCH,
        observed_at=now,
        subject=case.subject,
    )
    return engine.open_event(fault, policy(namespace=case.target.namespace))[0]


class Script:
    """Handlers that say what a case has for them."""

    def __init__(self, case: Case, clock: Clock | None = None, *, outcome: Outcome = Outcome.HEALED) -> None:
        self.case = case
        self.clock = clock
        self.outcome = outcome

    def handlers(self) -> dict[Phase, PhaseHandler]:
        return {
            Phase.CONTAINING: self._contain,
            Phase.DIAGNOSING: self._diagnose,
            Phase.PLANNING: self._plan,
            Phase.HEALING: self._heal,
            Phase.VERIFYING: self._verify,
            Phase.LEARNING: self._learn,
        }

    def _take(self, phase: Phase, share: float = 1.0) -> datetime:
        if self.clock:
            self.clock.forward(TAKES[phase] * share)
            return self.clock.at
        return datetime.now(UTC)

    def _contain(self, context: PhaseContext) -> PhaseResult:
        now = self._take(Phase.CONTAINING)
        return PhaseResult(
            Phase.DIAGNOSING, [Note("contained", self.case.contained, source="containment")], {"contained_at": now}
        )

    def _diagnose(self, context: PhaseContext) -> PhaseResult:
        self._take(Phase.DIAGNOSING, 0.4)
        context.report(Note("evidence", "Read status, events, logs, history and 3 metrics", source="diagnosis"))
        now = self._take(Phase.DIAGNOSING, 0.6)
        best = self.case.diagnosis.best
        assert best is not None
        message = f"{best.cause} at {best.object} ({best.confidence:.0%}): {best.explanation}"
        fields = {
            "cause": best.cause,
            "cause_object": best.object.as_json(),
            "confidence": best.confidence,
            "diagnosis": self.case.diagnosis.as_json(),
            "diagnosed_at": now,
        }
        return PhaseResult(
            Phase.PLANNING, [Note("diagnosed", message, actor_kind=ActorKind.RULE, source="diagnosis")], fields
        )

    def _plan(self, context: PhaseContext) -> PhaseResult:
        now = self._take(Phase.PLANNING)
        first = self.case.options[0]
        count = len(self.case.options)
        argued = f"{count} strategy argued" if count == 1 else f"{count} strategies argued"
        message = f"{argued}; chosen: {first.title} (score {first.score:.2f})"

        def write(event: HealingEvent) -> None:
            rows = [self._strategy(event, index) for index in range(len(self.case.options))]
            if self.case.ask:
                Approval.objects.create(
                    event=event,
                    strategy=rows[0],
                    digest=rows[0].digest,
                    risk=rows[0].risk,
                    reason=self.case.ask,
                    created_at=now,
                    expires_at=now + timedelta(minutes=30),
                )

        following = Phase.AWAITING_APPROVAL if self.case.ask else Phase.HEALING
        return PhaseResult(following, [Note("planned", message, source="metacognition")], writes=write)

    def _strategy(self, event: HealingEvent, index: int) -> Strategy:
        option = self.case.options[index]
        plan = option.plan
        return Strategy.objects.create(
            event=event,
            attempt=event.attempt,
            key=option.key,
            title=option.title,
            rationale=option.rationale,
            origin=option.origin,
            steps=[
                {
                    "action": plan.action,
                    "target": plan.target.as_json(),
                    "parameters": plan.parameters,
                    "plan": plan.as_json(),
                }
            ],
            risk=plan.risk,
            score=option.score,
            confidence=option.confidence,
            arguments=[
                {"turn": turn, "topic": topic, "text": text, "weight": weight, "data": {}}
                for turn, (topic, text, weight) in enumerate(option.arguments, start=1)
            ],
            state=self._state(index),
            state_reason=option.refused,
            digest=plan.digest,
        )

    def _state(self, index: int) -> StrategyState:
        if index == 0:
            return StrategyState.CHOSEN
        return StrategyState.REFUSED if self.case.options[index].refused else StrategyState.PROPOSED

    def _heal(self, context: PhaseContext) -> PhaseResult:
        strategy = context.event.strategies.filter(state=StrategyState.CHOSEN).order_by("-attempt").first()
        assert strategy is not None
        now = self._take(Phase.HEALING)
        plan = strategy.steps[0]["plan"]

        def write(event: HealingEvent) -> None:
            ActionRun.objects.create(
                event=event,
                strategy=strategy,
                key=f"{event.name}/heal/{event.attempt}",
                action=plan["action"],
                target=plan["target"],
                state=ActionState.APPLIED,
                diff=[{key: change[key] for key in ("path", "before", "after")} for change in plan["changes"]],
                applied_at=now,
            )
            Strategy.objects.filter(pk=strategy.pk).update(state=StrategyState.APPLIED, applied_at=now)

        note = Note("applied", f"Carried out: {strategy.title}", source="metacognition")
        return PhaseResult(Phase.VERIFYING, [note], writes=write)

    def _verify(self, context: PhaseContext) -> PhaseResult:
        now = self._take(Phase.VERIFYING)
        healed = self.outcome is Outcome.HEALED
        state = StrategyState.SUCCEEDED if healed else StrategyState.FAILED

        def write(event: HealingEvent) -> None:
            event.strategies.filter(state=StrategyState.APPLIED).update(state=state)

        text = (
            "All replicas are ready for 10 s and the metrics are below their thresholds" if healed else "Still failing"
        )
        return PhaseResult(
            Phase.LEARNING,
            [Note("verified" if healed else "not-verified", text, source="metacognition")],
            {"healed_at": now} if healed else {},
            {"good": ["all 3 replicas are updated, ready and available", "failed requests are at 0.3 %, below 5 %"]},
            outcome=self.outcome,
            outcome_reason="" if healed else "No strategy is left that helped",
            writes=write,
        )

    def _learn(self, context: PhaseContext) -> PhaseResult:
        self._take(Phase.LEARNING)
        outcome = Outcome(context.event.outcome)
        return PhaseResult(
            TERMINAL_PHASE_OF_OUTCOME[outcome],
            [Note("remembered", "Written down for the next time", source="knowledge")],
            {"knowledge_ref": f"k-{context.event.name[3:]}"},
        )


def step(event: HealingEvent, script: Script) -> HealingEvent:
    """Run the event's current phase once, as a worker would."""
    event.refresh_from_db()
    assert engine.run(event.pk, event.run_id, ports=cast("Ports", None), handlers=script.handlers())
    event.refresh_from_db()
    return event


def play(
    case: Case,
    start: datetime,
    until: Phase | None = None,
    *,
    by: User | None = None,
    outcome: Outcome = Outcome.HEALED,
) -> HealingEvent:
    """Play a case from its detection until it enters ``until`` (or its end). ``by`` decides where a person is asked."""
    with at(start) as clock:
        script = Script(case, clock, outcome=outcome)
        event = open_case(case, start)
        clock.forward(0.3)
        while event.phase != until and event.status != Status.DONE:
            if event.phase == Phase.AWAITING_APPROVAL:
                assert by is not None
                clock.forward(48)
                approval = event.approvals.get()
                if outcome is Outcome.DECLINED:
                    service.reject(
                        approval.pk,
                        by=by,
                        comment="We roll forward instead: 2.4.2 is on its way",
                        digest=approval.digest,
                    )
                else:
                    service.approve(approval.pk, by=by, digest=approval.digest)
                event.refresh_from_db()
            else:
                event = step(event, script)
                clock.forward(0.1)
    return event


def tell_all(now: datetime, by: User) -> dict[str, HealingEvent]:
    """Events in every phase and with every outcome; names say which."""
    ago = lambda **how_long: now - timedelta(**how_long)  # noqa: E731 - a word for this one table
    told = {
        "waiting": play(cases.bad_rollout(ago(seconds=80)), ago(seconds=80), Phase.AWAITING_APPROVAL),
        "waiting-high": play(cases.slow_dependency(ago(minutes=9)), ago(minutes=9), Phase.AWAITING_APPROVAL),
        "verifying": play(cases.memory_limit(ago(seconds=19)), ago(seconds=19), Phase.VERIFYING),
        "diagnosing": play(cases.memory_limit(ago(seconds=5), "search"), ago(seconds=5), Phase.DIAGNOSING),
        "healed": play(cases.bad_rollout(ago(minutes=14), "payments"), ago(minutes=14), by=by),
        "healed-low": play(cases.memory_limit(ago(minutes=31), "catalogue"), ago(minutes=31)),
        "declined": play(cases.bad_rollout(ago(hours=2), "carts"), ago(hours=2), by=by, outcome=Outcome.DECLINED),
        "escalated": play(
            cases.memory_limit(ago(hours=5), "thumbnails", "media"), ago(hours=5), outcome=Outcome.ESCALATED
        ),
        "healed-yesterday": play(cases.memory_limit(ago(hours=26), "mailer", "media"), ago(hours=26)),
    }
    HealingEvent.objects.update(mirrored_seq=F("seq"))
    _be_running(told["verifying"], ago(seconds=4))
    _be_running(told["diagnosing"], ago(seconds=3))
    return told


def keep_running(told: dict[str, HealingEvent], now: datetime) -> None:
    """Move the running events of `tell_all` to the present, for whoever looks at them later."""
    for name, seconds in (("verifying", 6), ("diagnosing", 4)):
        since = now - timedelta(seconds=seconds)
        told[name].phase_runs.filter(finished_at=None).update(started_at=since)
        lease = {"lease_expires_at": now + timedelta(seconds=10), "detected_at": since - timedelta(seconds=seconds)}
        HealingEvent.objects.filter(pk=told[name].pk).update(**lease)


def _be_running(event: HealingEvent, since: datetime) -> None:
    """As if a worker had just claimed it, which keeps it 'running' on the page."""
    with at(since):
        event.refresh_from_db()
        claimed = engine.claim(event.pk, event.run_id)
    assert claimed is not None
