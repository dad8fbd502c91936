"""Celery by the shared clock: when a message is to be run, and until when, is not for two machines' clocks to say.

Celery writes both as times of the sender's clock and compares them with the receiver's. With a receiver a few seconds
ahead, every tick of beat that expires after one second would be dropped, and with it the sweeper.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from celery import Celery, Task, signals
from celery.worker.request import Request
from celery.worker.state import revoked as revoked_tasks

from healing import shared_clock


class SharedClockRequest(Request):
    """A message that was received."""

    _eta: datetime | None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self._eta is not None:
            # The worker will compare it with this machine's clock.
            self._eta -= shared_clock.off()

    def maybe_expire(self) -> Literal[True] | None:
        """Whether its time is over; then it is not run."""
        if not self.expires or shared_clock.now() <= self.expires:
            return None
        revoked_tasks.add(self.id)
        return True


class SharedClockTask(Task):  # type: ignore[type-arg]
    """Every task of ours."""

    Request = "recist_web.celery_clock:SharedClockRequest"


class SharedClockCelery(Celery):
    """Celery, whose "now" is the database's."""

    def now(self) -> datetime:
        """For what is sent, and for what beat has to send."""
        return shared_clock.now().astimezone(self.timezone)


def _follow(**_: Any) -> None:
    shared_clock.follow()


def connect() -> None:
    """Once in every process that sends or runs tasks."""
    signals.celeryd_after_setup.connect(_follow, dispatch_uid="shared-clock", weak=False)
    signals.beat_init.connect(_follow, dispatch_uid="shared-clock", weak=False)
