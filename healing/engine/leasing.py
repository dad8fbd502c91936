"""Keeps a slow run's lease while its worker lives.

A handler that waits for a slow cluster may work past its deadline. Its worker is alive, so the sweeper must not take
the run for lost and begin it a second time beside it. A process that was stopped or killed renews nothing and loses
its run when the lease ends; so does a handler that hangs, after `MAX_OVERTIME_SECONDS`.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta

import structlog
from django.db import Error, connection

from healing import shared_clock
from healing.lifecycle import Status
from healing.models import HealingEvent

log = structlog.get_logger(__name__)

#: A run that works so long past its deadline hangs: its lease is left to end.
MAX_OVERTIME_SECONDS = 60.0
#: How often a late run's lease is renewed, and for how long from then. The first is at its deadline: a run that is in
#: time costs no query and no connection.
RENEW_EVERY_SECONDS = 2.0
RENEW_FOR_SECONDS = 8.0


@contextlib.contextmanager
def kept(event_id: int, run_id: uuid.UUID, deadline_seconds: float) -> Iterator[None]:
    """While the block runs, its run's lease does not end, up to `MAX_OVERTIME_SECONDS` past the deadline."""
    ended = threading.Event()
    thread = threading.Thread(
        target=_renew, args=(event_id, run_id, deadline_seconds, ended), name=f"lease of event {event_id}", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(1.0)  # it may be in a query; one more renewal of a run that is over changes nothing


def _renew(event_id: int, run_id: uuid.UUID, deadline_seconds: float, ended: threading.Event) -> None:
    if ended.wait(deadline_seconds):
        return
    gives_up_at = time.monotonic() + MAX_OVERTIME_SECONDS
    try:
        while time.monotonic() < gives_up_at:
            if not _renew_once(event_id, run_id):
                return  # another worker's by now: the handler learns it when it next asks
            if ended.wait(RENEW_EVERY_SECONDS):
                return
        log.warning("a run hangs: its lease is not renewed any more", event_id=event_id)
    finally:
        connection.close()


def _renew_once(event_id: int, run_id: uuid.UUID) -> bool:
    """False: the run is not ours any more. A database that is away is tried again at the next turn."""
    until = shared_clock.now() + timedelta(seconds=RENEW_FOR_SECONDS)
    mine = HealingEvent.objects.filter(pk=event_id, run_id=run_id, status=Status.RUNNING)
    try:
        if mine.filter(lease_expires_at__lt=until).update(lease_expires_at=until):
            return True
        return mine.exists()
    except Error as error:
        log.warning("a lease could not be renewed", event_id=event_id, error=str(error))
        connection.close()
        return True
