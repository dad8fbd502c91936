"""Each way through the product by keyboard alone: these tests have no mouse."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import Group, User
from playwright.sync_api import expect

from healing.lifecycle import Phase
from healing.models import Approval, ApprovalState, AuditEntry, Halt
from tests.browser.conftest import eventually, leave_with, live
from tests.browser.engine import open_case, play
from tests.browser.web import Web
from tests.dashboard import cases

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Person = Callable[..., "Page"]


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement?.id ?? ''"))


def tab_to(page: Page, wanted: str, at_most: int = 60) -> None:
    """Press Tab until the element with this id has the focus."""
    for _ in range(at_most):
        if focused(page) == wanted:
            return
        page.keyboard.press("Tab")
    pytest.fail(f"#{wanted} is not reached with the Tab key")


def test_signing_in_and_approving(person: Person, web: Web) -> None:
    event = play(cases.bad_rollout(datetime.now(UTC)), datetime.now(UTC), Phase.AWAITING_APPROVAL)
    person("alice")  # makes the account
    page = person("alice", sign_in=False)
    page.goto(f"{web.url}/login/")
    expect(page.get_by_label("User name")).to_be_focused()
    page.keyboard.type("alice")
    page.keyboard.press("Tab")
    page.keyboard.type("correct horse battery")
    leave_with(page, "Enter")
    page.wait_for_selector("#now")
    live(page)
    page.keyboard.press("j")
    assert focused(page) == f"open-{event.name}"
    leave_with(page, "Enter")
    page.wait_for_selector("#decision")
    live(page)
    page.keyboard.press("a")
    assert focused(page) == "approve"
    assert Approval.objects.get(event=event).state == ApprovalState.OPEN, "a key that moves decides nothing"
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Approved.")).to_be_visible()
    assert Approval.objects.get(event=event).state == ApprovalState.APPROVED


def test_rejecting_needs_a_reason(person: Person, web: Web) -> None:
    event = play(cases.bad_rollout(datetime.now(UTC)), datetime.now(UTC), Phase.AWAITING_APPROVAL)
    page = person("alice")
    page.goto(f"{web.url}/events/{event.name}/")
    live(page)
    page.keyboard.press("r")
    assert focused(page) == "reject-reason"
    page.keyboard.type("We roll forward")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Rejected.")).to_be_visible()
    approval = Approval.objects.get(event=event)
    assert (approval.state, approval.comment) == (ApprovalState.REJECTED, "We roll forward")


def test_halting_and_letting_go_on(person: Person, web: Web) -> None:
    User.objects.create_superuser("root", password="correct horse battery")
    page, other = person("root"), person("vera", may_decide=False)
    page.keyboard.press("x")
    expect(page.locator("#halt")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#halt")).to_be_hidden()
    assert not Halt.objects.exists()
    page.keyboard.press("x")
    page.keyboard.type("Too many changes at once")
    leave_with(page, "Enter")
    banner = page.locator(".banner-halt")
    expect(banner).to_contain_text("root: “Too many changes at once”")
    # Everybody else's page says so without being loaded anew, and offers what they may do.
    expect(other.locator(".banner-halt")).to_contain_text("Too many changes at once")
    expect(other.locator(".banner-halt")).to_contain_text("An admin can lift it.")
    expect(other.locator(".halt-button")).to_have_count(0)
    halt = Halt.objects.get()
    tab_to(page, f"lift-{halt.pk}")
    leave_with(page, "Enter")
    expect(page.locator(".banner-halt")).to_have_count(0)
    expect(other.locator(".banner-halt")).to_have_count(0)
    assert Halt.objects.get(pk=halt.pk).lifted_by == "root"
    assert list(
        AuditEntry.objects.filter(action__startswith="halt.").order_by("seq").values_list("action", flat=True)
    ) == [
        "halt.set",
        "halt.lifted",
    ]


def test_going_anywhere_with_the_palette(person: Person, web: Web) -> None:
    event = open_case(cases.bad_rollout(datetime.now(UTC), "payments"), datetime.now(UTC))
    page = person("alice")
    page.keyboard.press("Control+k")
    expect(page.locator("#palette-text")).to_be_focused()
    page.keyboard.type("history")
    expect(page.locator(".palette-item").first).to_contain_text("History")
    page.keyboard.press("Enter")
    page.wait_for_url("**/history/")
    page.keyboard.press("Control+k")
    page.keyboard.type("paym")
    expect(page.locator(".palette-item").first).to_contain_text("shop/payments keeps crashing")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/events/{event.name}/")
    page.keyboard.press("Control+k")
    page.keyboard.type("zzzz")
    expect(page.locator(".palette-empty")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()


def test_chords_go_to_every_place_of_the_rail(person: Person, web: Web) -> None:
    User.objects.create_superuser("root", password="correct horse battery")
    page = person("root")
    places = page.evaluate(
        "[...document.querySelectorAll('[data-chord]')].map((a) => [a.dataset.chord, new URL(a.href).pathname])"
    )
    assert len(places) >= 4
    assert len({chord for chord, _ in places}) == len(places), "each key leads to one place"
    for chord, path in places:
        page.goto(web.url)
        page.keyboard.press("g")
        leave_with(page, chord)  # from the first page to itself, too
        page.wait_for_url(re.compile(re.escape(path) + r"(\?.*)?$"))


def test_the_sheet_tells_every_key(person: Person, web: Web) -> None:
    page = person("alice")
    page.keyboard.press("?")
    sheet = page.locator("#help")
    expect(sheet).to_be_visible()
    told = set(sheet.locator("kbd").all_inner_texts())
    known = {"j", "k", "a", "r", "x", "t", "g", "/", "?"}
    assert known <= told
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()


def test_the_focus_stays_near_when_the_row_that_has_it_is_gone(person: Person, web: Web) -> None:
    now = datetime.now(UTC)
    first = open_case(cases.bad_rollout(now, "one"), now)
    open_case(cases.bad_rollout(now, "two"), now)
    page = person("alice")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert focused(page) == f"open-{first.name}"
    from healing.dispatch import ring_doorbell
    from healing.models import HealingEvent
    from tests.browser.engine import elsewhere

    HealingEvent.objects.filter(pk=first.pk).delete()
    elsewhere(ring_doorbell)("anything", 0)
    expect(page.locator("[data-row]")).to_have_count(1)
    eventually(lambda: focused(page).startswith("open-"), "the focus has moved to the next row")


def test_who_has_no_role_is_told_whom_to_ask(person: Person, web: Web, trouble: list[str]) -> None:
    page = person("alice")
    User.objects.get(username="alice").groups.set(Group.objects.none())
    page.goto(web.url)
    expect(page.get_by_role("heading", name="You cannot do this")).to_be_visible()
    expect(page.locator("main")).to_contain_text("Ask an admin")
    trouble[:] = [text for text in trouble if "403" not in text]
