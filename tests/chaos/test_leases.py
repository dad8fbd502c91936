"""A run past its lease: its worker lives, its worker was stopped, its handler hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from healing import dispatch, engine
from healing.engine import leasing, running
from healing.lifecycle import Phase, Status
from healing.models import HealingEvent
from healing.phase import LostRun, Note, PhaseContext, PhaseHandler, PhaseResult
from healing.ports import Ports
from tests.engine.story import POLICY, fault

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]
PORTS = Ports(cluster_name="default", cluster=None)  # type: ignore[arg-type]
LEASE_SECONDS = 2.0


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rules with shorter times: a deadline of 0.5 s, a lease of 2 s, renewed each 0.2 s, for 6 s at most."""
    monkeypatch.setattr(running, "RUN_DEADLINE_SECONDS", dict.fromkeys(Phase, 0.5))
    monkeypatch.setattr(running, "LEASE_GRACE_SECONDS", LEASE_SECONDS - 0.5)
    monkeypatch.setattr(leasing, "RENEW_EVERY_SECONDS", 0.2)
    monkeypatch.setattr(leasing, "RENEW_FOR_SECONDS", LEASE_SECONDS)
    monkeypatch.setattr(leasing, "MAX_OVERTIME_SECONDS", 6.0)
    monkeypatch.setattr(dispatch, "send_run", lambda *_, **__: None)
    monkeypatch.setattr(dispatch, "send_mirror", lambda *_: None)


class Handler:
    """Works until `finish` is set, then asks whether the run is still its own, and says what came of it."""

    def __init__(self, *, asks: bool = True) -> None:
        self.finish = threading.Event()
        self.begun = threading.Event()
        self.was_lost = False
        self._asks = asks

    def __call__(self, context: PhaseContext) -> PhaseResult:
        self.begun.set()
        assert self.finish.wait(60)
        if self._asks:
            try:
                context.check_still_mine()
            except LostRun:
                self.was_lost = True
                raise
        return PhaseResult(Phase.DIAGNOSING, [Note("contained", "contained")])


@contextmanager
def at_work(handler: Handler) -> Iterator[HealingEvent]:
    """A worker's thread runs the event's first phase; it has ended when the block is left."""
    event, _ = engine.open_event(fault(), None)
    HealingEvent.objects.filter(pk=event.pk).update(policy_snapshot=POLICY)
    handlers: dict[Phase, PhaseHandler] = {Phase.CONTAINING: handler}

    def work() -> None:
        try:
            engine.run(event.pk, event.run_id, ports=PORTS, handlers=handlers)
        finally:
            connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        assert handler.begun.wait(60)
        yield event
    finally:
        handler.finish.set()
        worker.join(60)
        assert not worker.is_alive()


def lease_of(event: HealingEvent) -> float:
    """Seconds that are left of it."""
    event.refresh_from_db()
    assert event.lease_expires_at is not None
    return (event.lease_expires_at - timezone.now()).total_seconds()


def until(look: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_a_slow_run_keeps_its_lease_and_is_committed_once() -> None:
    handler = Handler()
    with at_work(handler) as event:
        began, over_in = time.monotonic(), lease_of(event)
        until(lambda: time.monotonic() > began + over_in, "the first lease would be over")
        assert lease_of(event) > 0
        assert engine.sweep(["default"]) == 0
    event.refresh_from_db()
    assert event.phase == Phase.DIAGNOSING
    assert list(event.timeline.values_list("kind", flat=True)).count("contained") == 1
    assert not event.timeline.filter(kind="worker-lost").exists()


def test_a_run_that_is_in_time_is_not_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    renewed: list[int] = []
    monkeypatch.setattr(leasing, "_renew_once", lambda event_id, _: renewed.append(event_id))
    monkeypatch.setattr(running, "RUN_DEADLINE_SECONDS", dict.fromkeys(Phase, 30.0))  # a busy machine is in time, too
    handler = Handler()
    handler.finish.set()
    with at_work(handler) as event:
        pass
    event.refresh_from_db()
    assert (event.phase, renewed) == (Phase.DIAGNOSING, [])


def test_a_run_that_hangs_is_lost_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasing, "MAX_OVERTIME_SECONDS", 0.5)
    handler = Handler()
    with at_work(handler) as event:
        until(lambda: engine.sweep(["default"]), "the sweeper takes the run back")
        event.refresh_from_db()
        assert (event.status, event.phase) == (Status.QUEUED, Phase.CONTAINING)
    assert handler.was_lost
    kinds = list(event.timeline.values_list("kind", flat=True))
    assert kinds.count("worker-lost") == 1
    assert "contained" not in kinds


def test_who_comes_back_after_its_run_was_given_away_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process that was stopped: nothing of it runs, its lease ends, another one works; then it goes on."""
    frozen = threading.Event()
    once = leasing._renew_once

    def stopped(event_id: int, run_id: object) -> bool:
        assert frozen.wait(60)
        return once(event_id, run_id)  # type: ignore[arg-type]

    monkeypatch.setattr(leasing, "_renew_once", stopped)
    handler = Handler(asks=False)
    with at_work(handler) as event:
        until(lambda: engine.sweep(["default"]), "the sweeper takes the run back")
        event.refresh_from_db()
        taken = engine.claim(event.pk, event.run_id) if event.next_attempt_at is None else None
        HealingEvent.objects.filter(pk=event.pk).update(next_attempt_at=None)
        taken = taken or engine.claim(event.pk, event.run_id)
        assert taken is not None
        frozen.set()
        handler.finish.set()
    event.refresh_from_db()
    assert (event.run_id, event.status, event.lease_expires_at) == (
        taken.run_id,
        Status.RUNNING,
        taken.lease_expires_at,
    )
    assert not event.timeline.filter(kind="contained").exists()


def test_a_database_that_is_away_for_a_moment_does_not_end_the_renewing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection of the renewing thread is cut; the next turn makes a new one."""
    once, cut = leasing._renew_once, threading.Event()

    def breaking(event_id: int, run_id: object) -> bool:
        if not cut.is_set():
            cut.set()
            connection.ensure_connection()
            connection.connection.close()
        return once(event_id, run_id)  # type: ignore[arg-type]

    monkeypatch.setattr(leasing, "_renew_once", breaking)
    handler = Handler()
    with at_work(handler) as event:
        began, over_in = time.monotonic(), lease_of(event)
        until(lambda: time.monotonic() > began + over_in, "the first lease would be over")
        assert cut.is_set()
        assert lease_of(event) > 0
        assert engine.sweep(["default"]) == 0
    event.refresh_from_db()
    assert event.phase == Phase.DIAGNOSING


def set_back(event: HealingEvent, column: str) -> None:
    """What the clock wrote before it was set back by an hour."""
    HealingEvent.objects.filter(pk=event.pk).update(**{column: timezone.now() + timedelta(hours=1)})


@pytest.mark.parametrize("column", ["next_attempt_at", "dispatched_at"])
def test_a_queued_run_does_not_wait_for_a_clock_that_was_set_back(column: str) -> None:
    event, _ = engine.open_event(fault(), None)
    HealingEvent.objects.filter(pk=event.pk).update(dispatched_at=timezone.now() - timedelta(minutes=1))
    set_back(event, column)
    assert engine.sweep(["default"]) == 1
    event.refresh_from_db()
    assert engine.claim(event.pk, event.run_id) is not None


def test_a_dead_workers_lease_does_not_outlive_a_clock_that_was_set_back() -> None:
    event, _ = engine.open_event(fault(), None)
    assert engine.claim(event.pk, event.run_id) is not None
    assert engine.sweep(["default"]) == 0
    set_back(event, "lease_expires_at")
    assert engine.sweep(["default"]) == 1
    event.refresh_from_db()
    assert event.status == Status.QUEUED


def test_what_is_put_off_for_a_while_is_still_put_off() -> None:
    event, _ = engine.open_event(fault(), None)
    soon = timezone.now() + timedelta(seconds=50)
    HealingEvent.objects.filter(pk=event.pk).update(next_attempt_at=soon, dispatched_at=soon)
    assert engine.sweep(["default"]) == 0
    assert engine.claim(event.pk, event.run_id) is None
