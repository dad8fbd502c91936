"""The pages in a real browser: connection, filters, keys, colours, and nothing the browser complains about."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from healing.lifecycle import Phase
from tests.browser.conftest import live
from tests.browser.engine import open_case, play, step
from tests.browser.web import Web
from tests.dashboard import cases, story
from tests.dashboard.story import Script

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Person = Callable[..., "Page"]


def test_a_restart_of_the_server_loses_nothing(person: Person, web: Web, trouble: list[str]) -> None:
    page = person("alice")
    closed: list[int] = []
    page.expose_function("heardClose", lambda code: closed.append(code))  # noqa: PLW0108 - Playwright takes functions only
    page.evaluate("document.addEventListener('live:closed', (event) => heardClose(event.detail.code))")
    now = datetime.now(UTC)
    case = cases.bad_rollout(now)
    script = Script(case)
    event = open_case(case, now)
    expect(page.locator(f"#event-{event.name}")).to_be_visible()
    web.child.stop()
    expect(page.locator("#offline")).to_contain_text("It catches up by itself")
    try:
        for _ in range(3):
            step(event, script)
        later = open_case(cases.bad_rollout(now, "later"), now)
    finally:
        web.start()
    expect(page.locator("#rows-waiting").locator(f"#event-{event.name}")).to_be_visible()
    expect(page.locator("#rows-live").locator(f"#event-{later.name}")).to_be_visible()
    expect(page.locator("#offline")).to_be_hidden()
    expect(page.locator("[data-row]")).to_have_count(2)
    assert closed[0] == 1012, "a deploy says that it is one"
    # While the server was away the browser said so; that is all it may have said.
    trouble[:] = [text for text in trouble if "WebSocket connection to" not in text]


def test_filters_live_in_the_address_and_on_the_socket(person: Person, web: Web) -> None:
    now = datetime.now(UTC)
    open_case(cases.bad_rollout(now, "orders"), now)
    open_case(cases.bad_rollout(now, "payments"), now)
    page = person("alice")
    page.keyboard.press("/")
    page.keyboard.type("paym")
    expect(page.locator("[data-row]")).to_have_count(1)
    # Who types slowly is shown what "pay" finds meanwhile.
    expect(page).to_have_url(re.compile(re.escape("?text=paym&namespace=&phase=&outcome=") + "$"))
    expect(page.locator("#filter-text")).to_be_focused()
    live(page)
    open_case(cases.bad_rollout(now, "payments-api"), now)
    open_case(cases.bad_rollout(now, "carts"), now)
    expect(page.locator("[data-row]")).to_have_count(2)
    page.reload()
    live(page)
    expect(page.locator("[data-row]")).to_have_count(2)
    expect(page.locator("#filter-text")).to_have_value("paym")
    page.get_by_role("link", name="Clear").click()
    expect(page.locator("[data-row]")).to_have_count(4)


def test_j_and_k_keep_their_place_while_rows_change(person: Person, web: Web) -> None:
    now = datetime.now(UTC)
    case = cases.bad_rollout(now, "one")
    event = open_case(case, now)
    page = person("alice")
    page.keyboard.press("j")
    expect(page.locator(f"#open-{event.name}")).to_be_focused()
    step(event, Script(case))
    expect(page.locator(f"#event-{event.name}")).to_contain_text("Paused the rollout")
    expect(page.locator(f"#open-{event.name}")).to_be_focused()
    page.keyboard.press("Shift+?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_who_is_signed_out_elsewhere_is_told(person: Person, web: Web) -> None:
    page = person("alice")
    from django.contrib.sessions.models import Session

    Session.objects.all().delete()
    now = datetime.now(UTC)
    event = open_case(cases.bad_rollout(now), now)
    expect(page.locator("#offline")).to_contain_text("Sign in again")
    expect(page.locator(f"#event-{event.name}")).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_is_quiet_and_fits(person: Person, web: Web, theme: str, width: int) -> None:
    User.objects.create_superuser("alice", password="correct horse battery")
    told = story.tell_all(datetime.now(UTC), User.objects.get(username="alice"))
    page = person("alice", color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 844})
    paths = ["/", "/history/", "/policies/", f"/policies/{told['waiting'].policy_id}/"]
    paths += [f"/events/{told[name].name}/" for name in ("waiting", "waiting-high", "verifying", "healed", "escalated")]
    for path in paths:
        page.goto(web.url + path)
        page.wait_for_load_state("networkidle")
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"{path} is {overflow} px too wide at {width} px"
        unnamed = page.evaluate(
            """[...document.querySelectorAll("a, button, input:not([type=hidden]), select")]
               .filter((e) => e.checkVisibility())
               .filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length || e.title))
               .map((e) => e.outerHTML)"""
        )
        assert unnamed == [], path


def test_the_admin_is_quiet_too(person: Person, web: Web) -> None:
    User.objects.create_superuser("alice", password="correct horse battery")
    event = play(cases.bad_rollout(datetime.now(UTC)), datetime.now(UTC), Phase.AWAITING_APPROVAL)
    page = person("alice")
    for path in ("/admin/", "/admin/healing/policy/", f"/admin/healing/policy/{event.policy_id}/change/"):
        page.goto(web.url + path)
        page.wait_for_load_state("networkidle")
    page.get_by_text("Thresholds", exact=True).first.click()
    page.locator("[name=thresholds__cpu]").fill("0.75")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/admin/healing/policy/")
    event.policy.refresh_from_db()
    assert event.policy.parsed().thresholds.cpu == 0.75


def test_the_theme_goes_round_and_is_kept(person: Person, web: Web) -> None:
    page = person("alice", color_scheme="light")
    button = page.locator("[data-theme-toggle]")
    expect(button).to_have_attribute("aria-label", "Colours: follow the system")
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    button.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
