"""Workers and beat leave signs of life (healing/alive.py) from where work is done, not from a thread beside it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import bootsteps
from celery.beat import Scheduler

from healing import alive

#: Two readings of one clock may differ by this much.
CLOCK_SLACK = timedelta(seconds=2)


class WorkerSign(bootsteps.StartStopStep):
    """Touched by the loop that takes tasks, while it is connected to the broker; without a broker it grows old."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._entry: Any = None

    def start(self, consumer: Any) -> None:
        name = str(consumer.hostname).partition("@")[0]
        alive.touch(name)
        self._entry = consumer.timer.call_repeatedly(alive.EVERY_SECONDS, alive.touch, (name,))

    def stop(self, consumer: Any) -> None:
        if self._entry is not None:
            self._entry.cancel()
            self._entry = None


class BeatSign(Scheduler):
    """Beat's scheduler, asked once a second what is due; it stands still while the broker cannot be reached.

    It keeps nothing on a disk: what it asks for is idempotent, so all of it is due when beat starts, and a file that
    could not be written, or that a clock set back has filled with times to come, would stop every sweep.
    """

    def setup_schedule(self) -> None:
        super().setup_schedule()
        self._all_ran_at(timedelta(days=-1))

    def tick(self, *args: Any, **options: Any) -> Any:
        ran = [(entry.last_run_at, entry.default_now()) for entry in self.schedule.values()]
        if any(at is not None and at > now + CLOCK_SLACK for at, now in ran):
            # The clock was set back: by itself Celery would wait until the time it ran at comes again.
            self._all_ran_at(timedelta())
            self._heap = None
        due_in_seconds = super().tick(*args, **options)
        alive.touch("beat")
        return due_in_seconds

    def _all_ran_at(self, ago: timedelta) -> None:
        for entry in self.schedule.values():
            entry.last_run_at = entry.default_now() + ago
