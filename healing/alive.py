"""A process's signs of life as the ages of two files, which a probe can look at without starting a process of its own.

``alive``: its loop turns, also while it waits for a store to come back; a process without it hangs; a restart helps.
``ready``: it can do its work now; a restart would not bring back a store that is away.
"""

from __future__ import annotations

from pathlib import Path

import structlog
from django.conf import settings

log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0


def path_of(name: str, sign: str = "alive") -> Path:
    """Where the process `name` (watcher, beat, or a worker's own name) leaves the sign."""
    return Path(settings.VAR_DIR) / sign / name


def touch(name: str, *, is_ready: bool = False) -> None:
    """Now it lives, and is ready if so. What cannot be written is a sign that stays away, never an error."""
    for sign in ("alive", "ready") if is_ready else ("alive",):
        path = path_of(name, sign)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError as error:
            log.warning("no sign of life could be left", path=str(path), error=error.strerror)
