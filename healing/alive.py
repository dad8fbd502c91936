"""A process's sign of life as the age of a file, which a probe can look at without starting a process of its own."""

from __future__ import annotations

from pathlib import Path

import structlog
from django.conf import settings

log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0


def path_of(name: str) -> Path:
    """Where the process `name` (watcher, beat, or a worker's own name) leaves it."""
    return Path(settings.VAR_DIR) / "alive" / name


def touch(name: str) -> None:
    """Now it lives. What cannot be written is a sign that stays away, never an error."""
    path = path_of(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        log.warning("no sign of life could be left", path=str(path), error=error.strerror)
