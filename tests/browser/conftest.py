"""A browser that forgives nothing, a web process, and people."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from playwright.sync_api import expect

from healing.api import limits
from recist_web.accounts import TRIES_WINDOW_SECONDS, tries_of
from tests.browser.web import Web
from tests.dashboard import story
from tests.parts.plugin import Parts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

PASSWORD = "correct horse battery"
# A deadline, not a wait: on a busy machine the web process gets its turn late.
DEADLINE_SECONDS = 60.0
expect.set_options(timeout=DEADLINE_SECONDS * 1000)

WATCH = """
window.addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


@pytest.fixture(scope="session")
def web(django_db_setup: None, django_db_blocker: Any, test_parts: Parts) -> Iterator[Web]:
    """The web process on the session's test database."""
    with django_db_blocker.unblock():
        running = Web(test_parts.directory)
    with running:
        yield running


@pytest.fixture
def trouble() -> Iterator[list[str]]:
    """What browsers complained about. Anything at the end of a test fails it."""
    found: list[str] = []
    yield found
    assert found == []


@pytest.fixture
def person(chromium: Browser, web: Web, trouble: list[str], transactional_db: None) -> Iterator[Callable[..., Page]]:
    """`person("alice")`: a new browser profile of theirs, signed in through the login page."""
    contexts: list[BrowserContext] = []

    def make(name: str, *, may_decide: bool = True, sign_in: bool = True, **options: Any) -> Page:
        if not User.objects.filter(username=name).exists():
            (story.approver if may_decide else story.viewer)(name, PASSWORD)
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, **options)
        context.set_default_timeout(DEADLINE_SECONDS * 1000)
        context.add_init_script(WATCH)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        if sign_in:
            forget_tries()
            page.goto(f"{web.url}/login/")
            page.get_by_label("User name").fill(name)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_selector("#now")
            live(page)
        return page

    yield make
    for context in contexts:
        context.close()


def forget_tries() -> None:
    """All tests sign in from one address, which is let in only so often: each test begins as the first."""
    cache.delete(limits.counter(tries_of("127.0.0.1"), TRIES_WINDOW_SECONDS))


def live(page: Page) -> None:
    """Wait until the page's socket is open."""
    page.wait_for_selector('#live[data-state="on"]')


def leave_with(page: Page, key: str) -> None:
    """Press a key that leads to another page, and wait until that is loaded: a locator may find the same on both, and
    what is pressed meanwhile is pressed on neither."""
    with page.expect_event("load"):
        page.keyboard.press(key)


def eventually(look: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
