"""Machines whose clocks are wrong: who holds a run, what has expired and what was watched is the database's to say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from celery import current_app
from django.db import connection

from healing import dispatch, engine, shared_clock
from healing.lifecycle import Phase, Status
from healing.models import HealingEvent
from healing.tasks import sweep
from recist_web.celery_clock import SharedClockRequest
from tests.engine.story import POLICY, fault

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process goes by the database's clock, as workers do."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no clock of its own")
    monkeypatch.setattr(shared_clock, "_following", shared_clock._Following())
    assert shared_clock._following.measure()
    monkeypatch.setattr(dispatch, "send_run", lambda *_, **__: None)
    monkeypatch.setattr(dispatch, "send_mirror", lambda *_: None)


@contextmanager
def wrong_by(seconds: float) -> Iterator[None]:
    with time_machine.travel(time.time() + seconds, tick=True):
        assert abs((datetime.now(UTC) - shared_clock.now()).total_seconds() - seconds) < 1
        yield


def databases_time() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0]
    return found


@pytest.mark.parametrize("seconds", [600, -600, 86_400])
def test_the_shared_time_is_the_databases_after_a_jump_too(seconds: float) -> None:
    with wrong_by(seconds):
        assert abs((shared_clock.now() - databases_time()).total_seconds()) < 1
        assert shared_clock._following.measure()
        assert abs((shared_clock.now() - databases_time()).total_seconds()) < 1
    assert abs((shared_clock.now() - databases_time()).total_seconds()) < 1


def test_a_clock_that_is_right_is_left_alone() -> None:
    assert shared_clock.off() == timedelta()


def claimed() -> HealingEvent:
    event, _ = engine.open_event(fault(), None)
    HealingEvent.objects.filter(pk=event.pk).update(policy_snapshot=POLICY, phase=Phase.DIAGNOSING)
    event.refresh_from_db()
    found = engine.claim(event.pk, event.run_id)
    assert found is not None
    return found


@pytest.mark.parametrize(("worker", "sweeper"), [(0, 600), (600, 0), (-600, 600), (600, -600)])
def test_no_sweeper_takes_a_run_from_a_worker_that_lives(worker: float, sweeper: float) -> None:
    with wrong_by(worker):
        event = claimed()
    with wrong_by(sweeper):
        assert engine.sweep(["default"]) == 0
    event.refresh_from_db()
    assert event.status == Status.RUNNING


@pytest.mark.parametrize(("worker", "sweeper"), [(600, 0), (-600, 0), (600, -600)])
def test_a_run_whose_worker_died_is_queued_again_in_time(
    worker: float, sweeper: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    with wrong_by(worker):
        event = claimed()
    monkeypatch.setattr(shared_clock._following, "ahead", (shared_clock._following.ahead or 0.0) + 60)
    with time_machine.travel(time.time() + sweeper, tick=True):
        assert engine.sweep(["default"]) == 1, "a minute later it is taken for lost"
    event.refresh_from_db()
    assert event.status == Status.QUEUED


class Message:
    """What Celery hands to the request that is made of it."""

    def __init__(self, expires: datetime | None = None, eta: datetime | None = None) -> None:
        self.headers = {
            "task": sweep.name,
            "id": "a-message",
            "expires": expires.isoformat() if expires else None,
            "eta": eta.isoformat() if eta else None,
        }
        self.body: list[object] = [[], {}, {}]
        self.content_type, self.content_encoding = "application/json", "utf-8"
        self.delivery_info: dict[str, object] = {}
        self.properties: dict[str, object] = {}


def received(message: Message) -> SharedClockRequest:
    return SharedClockRequest(message, app=current_app._get_current_object(), decoded=True)


@pytest.mark.parametrize("seconds", [-600, 0, 600])
def test_beats_ticks_reach_workers_whose_clocks_are_wrong(seconds: float) -> None:
    expires = current_app.now() + timedelta(seconds=5)
    with wrong_by(seconds):
        assert not received(Message(expires)).maybe_expire()
        assert received(Message(expires - timedelta(seconds=10))).maybe_expire()


@pytest.mark.parametrize("seconds", [-600, 600])
def test_a_message_for_later_is_run_then(seconds: float) -> None:
    wanted = current_app.now() + timedelta(seconds=5)
    with wrong_by(seconds):
        eta = received(Message(eta=wanted)).eta
        assert eta is not None
        assert abs((eta - datetime.now(UTC)).total_seconds() - 5) < 1, "Celery compares it with the machine's clock"


def test_what_celery_sends_is_timed_by_the_shared_clock() -> None:
    with wrong_by(600):
        assert abs((current_app.now() - databases_time()).total_seconds()) < 1
