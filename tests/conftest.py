"""Fixtures every test may use; the parts behind them are in tests/parts/."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.parts.plugin import Parts, parts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

    from tests.parts.live_tree import LiveTree

#: Name of the property that carries what a test wants to say.
_SAYS = "says"


def pytest_configure(config: pytest.Config) -> None:
    """Tests tell stories of yesterday by moving the machine's clock, so this process must not follow the database's:
    the web application would, as soon as a test imports it. Processes that tests start do."""
    from healing import shared_clock

    shared_clock.follow = lambda *, wait=True: None

    from hypothesis import HealthCheck, settings

    # How long an example takes is the machine's affair: on a busy one a deadline of 0.2 s finds no faults.
    settings.register_profile(
        "any machine", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("any machine")


@pytest.fixture(scope="session")
def test_parts() -> Parts:
    """This session's PostgreSQL, Valkey and directory."""
    return parts


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """A million rounds of hashing for everybody a test makes up prove nothing and take most of its time."""
    from django.test import override_settings

    with override_settings(PASSWORD_HASHERS=["tests.parts.hashing.QuickHasher"]):
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None, test_parts: Parts) -> None:
    """pytest-django asks for this before it creates the database: the server has to run by then."""
    if not test_parts.on_sqlite:
        test_parts.need_postgres()


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """The server is new in every session and thrown away with all that is in it: no need to drop the database."""
    return True


@pytest.fixture
def empty_valkey(settings: object) -> str:
    """The session's Valkey, emptied: for tests that look at what is queued. Its URL."""
    import redis
    from django.conf import settings as django_settings

    with redis.Redis.from_url(django_settings.REDIS_URL) as client:
        client.flushall()
    return str(django_settings.REDIS_URL)


@pytest.fixture(scope="session")
def live_tree(test_parts: Parts) -> Iterator[LiveTree]:
    """The whole product as processes, on the demo's cluster without faults of its own. One a pytest process."""
    from tests.parts.live_tree import LiveTree

    directory = test_parts.directory / "live"
    with LiveTree(directory, test_parts.new_database("live")) as tree:
        yield tree


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless Chromium; take a `browser_context` of it."""
    from playwright.sync_api import sync_playwright

    from tests.parts.chromium import chromium_path

    path = chromium_path()
    # Playwright's event loop runs in this thread, so Django takes every query of a test for one inside a coroutine.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    # Chromium's own sandbox wants what containers and root do not have; it visits our own pages only.
    options = ["--no-sandbox", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@pytest.fixture
def browser_context(chromium: Browser) -> Iterator[BrowserContext]:
    """A fresh profile: no cookies, a desktop window. `chromium.new_context()` makes a second person."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(10_000)
    yield context
    context.close()


@pytest.fixture
def says(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Print a line at the end of the run, whatever captures the output and whichever process runs the test."""
    return lambda line: record_property(_SAYS, line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reports in (terminalreporter.stats.get("passed", []), terminalreporter.stats.get("failed", [])):
        for report in reports:
            for name, line in getattr(report, "user_properties", ()):
                if name == _SAYS:
                    terminalreporter.write_line(str(line))
