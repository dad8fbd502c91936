"""The engine under every order of claims, crashes, redeliveries, decisions and sweeps that Hypothesis finds."""

from __future__ import annotations

import contextlib
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from healing import dispatch, engine
from healing.approvals import service as approvals
from healing.lifecycle import Phase, Status, is_terminal
from healing.models import Approval, ApprovalState, HealingEvent, TimelineEntry
from healing.phase import LostRun, Note, PhaseResult
from healing.ports import Ports
from tests.engine.story import DEATHS, POLICY, Killed, World, fault
from tests.people import approver

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]
PORTS = Ports(cluster_name="default", cluster=None)  # type: ignore[arg-type]


class EngineMachine(RuleBasedStateMachine):
    """One event store, a lossy and repeating broker, workers that die or come back late, and two people."""

    def __init__(self) -> None:
        super().__init__()
        HealingEvent.objects.all().delete()
        self.world = World()
        self.mail: list[tuple[int, uuid.UUID]] = []
        self.late: list[tuple[int, uuid.UUID, Any]] = []
        self.ended: dict[int, tuple[str, str, int]] = {}
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(dispatch, "send_run", lambda pk, run_id, phase, **_: self.mail.append((pk, run_id)))
        self._patch.setattr(dispatch, "send_mirror", lambda pk: None)
        self._patch.setattr(dispatch, "ring_doorbell", lambda name, seq: None)
        self.person = approver()

    def teardown(self) -> None:
        self._patch.undo()

    def run(self, message: tuple[int, uuid.UUID]) -> None:
        event_id, run_id = message
        event = HealingEvent.objects.get(pk=event_id)
        is_current = event.run_id == run_id and event.status == Status.QUEUED
        with contextlib.suppress(Killed):
            worked = engine.run(event_id, run_id, ports=PORTS, handlers=self.world.handlers())
            assert is_current or not worked  # what was claimed or superseded is never run again

    @rule(name=st.sampled_from(["api", "cart"]), symptom=st.sampled_from(["CrashLoopBackOff", "HighLatency"]))
    def fault_is_seen(self, name: str, symptom: str) -> None:
        event, _ = engine.open_event(fault(name, symptom), None)
        HealingEvent.objects.filter(pk=event.pk, policy_snapshot={}).update(policy_snapshot=POLICY)

    @precondition(lambda self: self.mail)
    @rule(data=st.data())
    def message_arrives(self, data: st.DataObject) -> None:
        self.run(data.draw(st.sampled_from(self.mail)))  # it stays: it may arrive again

    @precondition(lambda self: self.mail)
    @rule(data=st.data(), point=st.sampled_from(DEATHS))
    def worker_is_killed(self, data: st.DataObject, point: str) -> None:
        self.world.die_at = point
        self.run(data.draw(st.sampled_from(self.mail)))
        self.world.die_at = ""

    @precondition(lambda self: self.mail)
    @rule(data=st.data())
    def worker_hangs(self, data: st.DataObject) -> None:
        """Claims and computes, but does not commit yet."""
        event_id, run_id = data.draw(st.sampled_from(self.mail))
        event = engine.claim(event_id, run_id)
        if event is not None:
            self.late.append((event_id, run_id, event.phase))

    @precondition(lambda self: self.late)
    @rule()
    def hanging_worker_comes_back(self) -> None:
        event_id, run_id, phase = self.late.pop(0)
        event = HealingEvent.objects.get(pk=event_id)
        mine = event.run_id == run_id and event.status == Status.RUNNING
        try:
            engine.commit(event_id, run_id, PhaseResult.wait(0.0, [Note("late", "late")]))
        except LostRun:
            assert not mine
        else:
            assert mine
            assert event.phase == phase

    @precondition(lambda self: self.mail)
    @rule()
    def broker_forgets_everything(self) -> None:
        self.mail.clear()

    @rule()
    def time_passes(self) -> None:
        minute = timedelta(seconds=60)
        HealingEvent.objects.update(
            lease_expires_at=F("lease_expires_at") - minute,
            next_attempt_at=F("next_attempt_at") - minute,
            dispatched_at=F("dispatched_at") - minute,
        )
        engine.sweep(["default"])

    @rule()
    def sweeper_runs(self) -> None:
        engine.sweep(["default"])

    @rule(decision=st.sampled_from(["approve", "reject", "override", "expire"]), heals=st.booleans())
    def person_decides(self, *, decision: str, heals: bool) -> None:
        self.world.heals = heals
        approval = Approval.objects.filter(state=ApprovalState.OPEN).order_by("?").first()
        if approval is None:
            return
        if decision == "approve":
            approvals.approve(approval.pk, by=self.person, digest=approval.digest)
        elif decision == "reject":
            approvals.reject(approval.pk, by=self.person, comment="not now")
        elif decision == "override":
            other = approval.event.strategies.get(attempt=approval.event.attempt, key="restart")
            approvals.override(approval.pk, by=self.person, strategy_id=other.pk, digest=other.digest)
        else:
            Approval.objects.filter(pk=approval.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
            assert approvals.expire_due() == 1
        with pytest.raises(approvals.DecisionError):
            approvals.approve(approval.pk, by=self.person, digest=approval.digest)

    @rule(ask=st.booleans())
    def policy_changes(self, *, ask: bool) -> None:
        self.world.ask_person = ask

    @invariant()
    def timeline_has_no_gaps(self) -> None:
        for event in HealingEvent.objects.all():
            seqs = list(TimelineEntry.objects.filter(event=event).order_by("seq").values_list("seq", flat=True))
            assert seqs == list(range(1, event.seq + 1))

    @invariant()
    def people_are_asked_once(self) -> None:
        for event in HealingEvent.objects.all():
            open_questions = event.approvals.filter(state=ApprovalState.OPEN).count()
            assert open_questions == (1 if event.phase == Phase.AWAITING_APPROVAL else 0)

    @invariant()
    def terminal_stays_terminal(self) -> None:
        for event in HealingEvent.objects.all():
            now = (event.phase, event.outcome, event.seq)
            if event.pk in self.ended:
                assert self.ended[event.pk] == now
            elif is_terminal(Phase(event.phase)):
                assert event.status == Status.DONE
                assert event.finished_at is not None
                assert not event.phase_runs.filter(finished_at__isnull=True).exists()
                self.ended[event.pk] = now

    @invariant()
    def nothing_is_applied_twice(self) -> None:
        assert all(count == 1 for count in self.world.applied.values()), self.world.applied

    @invariant()
    def one_open_event_for_a_fault(self) -> None:
        open_events = HealingEvent.objects.filter(finished_at__isnull=True).values_list("fingerprint", flat=True)
        assert len(open_events) == len(set(open_events))


class CalmMachine(EngineMachine):
    """The same, and at the end of every story the world calms down: then each event must come to its end."""

    def teardown(self) -> None:
        for _ in range(60):
            self.time_passes()
            for message in list(self.mail):
                self.run(message)
            for approval in Approval.objects.filter(state=ApprovalState.OPEN):
                approvals.approve(approval.pk, by=self.person, digest=approval.digest)
            if not HealingEvent.objects.filter(finished_at__isnull=True).exists():
                break
        stuck = list(HealingEvent.objects.filter(finished_at__isnull=True).values_list("name", "phase", "status"))
        super().teardown()
        assert not stuck


CHECKS = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


def test_no_order_of_events_breaks_the_engine() -> None:
    run_state_machine_as_test(
        CalmMachine,
        settings=settings(max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=CHECKS),
    )
