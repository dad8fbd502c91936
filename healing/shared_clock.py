"""The time that all processes agree on: that of the database's server, whatever the clocks of their machines say.

A lease that one worker writes is judged by another; a pod that was well since a time one wrote is watched by the next.
A machine whose clock is ten minutes off must neither take runs from those who live nor call well what nobody has
watched. So each process that calls `follow` measures now and then how far the database's clock is from its own
*monotonic* one, and computes from that: a jump of its own clock changes nothing. Where nobody follows (a single machine
with SQLite, commands, a database that has not answered yet) it is the machine's own time.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta

import structlog
from django.db import Error, InterfaceError, connection
from django.utils import timezone

log = structlog.get_logger(__name__)

MEASURE_EVERY_SECONDS = 30.0
_TRY_AGAIN_SECONDS = 2.0
#: A query that took longer says too little about when its answer was made.
_SLOW_SECONDS = 1.0
#: Machines that NTP looks after are as good as one; so small a difference is not worth the noise of measuring it.
_SAME_SECONDS = 0.25
_TELL_SECONDS = 5.0


class _Following:
    """What one process knows of the database's clock. ``ahead``: of the monotonic one; None: nothing is known."""

    def __init__(self) -> None:
        self.ahead: float | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def off_seconds(self, machine: datetime) -> float:
        """What has to be added to the machine's time. ``machine``: read just now; a second reading may be another time
        altogether, as clocks jump between any two lines."""
        if self.ahead is None:
            return 0.0
        off = self.ahead + time.monotonic() - machine.timestamp()
        return off if abs(off) >= _SAME_SECONDS else 0.0

    def measure(self) -> bool:
        """False: the database did not answer, or too slowly; what is known stays."""
        try:
            with connection.cursor() as cursor:
                before = time.monotonic()
                cursor.execute("SELECT clock_timestamp()")
                after = time.monotonic()
                theirs: datetime = cursor.fetchone()[0]
        except (Error, InterfaceError, OSError) as error:
            log.debug("the database's clock could not be read", error=str(error))
            return False
        if after - before > _SLOW_SECONDS:
            return False
        was_known, self.ahead = self.ahead is not None, theirs.timestamp() - (before + after) / 2
        if not was_known and abs(off := self.off_seconds(timezone.now())) > _TELL_SECONDS:
            log.warning("this machine's clock is wrong; the database's is used", off_seconds=round(-off, 1))
        return True

    def start(self, *, wait: bool) -> None:
        with self._lock:
            if self._thread is not None or connection.vendor != "postgresql":
                return
            self._thread = threading.Thread(target=self._run, name="shared clock", daemon=True)
        if wait:
            self.measure()
            connection.close()
        self._thread.start()

    def _run(self) -> None:
        while True:
            done = self.measure()
            connection.close()
            time.sleep(MEASURE_EVERY_SECONDS if done else _TRY_AGAIN_SECONDS)


_following = _Following()


def follow(*, wait: bool = True) -> None:
    """From now on this process goes by the database's clock. ``wait``: until it was read once, if it can be."""
    _following.start(wait=wait)


def now() -> datetime:
    """The shared time, UTC. Costs no query."""
    machine = timezone.now()
    return machine + timedelta(seconds=_following.off_seconds(machine))


def off() -> timedelta:
    """By how much the shared time is ahead of this machine's clock."""
    return timedelta(seconds=_following.off_seconds(timezone.now()))
