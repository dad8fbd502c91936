"""One event's page: graph, timeline, replay, and what two people do with its forms, by keyboard where that counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from healing.approvals import service
from healing.lifecycle import Phase
from healing.models import ActionRun, Approval, ApprovalState, HealingEvent, Strategy
from tests.browser.conftest import PASSWORD, eventually, leave_with, live
from tests.browser.engine import elsewhere, play
from tests.browser.test_accessible import serious
from tests.browser.web import Web
from tests.dashboard import cases, story

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(240)]

Person = Callable[..., "Page"]

NOT_BEGUN = "\N{EN DASH}"


def waiting(case: Callable[..., cases.Case] = cases.bad_rollout, workload: str = "orders") -> HealingEvent:
    now = datetime.now(UTC)
    return play(case(now, workload), now, Phase.AWAITING_APPROVAL)


def healed() -> HealingEvent:
    start = datetime.now(UTC) - timedelta(minutes=9)
    return play(cases.bad_rollout(start), start, by=User.objects.get(username="alice"))


def look_at(page: Page, web: Web, event: HealingEvent, more: str = "") -> None:
    page.goto(f"{web.url}/events/{event.name}/{more}")
    live(page)


def open_by_keyboard(page: Page, details: str) -> None:
    page.locator(f"#{details} > summary").focus()
    page.keyboard.press("Enter")


def test_the_graph_by_keyboard_buttons_and_wheel(person: Person, web: Web) -> None:
    page = person("alice")
    look_at(page, web, waiting())
    svg, view = page.locator("svg.graph"), page.locator("#graph-view")

    def box() -> list[float]:
        return [float(part) for part in (svg.get_attribute("viewBox") or "").split()]

    whole = box()
    view.focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    nearer = box()
    assert nearer[2] < whole[2] * 0.7
    assert nearer[2] / nearer[3] == pytest.approx(whole[2] / whole[3], rel=0.01)
    expect(page.locator("#graph-fit")).to_have_text("156 %")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert box()[0] > nearer[0]
    assert box()[1] > nearer[1]
    page.keyboard.press("0")
    assert box() == pytest.approx(whole, abs=0.1)
    expect(page.locator("#graph-fit")).to_have_text("Fit")

    # A wheel alone scrolls the page; with Ctrl it zooms where it points.
    view.scroll_into_view_if_needed()
    view.hover()
    page.mouse.wheel(0, -40)
    assert box() == pytest.approx(whole, abs=0.1)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    eventually(lambda: box()[2] < whole[2], "Ctrl and the wheel did not zoom")
    zoomed = box()
    place = view.bounding_box()
    assert place is not None
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 60, y, steps=4)
    page.mouse.up()
    assert box()[0] > zoomed[0]
    page.get_by_role("button", name="Smaller").click()
    page.locator("#graph-fit").click()
    assert box() == pytest.approx(whole, abs=0.1)
    # Nodes lead to what they were seen in, and the same stands there in words.
    page.get_by_role("link", name="Root cause: New version panics").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**#e-log")
    expect(page.locator("#e-log mark", has_text="panic")).to_be_visible()
    open_by_keyboard(page, "graph-words")
    expect(page.locator(".graph-list")).to_contain_text("triggers New version panics at start")


def test_an_event_that_is_over_is_replayed_with_the_keyboard(person: Person, web: Web) -> None:
    page = person("alice")
    event = healed()
    look_at(page, web, event)
    clock = page.locator(".phase-card .clock-time")
    at_the_end = clock.all_inner_texts()
    slider = page.get_by_role("slider", name="Replay")
    slider.focus()
    page.keyboard.press("Home")
    expect(page.locator("#event")).to_have_class("page page-event replaying")
    expect(page.locator("#replay-says")).to_contain_text("restarted 3 times in 90 s")
    expect(page.locator("#timeline > .not-yet")).to_have_count(event.timeline.count() - 1)
    expect(page.locator("#diagnosis")).to_have_class("card not-yet")
    assert clock.all_inner_texts()[1:] == [NOT_BEGUN] * 3
    while "BadRollout" not in page.locator("#replay-says").inner_text():
        page.keyboard.press("ArrowRight")
    expect(page.locator("#diagnosis")).to_have_class("card")
    expect(page.locator("#actions .action")).to_have_class("action action-applied not-yet")
    expect(page.locator("#story-phase")).to_have_text("Diagnosing")
    assert clock.all_inner_texts()[0] == at_the_end[0]
    assert clock.all_inner_texts()[3] == NOT_BEGUN
    page.get_by_role("button", name="Back to the end").press("Enter")
    expect(page.locator(".not-yet")).to_have_count(0)
    assert clock.all_inner_texts() == at_the_end
    expect(page.locator("#story-phase")).to_have_text("Completed")

    # The timeline is narrowed, in the address too, and a link to an entry that is hidden shows it.
    page.locator("#sort-people").focus()
    page.keyboard.press("Space")
    expect(page.locator("#timeline > li:visible")).to_have_count(1)
    expect(page.locator("#timeline > li:visible")).to_contain_text("alice approved")
    page.wait_for_url("**?timeline=people")
    page.goto(f"{web.url}/events/{event.name}/?timeline=people#t-1")
    live(page)
    expect(page.locator("#t-1")).to_be_visible()
    expect(page.locator("#sort-all")).to_be_checked()


def test_high_risk_is_approved_by_two_people_with_the_keyboard(person: Person, web: Web) -> None:
    alice, bob = person("alice"), person("bob")
    event = waiting(cases.slow_dependency, "checkout")
    look_at(alice, web, event)
    look_at(bob, web, event)
    expect(alice.locator(".todo")).to_contain_text("You decide")
    alice.keyboard.press("a")
    leave_with(alice, "Enter")
    expect(alice.get_by_role("status").filter(has_text="Your approval counts.")).to_be_visible()
    expect(alice.locator("#decision")).to_contain_text("You have approved this already")
    expect(alice.get_by_role("button", name="Approve")).to_have_count(0)
    expect(alice.locator(".todo")).to_contain_text("somebody else has to as well")
    expect(bob.locator(".votes")).to_contain_text("1 of 2")
    bob.get_by_label("Note").focus()
    bob.keyboard.type("I agree")
    leave_with(bob, "Enter")
    expect(bob.get_by_role("status").filter(has_text="ReCiSt is carrying it out")).to_be_visible()
    event.refresh_from_db()
    assert event.phase == Phase.HEALING
    assert list(event.approvals.get().votes.values_list("name", "comment")) == [("alice", ""), ("bob", "I agree")]


def test_hold_take_over_and_fix_by_hand(person: Person, web: Web) -> None:
    alice, bob = person("alice"), person("bob")
    event = waiting()
    look_at(alice, web, event)
    look_at(bob, web, event)
    open_by_keyboard(alice, "hold")
    alice.locator("#hold").get_by_label("Why").fill("The owner is on the phone")
    leave_with(alice, "Enter")
    expect(alice.locator(".flash-success")).to_be_visible()
    expect(bob.locator(".decision-held")).to_contain_text("alice holds this")
    expect(bob.locator("#approve")).to_have_count(0)
    alice.get_by_role("button", name="End the hold").focus()
    leave_with(alice, "Enter")
    expect(bob.locator("#approve")).to_be_visible()
    live(alice)
    open_by_keyboard(alice, "take-over-details")
    alice.locator("#take-over").focus()
    leave_with(alice, "Enter")
    expect(alice.get_by_role("heading", name="In the hands of alice")).to_be_visible()
    expect(bob.locator("#r-story .todo")).to_contain_text("fix it by hand")
    live(alice)
    alice.get_by_label("What did you do?").fill("Put 2.3.9 back with kubectl")
    leave_with(alice, "Enter")
    expect(alice.locator(".flash-success")).to_be_visible()
    event.refresh_from_db()
    assert (event.phase, event.attempt) == (Phase.VERIFYING, 2)
    assert event.strategies.filter(attempt=2, origin="person").exists()


def test_other_parameters_are_planned_anew(person: Person, web: Web) -> None:
    page = person("alice")
    event = waiting()
    look_at(page, web, event)
    open_by_keyboard(page, "edit-plan")
    page.get_by_label("To revision").fill("11")
    page.locator("#edit").press("Enter")
    expect(page.get_by_role("status").filter(has_text="planned anew")).to_be_visible()
    approval = event.approvals.get()
    assert approval.state == ApprovalState.EDITED
    assert approval.chosen is not None
    assert approval.chosen.steps[0]["parameters"]["toRevision"] == 11


def test_a_group_is_approved_at_once(person: Person, web: Web) -> None:
    page = person("alice")
    first, second = waiting(workload="orders"), waiting(workload="payments")
    elsewhere(Strategy.objects.filter(key="rollback").update)(title="Roll back to revision 12")
    page.goto(f"{web.url}/approvals/")
    page.get_by_role("link", name="See all that it will do").press("Enter")
    for event in (first, second):
        expect(page.locator(".plan-list")).to_contain_text(f"shop/{event.target_name}")
    page.locator("#approve-all").press("Enter")
    expect(page.get_by_role("heading", name="2 approved")).to_be_visible()
    assert set(Approval.objects.values_list("state", flat=True)) == {ApprovalState.APPROVED}


def test_without_scripts_the_page_is_whole_and_approves(person: Person, web: Web) -> None:
    event = waiting()
    elsewhere(story.approver)("alice", PASSWORD)
    page = person("alice", sign_in=False, java_script_enabled=False)
    page.goto(f"{web.url}/login/?next=/events/{event.name}/")
    page.get_by_label("User name").fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("svg.graph .graph-node")).to_have_count(6)
    expect(page.locator(".graph-tools")).to_be_hidden()
    page.locator("#sort-thinking").check()
    expect(page.locator("#timeline .sort-done").first).to_be_hidden()
    expect(page.locator("#timeline .sort-thinking").first).to_be_visible()
    page.get_by_role("button", name="Approve and run").click()
    expect(page.get_by_role("status").filter(has_text="Approved.")).to_be_visible()
    assert event.approvals.get().state == ApprovalState.APPROVED
    assert not ActionRun.objects.exists(), "the engine carries it out, not the page"


@pytest.mark.parametrize(("theme", "width"), [("dark", 1280), ("light", 390)])
def test_no_state_of_the_page_has_a_serious_finding_or_leaves_the_screen(
    person: Person, web: Web, theme: str, width: int
) -> None:
    page = person("alice", color_scheme=theme, reduced_motion="reduce")
    elsewhere(story.approver)("bob", PASSWORD)
    page.set_viewport_size({"width": width, "height": 844})
    voted, over, open_all = waiting(cases.slow_dependency, "checkout"), healed(), waiting()
    approval = voted.approvals.get()
    bob = User.objects.get(username="bob")
    comment = "Checked with the team of the database, who say that it is fine at this time of the day"
    elsewhere(service.approve)(approval.pk, by=bob, digest=approval.digest, comment=comment)
    states = {
        "voted": (voted, ""),
        "open": (open_all, "document.querySelectorAll('main details').forEach((one) => { one.open = true; })"),
        "replay": (
            over,
            """(() => { const at = document.getElementById('replay-at'); at.focus(); at.value = 7;
              at.dispatchEvent(new Event('input')); })()""",
        ),
    }
    found = {}
    for name, (event, script) in states.items():
        look_at(page, web, event)
        if script:
            page.evaluate(script)
        if name != "replay" and (problems := serious(page)):
            found[name] = problems
        if (over_by := page.evaluate("document.documentElement.scrollWidth - innerWidth")) > 0:
            found[f"{name} is too wide by"] = over_by
    assert found == {}
