"""What the engine does with results, failures and lost workers, one case each."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from healing import dispatch, engine
from healing.lifecycle import MAX_TRIES, Outcome, Phase, Status
from healing.models import HealingEvent, PhaseRunState
from healing.phase import Note, PhaseContext, PhaseResult
from healing.ports import Ports
from tests.engine.story import POLICY, World, fault

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]
PORTS = Ports(cluster_name="default", cluster=None)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, uuid.UUID, Phase, float]]:
    messages: list[tuple[int, uuid.UUID, Phase, float]] = []

    def send_run(pk: int, run_id: uuid.UUID, phase: Phase, *, countdown_seconds: float = 0.0) -> None:
        messages.append((pk, run_id, phase, countdown_seconds))

    monkeypatch.setattr(dispatch, "send_run", send_run)
    monkeypatch.setattr(dispatch, "send_mirror", lambda *_: None)
    return messages


def opened() -> HealingEvent:
    event, _ = engine.open_event(fault(), None)
    HealingEvent.objects.filter(pk=event.pk).update(policy_snapshot=POLICY)
    return fresh(event)


def fresh(event: HealingEvent) -> HealingEvent:
    return HealingEvent.objects.get(pk=event.pk)


def run(event: HealingEvent, world: World) -> HealingEvent:
    """Run what is queued, due or not."""
    HealingEvent.objects.filter(pk=event.pk).update(next_attempt_at=None)
    event = fresh(event)
    engine.run(event.pk, event.run_id, ports=PORTS, handlers=world.handlers())
    return fresh(event)


def test_a_fault_walks_through_all_phases() -> None:
    world, event = World(ask_person=False), opened()
    seen = []
    while event.is_open:
        seen.append(event.phase)
        event = run(event, world)
    assert seen == ["Pending", "Diagnosing", "Planning", "Healing", "Verifying", "Verifying", "Learning"]
    assert (event.phase, event.outcome, event.status) == (Phase.COMPLETED, Outcome.HEALED, Status.DONE)
    runs = list(event.phase_runs.values_list("phase", "state", "claims"))
    assert runs == [
        ("Containing", "done", 1),
        ("Diagnosing", "done", 1),
        ("Planning", "done", 1),
        ("Healing", "done", 1),
        ("Verifying", "done", 2),
        ("Learning", "done", 1),
    ]


def test_the_next_run_is_sent_to_the_queue_of_its_phase_after_commit(
    sent: list[tuple[int, uuid.UUID, Phase, float]],
) -> None:
    event = run(opened(), World())
    assert sent[-1] == (event.pk, event.run_id, Phase.DIAGNOSING, 0.0)


def test_waiting_keeps_the_phase_and_sends_a_later_run(sent: list[tuple[int, uuid.UUID, Phase, float]]) -> None:
    world, event = World(ask_person=False), opened()
    for _ in range(5):
        event = run(event, world)
    assert (event.phase, event.status, sent[-1][3]) == (Phase.VERIFYING, Status.QUEUED, 2.0)
    assert engine.claim(event.pk, event.run_id) is None, "a message that comes too early is not run"
    HealingEvent.objects.filter(pk=event.pk).update(
        next_attempt_at=F("next_attempt_at") - timedelta(minutes=1),
        dispatched_at=F("dispatched_at") - timedelta(minutes=1),
    )
    assert engine.sweep(["default"]) == 1, "the message was lost: the sweeper sends it again"
    assert engine.sweep(["default"]) == 0


def test_a_failing_containment_does_not_stop_the_healing() -> None:
    event = opened()

    def broken(context: PhaseContext) -> PhaseResult:
        raise RuntimeError("no route to cluster")

    for attempt in range(1, MAX_TRIES + 1):
        HealingEvent.objects.filter(pk=event.pk).update(next_attempt_at=None)
        event = fresh(event)
        assert (event.tries, event.status) == (attempt - 1, Status.QUEUED)
        engine.run(event.pk, event.run_id, ports=PORTS, handlers={Phase.CONTAINING: broken})
    event = fresh(event)
    assert (event.phase, event.status, event.outcome) == (Phase.DIAGNOSING, Status.QUEUED, "")
    assert "no route to cluster" in event.timeline.filter(kind="given-up").get().message
    assert event.phase_runs.get().state == PhaseRunState.FAILED


@pytest.mark.parametrize("phase", [Phase.DIAGNOSING, Phase.PLANNING, Phase.HEALING, Phase.VERIFYING])
def test_what_cannot_be_run_is_escalated_never_called_healed(phase: Phase) -> None:
    world, event = World(ask_person=False), opened()
    while event.phase != phase:
        event = run(event, world)

    def broken(context: PhaseContext) -> PhaseResult:
        raise RuntimeError("boom")

    for _ in range(MAX_TRIES):
        HealingEvent.objects.filter(pk=event.pk).update(next_attempt_at=None)
        event = fresh(event)
        engine.run(event.pk, event.run_id, ports=PORTS, handlers={phase: broken})
    event = run(fresh(event), world)
    assert (event.phase, event.outcome) == (Phase.ESCALATED, Outcome.ESCALATED)


def test_an_event_that_kills_every_worker_is_given_up() -> None:
    event = opened()
    for _ in range(MAX_TRIES):
        HealingEvent.objects.filter(pk=event.pk).update(next_attempt_at=None)
        event = fresh(event)
        assert engine.claim(event.pk, event.run_id) is not None  # and dies
        assert engine.sweep(["default"], timezone.now() + timedelta(minutes=1)) == 1
    assert fresh(event).phase == Phase.DIAGNOSING


def test_learning_that_fails_keeps_the_outcome() -> None:
    world, event = World(ask_person=False), opened()
    while event.phase != Phase.LEARNING:
        event = run(event, world)

    def broken(context: PhaseContext) -> PhaseResult:
        raise RuntimeError("memory is gone")

    for _ in range(MAX_TRIES):
        HealingEvent.objects.filter(pk=event.pk).update(next_attempt_at=None)
        event = fresh(event)
        engine.run(event.pk, event.run_id, ports=PORTS, handlers={Phase.LEARNING: broken})
    event = fresh(event)
    assert (event.phase, event.outcome) == (Phase.COMPLETED, Outcome.HEALED)


def test_a_phase_cannot_write_the_engines_columns() -> None:
    event = opened()
    claimed = engine.claim(event.pk, event.run_id)
    assert claimed is not None
    with pytest.raises(ValueError, match="seq"):
        engine.commit(event.pk, event.run_id, PhaseResult(Phase.DIAGNOSING, fields={"seq": 99}))
    assert fresh(event).phase == Phase.CONTAINING


def test_a_claim_of_success_without_an_outcome_is_refused() -> None:
    world, event = World(ask_person=False), opened()
    while event.phase != Phase.LEARNING:
        event = run(event, world)
    HealingEvent.objects.filter(pk=event.pk).update(outcome="")
    engine.claim(event.pk, event.run_id)
    with pytest.raises(ValueError, match="does not end in"):
        engine.commit(event.pk, event.run_id, PhaseResult(Phase.COMPLETED))


def test_what_is_written_with_a_result_is_rolled_back_with_it() -> None:
    event = opened()
    engine.claim(event.pk, event.run_id)

    def fails(_: HealingEvent) -> None:
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        engine.commit(event.pk, event.run_id, PhaseResult(Phase.DIAGNOSING, [Note("contained", "done")], writes=fails))
    assert list(event.timeline.values_list("kind", flat=True)) == ["detected"]


def test_new_symptoms_of_one_workload_join_its_event() -> None:
    event = opened()
    for symptom in ("CrashLoopBackOff", "HighErrorRate", "HighErrorRate"):
        same, created = engine.open_event(fault(symptom=symptom), None)
        assert (same.pk, created) == (event.pk, False)
    event = fresh(event)
    assert event.occurrences == 4
    assert [s["symptom"] for s in event.signals] == ["CrashLoopBackOff", "HighErrorRate"]
    assert list(event.timeline.values_list("kind", flat=True)) == ["detected", "signal"]


def test_time_people_take_is_counted_beside_the_healing() -> None:
    world, event = World(), opened()
    while event.phase != Phase.AWAITING_APPROVAL:
        event = run(event, world)
    event.phase_runs.filter(phase=Phase.AWAITING_APPROVAL).update(started_at=timezone.now() - timedelta(seconds=90))
    engine.move(event.pk, Phase.AWAITING_APPROVAL, PhaseResult(Phase.HEALING))
    assert 90 <= fresh(event).waited_seconds < 95
    with pytest.raises(engine.WrongPhase):
        engine.move(event.pk, Phase.AWAITING_APPROVAL, PhaseResult(Phase.HEALING))
