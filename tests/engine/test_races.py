"""Two connections at once: exactly one wins, and the other is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from healing import dispatch, engine
from healing.approvals import service as approvals
from healing.lifecycle import Phase, Status
from healing.models import Approval, ApprovalState, HealingEvent
from healing.phase import LostRun, Note, PhaseResult
from healing.ports import Ports
from tests.engine.story import POLICY, World, fault
from tests.people import approver

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]
PORTS = Ports(cluster_name="default", cluster=None)  # type: ignore[arg-type]
ROUNDS = 8


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The messages are the test's own: nothing may reach another worker."""
    monkeypatch.setattr(dispatch, "send_run", lambda *_, **__: None)
    monkeypatch.setattr(dispatch, "send_mirror", lambda *_: None)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run each call in a thread with its own connection, all from one starting line; exceptions are results."""
    barrier = threading.Barrier(len(calls))
    results: list[Any] = [None] * len(calls)

    def work(index: int, call: Callable[[], Any]) -> None:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=60)
            results[index] = call()
        except Exception as error:  # noqa: BLE001 - the caller looks at each result
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    return results


def new_event(name: str = "api") -> HealingEvent:
    event, _ = engine.open_event(fault(name), None)
    HealingEvent.objects.filter(pk=event.pk).update(policy_snapshot=POLICY)
    event.refresh_from_db()
    return event


def walk_to_approval(event: HealingEvent) -> Approval:
    handlers = World().handlers()
    for _ in range(10):
        event.refresh_from_db()
        if event.phase == Phase.AWAITING_APPROVAL:
            return event.approvals.get(state=ApprovalState.OPEN)
        assert engine.run(event.pk, event.run_id, ports=PORTS, handlers=handlers)
    raise AssertionError(f"stuck in {event.phase}")


def test_one_of_two_workers_claims_a_run() -> None:
    for number in range(ROUNDS):
        event = new_event(f"api-{number}")
        results = at_once(*[partial(engine.claim, event.pk, event.run_id)] * 4)
        assert [r is not None for r in results].count(True) == 1, results


def test_two_sightings_of_one_fault_open_one_event() -> None:
    for number in range(ROUNDS):
        results = at_once(*[partial(engine.open_event, fault(f"api-{number}"), None)] * 4)
        events = {event.pk for event, _ in results}
        assert len(events) == 1
        assert [created for _, created in results].count(True) == 1
        assert HealingEvent.objects.get(pk=events.pop()).occurrences == 4


def test_approve_against_expire_has_one_winner() -> None:
    alice = approver()
    winners = set()
    for number in range(ROUNDS):
        approval = walk_to_approval(new_event(f"api-{number}"))
        # The clock of `approve` is the server's: it is still in time; the sweeper's clock is past it.
        soon = timezone.now() + timedelta(minutes=1)
        Approval.objects.filter(pk=approval.pk).update(expires_at=soon)
        approved, expired = at_once(
            partial(approvals.approve, approval.pk, by=alice, digest=approval.digest),
            partial(approvals.expire_due, soon + timedelta(seconds=1)),
        )
        approval.refresh_from_db()
        event = HealingEvent.objects.get(pk=approval.event_id)
        if isinstance(approved, Approval):
            assert (approval.state, expired, event.phase) == (ApprovalState.APPROVED, 0, Phase.HEALING)
        else:
            assert isinstance(approved, approvals.DecisionError)
            assert (approval.state, expired, event.phase) == (ApprovalState.EXPIRED, 1, Phase.LEARNING)
        winners.add(approval.state)
    assert winners <= {ApprovalState.APPROVED, ApprovalState.EXPIRED}


def test_of_two_people_the_second_is_told_who_was_first() -> None:
    people = [approver(name) for name in ("alice", "bob")]
    for number in range(ROUNDS):
        approval = walk_to_approval(new_event(f"api-{number}"))
        results = at_once(
            partial(approvals.approve, approval.pk, by=people[0], digest=approval.digest),
            partial(approvals.reject, approval.pk, by=people[1], comment="no"),
        )
        approval.refresh_from_db()
        losers = [r for r in results if isinstance(r, approvals.AlreadyDecided)]
        assert len(losers) == 1
        assert approval.decided_by_name in str(losers[0])
        assert HealingEvent.objects.get(pk=approval.event_id).status == Status.QUEUED


def test_a_sweep_while_the_worker_commits_changes_nothing_twice() -> None:
    for number in range(ROUNDS):
        event = new_event(f"api-{number}")
        claimed = engine.claim(event.pk, event.run_id)
        assert claimed is not None
        late = timezone.now() + timedelta(minutes=5)
        result = PhaseResult(Phase.DIAGNOSING, [Note("contained", "done")])
        committed, _ = at_once(
            partial(engine.commit, event.pk, event.run_id, result), partial(engine.sweep, ["default"], late)
        )
        event.refresh_from_db()
        kinds = list(event.timeline.values_list("kind", flat=True))
        if isinstance(committed, LostRun):
            assert (event.phase, kinds.count("contained")) == (Phase.CONTAINING, 0)
        else:
            assert (event.phase, kinds.count("contained")) == (Phase.DIAGNOSING, 1)
        assert list(event.timeline.values_list("seq", flat=True)) == list(range(1, event.seq + 1))
