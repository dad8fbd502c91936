"""Beat and the clock: it begins with everything, keeps the beat, and goes on when the clock is set back."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.schedules import schedule

from healing import alive
from recist_web.signs_of_life import BeatSign

EVERY = {"sweep": 1.0, "release": 5.0, "upkeep": 3600.0}


class Beat:
    """Our scheduler on a clock of our own; ``sent`` counts what it asked for."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, 12, tzinfo=UTC)
        self.sent: Counter[str] = Counter()
        app = Celery("beat", broker="memory://", set_as_current=False)
        app.conf.beat_schedule = {
            name: {"task": name, "schedule": schedule(seconds, nowfun=lambda: self.now, app=app)}
            for name, seconds in EVERY.items()
        }
        self._scheduler = BeatSign(app)
        self._scheduler.apply_entry = self._count  # type: ignore[method-assign]

    def _count(self, entry: Any, producer: object = None) -> None:
        self.sent[entry.task] += 1

    def pass_seconds(self, seconds: float) -> Counter[str]:
        """What was asked for while so much time went by, in steps of a fifth of a second."""
        self.sent.clear()
        for _ in range(round(seconds * 5)):
            while self._scheduler.tick() == 0:
                pass
            self.now += timedelta(seconds=0.2)
        return self.sent


@pytest.fixture
def beat(monkeypatch: pytest.MonkeyPatch) -> Beat:
    monkeypatch.setattr(alive, "touch", lambda *_, **__: None)
    return Beat()


def test_all_is_due_at_the_start_and_then_in_its_time(beat: Beat) -> None:
    assert beat.pass_seconds(0.2) == {"sweep": 1, "release": 1, "upkeep": 1}
    found = beat.pass_seconds(30)
    assert 24 <= found["sweep"] <= 31
    assert 5 <= found["release"] <= 7
    assert found["upkeep"] == 0


@pytest.mark.parametrize("hours", [-1, -24, 1, 24])
def test_a_clock_that_jumps_changes_nothing_for_long(beat: Beat, hours: float) -> None:
    beat.pass_seconds(20)
    beat.now += timedelta(hours=hours)
    found = beat.pass_seconds(30)
    assert 20 <= found["sweep"] <= 32
    assert 4 <= found["release"] <= 7


def test_a_small_step_back_is_no_jump(beat: Beat) -> None:
    beat.pass_seconds(20)
    beat.now -= timedelta(seconds=1)
    found = beat.pass_seconds(20)
    assert 14 <= found["sweep"] <= 21
