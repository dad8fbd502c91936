"""Loaded by pytest before Django's settings (pyproject.toml: `-p tests.parts.plugin`): gives the tests their own
environment, so that nothing set in a developer's shell reaches them, and their own PostgreSQL and Valkey.

`TEST_DATABASE=sqlite` runs tests on SQLite instead (`make test` does so for those marked `both_databases`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from recist_web.environment import SECRETS, Environment
from recist_web.supervisor.ports import free_port

# From pytest-xdist's controller to its workers, which share one PostgreSQL.
_POSTGRES_PORT = "RECIST_TEST_POSTGRES_PORT"


class Parts:
    """What this pytest process runs on. PostgreSQL starts when it is first asked for: many runs never need it."""

    def __init__(self) -> None:
        self.is_worker = "PYTEST_XDIST_WORKER" in os.environ
        self.on_sqlite = os.environ.get("TEST_DATABASE") == "sqlite"
        # A short path: the name of a Unix socket may have 107 characters.
        self.directory = Path(tempfile.mkdtemp(prefix="recist-"))
        self.directory.chmod(0o755)
        self.postgres_port = int(os.environ.setdefault(_POSTGRES_PORT, str(free_port())))
        self._postgres_runs = self.is_worker
        self._stops: list[Callable[[], None]] = []

    def need_postgres(self) -> int:
        """Start the session's PostgreSQL unless it runs; returns its port."""
        if not self._postgres_runs:
            from tests.parts.postgres import Postgres

            server = Postgres(self.directory / "pg", self.postgres_port)
            self._stops.append(server.stop)
            self._postgres_runs = True
        return self.postgres_port

    def new_database(self, name: str) -> str | None:
        """An empty database for processes of their own; None on SQLite (they keep a file of their own)."""
        if self.on_sqlite:
            return None
        from tests.parts.postgres import create_database

        return create_database(self.need_postgres(), f"{name}-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")

    def start_valkey(self, name: str = "valkey") -> str:
        """A Valkey of this process's own; returns its URL."""
        from tests.parts.valkey import Valkey

        server = Valkey(self.directory / name)
        self._stops.append(server.stop)
        return server.url

    def stop(self) -> None:
        while self._stops:
            self._stops.pop()()
        shutil.rmtree(self.directory, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """Our variables for the tests; every other one of ours is taken out of the process's environment."""
        if self.on_sqlite:
            database_url = f"sqlite:///{self.directory / 'db.sqlite3'}"
        else:
            database_url = f"postgres://recist@127.0.0.1:{self.postgres_port}/recist"
        return {
            "ENV_FILE": os.devnull,
            "DATABASE_URL": database_url,
            "REDIS_URL": self.start_valkey(),
            "VAR_DIR": str(self.directory / "var"),
            "QDRANT_PATH": str(self.directory / "qdrant"),
            "SECRET_KEY": "only-for-tests-" + "0123456789" * 5,
            "ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
            "HTTPS_ONLY": "off",
            "LOG_FORMAT": "console",
            # Tests of healing need it from the first minute; tests/approvals/test_first_day.py turns the rule on.
            "AUTONOMY_FIRST_DAY": "off",
            # Nothing listens there: a test that forgets to name its server fails at once.
            "PROMETHEUS_URL": "http://127.0.0.1:9",
            "LOKI_URL": "http://127.0.0.1:9",
            # Tests' models listen there; tests/observability/test_security.py takes it away.
            "LLM_ALLOW_PRIVATE": "127.0.0.1",
        }


parts = Parts()
for _name in (*Environment.model_fields, *(f"{_secret}_FILE" for _secret in SECRETS), "RUST_LOG"):
    os.environ.pop(_name, None)
os.environ.update(parts.environment())
(parts.directory / "var").mkdir()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "both_databases: runs on PostgreSQL, and again on SQLite")
    config.addinivalue_line("markers", "browser: drives a real Chromium")
    config.addinivalue_line("markers", "tree: runs the whole product as processes")
    # Libraries that ask for the main thread's event loop (litellm, for its own metrics) get none, rather than one
    # that Python 3.11 makes for them and nobody closes: its ResourceWarning fails whichever test runs at that moment.
    asyncio.set_event_loop(None)
    if getattr(config.option, "numprocesses", None) and not parts.on_sqlite:
        parts.need_postgres()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first, then those with the process tree, then those with a browser.

    The last ones must be last: Playwright keeps an event loop running in the main thread, in which no asyncio test
    can run any more.
    """

    def weight(item: pytest.Item) -> int:
        fixtures = getattr(item, "fixturenames", ())
        return 2 if "chromium" in fixtures else 1 if "live_tree" in fixtures else 0

    items.sort(key=weight)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skipped test is a failure: what it needs has to be installed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and not parts.is_worker and reporter and reporter.stats.get("skipped"):
        reporter.write_line("Tests were skipped, which CI does not allow; -ra names them above.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    parts.stop()
