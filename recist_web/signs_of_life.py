"""Workers and beat leave signs of life (healing/alive.py) from where work is done, not from a thread beside it."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.beat import PersistentScheduler

from healing import alive


class WorkerSign(bootsteps.StartStopStep):  # type: ignore[misc]  # published without types
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


class BeatSign(PersistentScheduler):  # type: ignore[misc]  # published without types
    """Beat's scheduler, asked once a second what is due; it stands still while the broker cannot be reached."""

    def tick(self, *args: Any, **options: Any) -> Any:
        due_in_seconds = super().tick(*args, **options)
        alive.touch("beat")
        return due_in_seconds
