"""Nobody is shut out: axe-core finds nothing serious on any page, in either theme, on a phone and on a desk."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User

from tests.browser.pages import all_pages
from tests.browser.web import Web
from tests.dashboard import story

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(240)]

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
RUN = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"], preload: false,
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
  return found.violations.filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => [one.id, one.help, ...one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160))].join(" | "));
}"""

Person = Callable[..., "Page"]


def serious(page: Page) -> list[str]:
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[str] = page.evaluate(RUN)
    return found


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_no_page_has_a_serious_finding(person: Person, web: Web, theme: str, width: int) -> None:
    alice = User.objects.create_superuser("alice", password="correct horse battery")
    told = story.tell_all(datetime.now(UTC), alice)
    page = person("alice", color_scheme=theme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 844})
    found: dict[str, Any] = {}
    for path in all_pages(told):
        page.goto(web.url + path)
        page.wait_for_load_state("load")
        if problems := serious(page):
            found[path] = problems
    for key, dialog in (("Control+k", "palette"), ("?", "help"), ("x", "halt")):
        page.goto(web.url)
        page.wait_for_load_state("load")
        page.keyboard.press(key)
        page.wait_for_selector(f"#{dialog}[open]")
        if problems := serious(page):
            found[dialog] = problems
    assert found == {}


def test_the_login_page_has_no_serious_finding(person: Person, web: Web) -> None:
    page = person("alice", sign_in=False)
    page.goto(f"{web.url}/login/")
    assert serious(page) == []
