"""The whole product as processes, a person in a browser, and a mistake made with kubectl."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from recist_web.people import DEMO_PASSWORD
from tests.browser.conftest import WATCH, live
from tests.parts.live_tree import LiveTree

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.tree, pytest.mark.timeout(300)]

WORKLOAD = "recommendations"
TOO_LITTLE = {"limits": {"memory": "90Mi"}, "requests": {"memory": "90Mi"}}


@pytest.fixture
def page(chromium: Browser, live_tree: LiveTree, trouble: list[str]) -> Iterator[Page]:
    """Signed in as the demo's approver."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.add_init_script(WATCH)
    page = context.new_page()
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.goto(f"{live_tree.url}/login/")
    page.get_by_label("User name").fill("approver")
    page.get_by_label("Password").fill(DEMO_PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    live(page)
    yield page
    context.close()


def test_a_mistake_is_seen_approved_and_healed(live_tree: LiveTree, page: Page) -> None:
    deployment = json.loads(live_tree.kubectl("get", "deployment", WORKLOAD, "-n", "shop", "-o", "json"))
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    patch = {"spec": {"template": {"spec": {"containers": [{"name": container["name"], "resources": TOO_LITTLE}]}}}}
    live_tree.kubectl("patch", "deployment", WORKLOAD, "-n", "shop", "-p", json.dumps(patch))

    waiting = page.locator("#rows-waiting li").filter(has_text=WORKLOAD)
    live_tree.wait_for(waiting.count, "the event waits for a person", seconds=90)
    waiting.get_by_role("link", name="Review").click()
    live(page)
    expect(page.locator("#decision")).to_contain_text("90Mi")
    page.get_by_role("button", name="Approve and run").click()
    expect(page.locator("#decision")).to_contain_text("Approved by approver")
    healed = page.locator("#r-story .outcome-healed")
    live_tree.wait_for(healed.count, "the page says that it is healed", seconds=120)
    expect(page.locator("#verification")).to_be_visible()
    expect(page.locator("#similar")).to_contain_text("Remembered")

    now: dict[str, Any] = json.loads(live_tree.kubectl("get", "deployment", WORKLOAD, "-n", "shop", "-o", "json"))
    assert now["spec"]["template"]["spec"]["containers"][0]["resources"] == container["resources"]
    name = page.url.rstrip("/").rsplit("/", 1)[1]

    def story_in_the_cluster() -> bool:
        rows = live_tree.kubectl("get", "he", "--all-namespaces").splitlines()
        return any(name in row and "healed" in row for row in rows)

    live_tree.wait_for(story_in_the_cluster, "kubectl tells the same", seconds=20)
