"""A Valkey server of our own."""

from __future__ import annotations

import os
from pathlib import Path

from recist_web.supervisor.child import Child
from recist_web.supervisor.ports import free_port
from recist_web.supervisor.valkey import valkey_spec, wait_for_valkey


class Valkey:
    """A running, empty server on a loopback port."""

    def __init__(self, directory: Path, port: int | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._child = Child(valkey_spec(directory, self.port, os.environ), directory)
        wait_for_valkey(self.url, self._child)

    def stop(self) -> None:
        self._child.stop()
