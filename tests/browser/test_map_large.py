"""A large namespace on the map: groups opened, workloads drawn by keyboard, nobody shut out, nothing that stutters."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from playwright.sync_api import expect

from healing.detection import heartbeat
from healing.detection.surveying import Surveyor
from tests.browser import scenery
from tests.browser.test_accessible import serious
from tests.browser.test_keyboard import focused
from tests.browser.test_speed import LONG_TASK_SECONDS, TRACED, longest_work
from tests.browser.web import Web
from tests.dashboard import test_map as things

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(240)]

Person = Callable[..., "Page"]


def survey(*, is_well: bool = False) -> None:
    """What the watcher tells of the large namespace."""
    now = datetime.now(UTC).isoformat()
    heartbeat.write(settings.CLUSTER_NAME, heartbeat.Heartbeat(now, "test", is_leader=True, synced=True))
    Surveyor(settings.CLUSTER_NAME, things.world(*scenery.a_market(is_well=is_well)), threading.Event()).look()


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_groups_open_and_workloads_are_drawn_by_keyboard(person: Person, web: Web, theme: str, width: int) -> None:
    User.objects.create_superuser("alice", password="correct horse battery")
    survey()
    page = person("alice", color_scheme=theme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{web.url}/map/?namespace=market")
    assert serious(page) == []
    spots, crowd = page.locator(".spot"), page.locator("a.crowd").first
    before, said = spots.count(), crowd.get_attribute("aria-label")
    page.locator(".call-scroll").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == said
    page.keyboard.press("Enter")
    page.wait_for_url("**open=*")
    expect(page.get_by_text("Fold what was opened")).to_be_visible()
    expect(spots).not_to_have_count(before)
    # Who walks by keyboard goes on in the drawing, and the address can be sent to somebody.
    page.wait_for_function("document.activeElement.closest('.call-graph') !== null")
    opened = spots.count()
    page.reload()
    expect(spots).to_have_count(opened)
    assert serious(page) == []
    # A tile, and what is around it.
    page.locator('.tile .row-link:text-is("stock-reserve")').focus()
    page.keyboard.press("f")
    page.wait_for_url("**focus=Deployment%2Fstock-reserve*")
    expect(page.locator(".spot-centre .spot-name")).to_have_text("stock-reserve")
    assert serious(page) == []
    # By name, of which the field knows all.
    field = page.locator(".around-form input[name=focus]")
    field.focus()
    expect(page.locator(".around-form option")).to_have_count(300)
    field.fill("Deployment/auth")
    page.keyboard.press("Enter")
    expect(page.locator(".spot-centre .spot-name")).to_have_text("auth")
    page.wait_for_url("**focus=Deployment%2Fauth*")
    page.get_by_text("The whole namespace").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".spot-centre")).to_have_count(4)
    page.wait_for_url(re.compile(r"namespace=market$"))
    page.evaluate("history.back()")
    expect(page.locator(".spot-centre")).to_have_count(1)
    expect(page.locator(".spot-centre .spot-name")).to_have_text("auth")
    expect(page.locator("nav").first).to_be_attached()


def test_the_namespace_is_changed_by_its_list(person: Person, web: Web) -> None:
    User.objects.create_superuser("alice", password="correct horse battery")
    scenery.map_of_a_shop(settings.CLUSTER_NAME)
    page = person("alice")
    page.goto(f"{web.url}/map/?namespace=shop")
    page.select_option("#filter-namespace", "bank")
    page.wait_for_url("**namespace=bank")
    expect(page.locator("h1")).to_contain_text("bank")
    page.select_option("#filter-namespace", "")
    expect(page.locator(".ns-card")).to_have_count(4)


def longest_of_a_visit(page: Page, web: Web) -> float:
    """Seconds of work of the longest task while the map is opened, walked, and sent anew with much that has changed."""
    survey(is_well=True)
    browser = page.context.browser
    assert browser is not None
    browser.start_tracing(page=page, categories=TRACED)
    page.goto(f"{web.url}/map/?namespace=market")
    expect(page.locator(".spot").first).to_be_visible()
    page.locator("details.call-list summary").first.click()
    page.locator(".tile .row-link").first.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    chosen = focused(page)
    assert chosen
    etag = page.locator("#map").get_attribute("data-etag")
    survey()
    page.wait_for_function("(etag) => document.getElementById('map').dataset.etag !== etag", arg=etag)
    expect(page.get_by_text("The 4 workloads to look at")).to_be_visible()
    # What was open stays open, and the keyboard where it was.
    expect(page.locator("details.call-list").first).to_have_attribute("open", "")
    assert focused(page) == chosen
    return longest_work(browser.stop_tracing())


def test_three_thousand_pods_do_not_stutter(person: Person, web: Web, says: Callable[[str], None]) -> None:
    User.objects.create_superuser("alice", password="correct horse battery")
    page = person("alice")
    longest = longest_of_a_visit(page, web)
    for _ in range(2):
        if longest < LONG_TASK_SECONDS:
            break
        # The same work takes longer where others use the processor's caches: what counts is the best of three.
        longest = min(longest, longest_of_a_visit(page, web))
    says(f"300 workloads, 3,000 pods: longest task {longest * 1000:.0f} ms of work")
    assert longest < LONG_TASK_SECONDS
