"""Workers and beat leave signs of life (healing/alive.py) from where work is done, not from a thread beside it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from celery import bootsteps
from celery.beat import Scheduler
from celery.worker.consumer import Consumer

from healing import alive

#: Two readings of one clock may differ by this much.
CLOCK_SLACK = timedelta(seconds=2)
#: Celery by itself would let half a minute go by between two tries at a broker that has long been back.
_LONGEST_PAUSE_SECONDS = 2.0


def name_of(consumer: Any) -> str:
    """The worker's own name, without its host."""
    return str(consumer.hostname).partition("@")[0]


def _patient(connection: Any, name: str) -> Any:
    """The connection, which tries for ever, and leaves a sign of life each second that it has to wait."""
    ensure = connection.ensure_connection

    def ensure_connection(errback: Any = None, _max_retries: int | None = None, callback: Any = None) -> Any:
        def turn() -> None:
            alive.touch(name)
            if callback is not None:
                callback()

        return ensure(
            errback, None, interval_start=1.0, interval_step=1.0, interval_max=_LONGEST_PAUSE_SECONDS, callback=turn
        )

    connection.ensure_connection = ensure_connection
    return connection


class PatientConsumer(Consumer):
    """Celery's, alive while it waits for the broker."""

    def ensure_connected(self, conn: Any) -> Any:
        return super().ensure_connected(_patient(conn, name_of(self)))


class WorkerSign(bootsteps.StartStopStep):
    """Touched by the loop that takes tasks, while it is connected to the broker: the worker is ready."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._entry: Any = None

    def start(self, consumer: Any) -> None:
        touch: Callable[[], None] = lambda: alive.touch(name_of(consumer), is_ready=True)  # noqa: E731
        touch()
        self._entry = consumer.timer.call_repeatedly(alive.EVERY_SECONDS, touch)

    def stop(self, consumer: Any) -> None:
        if self._entry is not None:
            self._entry.cancel()
            self._entry = None


class BeatSign(Scheduler):
    """Beat's scheduler, asked once a second what is due; ready while the broker takes what it sends.

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

    def apply_async(self, *args: Any, **options: Any) -> Any:
        sent = super().apply_async(*args, **options)
        alive.touch("beat", is_ready=True)
        return sent

    def _ensure_connected(self) -> Any:
        _patient(self.connection, "beat")
        return super()._ensure_connected()  # type: ignore[misc]  # its types do not know it

    def _all_ran_at(self, ago: timedelta) -> None:
        for entry in self.schedule.values():
            entry.last_run_at = entry.default_now() + ago
