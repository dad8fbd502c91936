"""A person watches a fault being healed; two people and one approval. The test plays the workers, through the real
engine, so that each step happens when the page is looked at."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from healing.lifecycle import Phase
from healing.models import HealingEvent
from tests.browser.conftest import leave_with, live
from tests.browser.engine import elsewhere, open_case, play, step
from tests.browser.web import Web
from tests.dashboard import cases, story
from tests.dashboard.story import Script

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Person = Callable[..., "Page"]


def waiting() -> tuple[HealingEvent, Script]:
    """An event that waits for a decision."""
    now = datetime.now(UTC)
    case = cases.bad_rollout(now)
    return play(case, now, Phase.AWAITING_APPROVAL), Script(case)


def test_sign_in_watch_an_event_arrive_approve_it_and_see_it_completed(person: Person, web: Web) -> None:
    page = person("alice")
    expect(page.get_by_role("heading", name="First steps")).to_be_visible()
    case = cases.bad_rollout(datetime.now(UTC))
    script = Script(case)

    event = open_case(case, datetime.now(UTC))
    row = page.locator(f"#event-{event.name}")
    expect(page.locator("#rows-live").locator(row)).to_contain_text("shop/orders keeps crashing")
    step(event, script)
    expect(row).to_contain_text("Paused the rollout of orders")
    step(event, script)
    expect(row).to_contain_text("bad rollout 93 %")
    step(event, script)
    expect(page.locator("#rows-waiting").locator(row)).to_contain_text("Roll orders back to revision 12")
    expect(page).to_have_title("(1) Now · ReCiSt")
    expect(page.locator("#rows-live li")).to_have_count(0)

    row.get_by_role("link", name="Review").click()
    live(page)
    card = page.locator("#decision")
    expect(card).to_contain_text("registry/orders:2.3.9")
    expect(card).to_contain_text("At least 2 stay ready while it runs.")
    card.get_by_role("button", name="Approve and run").click()
    expect(page.get_by_role("status").filter(has_text="Approved.")).to_be_visible()
    live(page)

    for text in ("Carried out", "All replicas are ready", "Written down"):
        step(event, script)
        expect(page.locator("#timeline")).to_contain_text(text)
    expect(page.locator("#r-story")).to_contain_text("healed it after alice approved it")
    expect(page.locator("#r-story .outcome")).to_have_text("Healed")
    expect(page.locator("#decision")).to_contain_text("Approved by alice")
    expect(page.locator("#actions")).to_contain_text("registry/orders:2.4.1")
    expect(page.locator("#timeline > li")).to_have_count(HealingEvent.objects.get(pk=event.pk).seq)
    page.goto(f"{web.url}/")
    expect(page.locator("#rows-finished").locator(f"#event-{event.name}")).to_contain_text("Healed")


def test_two_people_and_one_approval(person: Person, web: Web, trouble: list[str]) -> None:
    event, _ = waiting()
    alice, bob = person("alice"), person("bob")
    for page in (alice, bob):
        page.goto(f"{web.url}/events/{event.name}/")
        live(page)
    # Bob's page hears of it over the socket; his form, sent all the same, is refused.
    approval = event.approvals.get()
    bob.evaluate("document.body.append(document.getElementById('form-approve').cloneNode(true))")
    alice.get_by_role("button", name="Approve and run").click()
    expect(bob.locator("#decision")).to_contain_text("Approved by alice")
    expect(bob.get_by_role("button", name="Approve and run")).to_have_count(0)
    with bob.expect_response(lambda response: response.request.method == "POST") as answer:
        bob.evaluate(
            """([path, digest]) => {
              const form = document.getElementById("form-approve");
              form.action = path;
              form.append(Object.assign(document.createElement("input"), { name: "digest", value: digest }));
              form.submit();
            }""",
            [f"/events/{event.name}/approvals/{approval.pk}/approve/", approval.digest],
        )
    assert answer.value.status == 409
    expect(bob.get_by_role("alert")).to_contain_text("already approved by alice at")
    # The browser reports the 409 of a page as an error of its own; it is what this test asks for.
    trouble[:] = [text for text in trouble if "409" not in text]


def test_a_viewer_watches_and_is_told_why_not_more(person: Person, web: Web) -> None:
    event, script = waiting()
    page = person("vera", may_decide=False)
    expect(page.get_by_role("heading", name="Waiting for an approver")).to_be_visible()
    page.goto(f"{web.url}/events/{event.name}/")
    live(page)
    expect(page.locator("#decision")).to_contain_text("You may not decide: your role in namespace shop is 'viewer'.")
    expect(page.get_by_role("button", name="Approve and run")).to_have_count(0)
    from healing.approvals import service

    approval = event.approvals.get()
    carol = story.approver("carol")
    elsewhere(service.approve)(approval.pk, by=carol, digest=approval.digest)
    expect(page.locator("#decision")).to_contain_text("Approved by carol")
    step(event, script)
    expect(page.locator("#timeline")).to_contain_text("Carried out")


def test_reject_with_a_reason_by_keyboard_alone(person: Person, web: Web) -> None:
    event, _ = waiting()
    page = person("alice")
    page.keyboard.press("j")
    expect(page.locator(f"#open-{event.name}")).to_be_focused()
    leave_with(page, "Enter")
    page.wait_for_url(f"**/events/{event.name}/")
    live(page)
    page.keyboard.press("a")
    expect(page.locator("#approve")).to_be_focused()
    page.keyboard.press("r")
    expect(page.locator("#reject-reason")).to_be_focused()
    assert event.approvals.get().state == "open", "keys never decide"
    page.keyboard.type("We roll forward: 2.4.2 is on its way")
    page.keyboard.press("Tab")
    expect(page.locator("#reject")).to_be_focused()
    leave_with(page, "Enter")
    expect(page.get_by_role("status").filter(has_text="Rejected.")).to_be_visible()
    assert event.approvals.get().comment == "We roll forward: 2.4.2 is on its way"


def test_override_runs_the_other_way(person: Person, web: Web) -> None:
    event, _ = waiting()
    page = person("alice")
    page.goto(f"{web.url}/events/{event.name}/#decision")
    live(page)
    page.get_by_text("1 other way to heal it").click()
    page.get_by_role("button", name="Run this instead").click()
    expect(page.locator("#decision")).to_contain_text("Overridden by alice")
    assert event.strategies.get(key="restart").state == "chosen"


def test_typing_a_reason_survives_what_arrives_meanwhile(person: Person, web: Web) -> None:
    event, _ = waiting()
    page = person("alice")
    page.goto(f"{web.url}/events/{event.name}/")
    live(page)
    page.locator("#reject-reason").fill("Not before the")
    arguments = page.locator("#arguments-" + str(event.strategies.get(key="restart").pk))
    arguments.get_by_text("3 arguments").click()
    fault_again = cases.bad_rollout(datetime.now(UTC))
    from dataclasses import replace

    open_case(replace(fault_again, symptom="NotReady", message="orders is not ready either"), datetime.now(UTC))
    expect(page.locator("#timeline")).to_contain_text("orders is not ready either")
    expect(page.locator("#reject-reason")).to_have_value("Not before the")
    expect(arguments.get_by_text("A restart did not help in a case like this.")).to_be_visible()
