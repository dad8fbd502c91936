"""The web process under a browser test: uvicorn as in production, on the test's database and Valkey."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Self

import httpx
from django.conf import settings
from django.db import connection

from recist_web.supervisor.child import Child, Spec
from recist_web.supervisor.ports import free_port

START_SECONDS = 90.0


def database_url() -> str:
    """The database this process uses, as another process can reach it."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{Path(str(values['NAME'])).resolve()}"
    return f"postgres://{values['USER']}:{values['PASSWORD']}@{values['HOST']}:{values['PORT']}/{values['NAME']}"


class Web:
    """A running web process; use as a context manager."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "uvicorn", "recist_web.asgi:application", "--host", "127.0.0.1"]
        command += ["--ws", "recist_web.websockets:SharedProtocol"]
        command += ["--port", str(self.port), "--log-level", "warning", "--app-dir", str(settings.BASE_DIR)]
        environment = {**os.environ, "DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "recist_web.settings"}
        self._spec = Spec("web", command, environment, directory, stop_seconds=5.0)
        self._directory = directory
        self.child: Child

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.child.stop()

    def start(self) -> None:
        """Start it (again, on the same port) and wait until it answers."""
        self.child = Child(self._spec, self._directory)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                httpx.get(f"{self.url}/livez", timeout=2, trust_env=False).raise_for_status()
                return
            except httpx.HTTPError:
                assert self.child.exit_code is None, "\n".join(self.child.last_lines)
                assert time.monotonic() < deadline, "the web process does not answer"
                time.sleep(0.1)
