"""A watcher at work beside the test."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from django.db import connections

from healing.detection.watcher import Watcher


@contextlib.contextmanager
def at_work(watcher: Watcher) -> Iterator[Watcher]:
    """It runs in a thread of its own, and has ended afterwards."""
    stop = threading.Event()
    thread = threading.Thread(target=watcher.run, args=(stop,))
    thread.start()
    try:
        yield watcher
    finally:
        stop.set()
        thread.join(60)
        connections.close_all()
        assert not thread.is_alive(), "the watcher does not end"
