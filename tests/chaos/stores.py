"""A PostgreSQL that dies and comes back with its data."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from recist_web.supervisor.child import Child
from tests.parts.postgres import Postgres


class MortalPostgres(Postgres):
    """`kill` ends it as a crash does: without a checkpoint; `revive` lets it recover."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._directory = directory

    def kill(self) -> None:
        """SIGQUIT, PostgreSQL's immediate shutdown: connections end, nothing is written, recovery follows."""
        os.kill(self._child.pid, signal.SIGQUIT)
        self._child.process.wait(60)

    def revive(self) -> None:
        """On the same port, with the same data; returns when it answers."""
        self._child = Child(self._child.spec, self._directory)
        self._wait()
