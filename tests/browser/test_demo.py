"""The demo by keyboard: the guided tour, and breaking something in the real embedded cluster. And an undo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml
from django.contrib.auth.models import User
from playwright.sync_api import expect

from healing.models import ActionRun, ActionState, AuditEntry
from tests.browser.conftest import PASSWORD, leave_with, live
from tests.browser.test_accessible import serious
from tests.browser.test_keyboard import focused, tab_to
from tests.browser.web import Web
from tests.cluster.sandbox import running_sandbox
from tests.dashboard import story
from tests.parts.plugin import Parts

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(240)]

Person = Callable[..., "Page"]
THEMES = pytest.mark.parametrize("theme", ["light", "dark"])


@pytest.fixture(scope="module")
def demo(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any, test_parts: Parts
) -> Iterator[tuple[Web, str]]:
    """A web process that knows the control of an embedded cluster with the shop in it, and that control's address."""
    with running_sandbox(tmp_path_factory.mktemp("demo"), scenario="shop", with_crds=False) as sandbox:
        server = yaml.safe_load(sandbox.kubeconfig.read_text(encoding="utf-8"))["clusters"][0]["cluster"]["server"]
        control = f"{server}/sandbox/v1"
        with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock():
            patch.setenv("DEMO_CONTROL_URL", control)
            running = Web(test_parts.directory)
            with running:
                yield running, control


def faults(control: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{control}/faults", timeout=10, trust_env=False)
    found: list[dict[str, Any]] = answer.json()["active"]
    return found


def sign_in(person: Person, web: Web, theme: str) -> Page:
    User.objects.create_superuser("alice", password=PASSWORD)
    page = person("alice", sign_in=False, color_scheme=theme, reduced_motion="reduce")
    page.goto(f"{web.url}/login/")
    page.get_by_label("User name").fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    leave_with(page, "Enter")
    page.wait_for_selector("#now")
    live(page)
    return page


@THEMES
def test_the_tour_by_keyboard_and_then_something_is_broken(person: Person, demo: tuple[Web, str], theme: str) -> None:
    web, control = demo
    page = sign_in(person, web, theme)
    # The tour comes by itself the first time, and takes the focus.
    tour = page.locator("#tour[open]")
    expect(tour).to_be_visible()
    expect(page.locator("[data-tour-next]")).to_be_focused()
    assert serious(page) == []
    titles = [page.locator("#tour-title").inner_text()]
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    titles.append(page.locator("#tour-title").inner_text())
    page.keyboard.press("ArrowLeft")
    titles.append(page.locator("#tour-title").inner_text())
    assert len(set(titles)) == 3
    assert page.locator(".tour-target").count() == 1
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(tour).to_have_count(0)
    page.reload()
    live(page)
    expect(tour).to_have_count(0)

    tab_to(page, "open-break")
    page.keyboard.press("Enter")
    what, where = page.locator("#break-panel [data-break-fault]"), page.locator("#break-panel [data-break-where]")
    expect(what).to_be_focused()
    assert serious(page) == []
    wanted = what.locator('option[data-needs="workload"]').first.get_attribute("value")
    assert what.input_value() == wanted, "what happens to a workload comes first"
    page.keyboard.press("Tab")
    expect(where).to_be_focused()
    page.keyboard.press("ArrowDown")
    target = where.input_value()
    page.keyboard.press("Tab")
    leave_with(page, "Enter")
    expect(page.get_by_role("status").filter(has_text="Broken on purpose")).to_be_visible()
    (broken,) = faults(control)
    assert broken["fault"] == wanted
    assert f"{broken['target']['namespace']}/{broken['target']['name']}" == target
    assert AuditEntry.objects.get(action="demo.broken").actor == "alice"
    assert serious(page) == []

    tab_to(page, "open-break")
    page.keyboard.press("Enter")
    expect(what).to_be_focused()
    back = page.locator("#break-panel .broken button")
    expect(back).to_have_count(1)
    assert serious(page) == []
    for _ in range(6):
        if back.evaluate("button => button === document.activeElement"):
            break
        page.keyboard.press("Tab")
    leave_with(page, "Enter")
    expect(page.get_by_role("status").filter(has_text="Taken back.")).to_be_visible()
    assert faults(control) == []


@THEMES
def test_a_fix_is_taken_back_by_keyboard(person: Person, web: Web, trouble: list[str], theme: str) -> None:
    alice = User.objects.create_superuser("alice", password=PASSWORD)
    event = story.tell_all(datetime.now(UTC), alice)["healed"]
    row = ActionRun.objects.filter(event=event, state=ActionState.APPLIED, strategy__isnull=False).latest("pk")
    assert row.strategy is not None
    # As the runner leaves it; what of it is put back in a cluster is for tests/approvals/test_undo.py.
    plan = next(step["plan"] for step in row.strategy.steps if step["action"] == row.action)
    ActionRun.objects.filter(pk=row.pk).update(pre_state={"plan": plan})
    page = person("alice", color_scheme=theme, reduced_motion="reduce")
    page.goto(f"{web.url}/events/{event.name}/")
    live(page)
    summary = page.locator(f"#undo-open-{row.pk}")
    summary.focus()
    page.keyboard.press("Enter")
    assert serious(page) == []
    tab_to(page, f"undo-{row.pk}", at_most=3)
    leave_with(page, "Enter")
    # Without a reason nothing happens, and it is said what is missing.
    expect(page.locator("#alert")).to_contain_text("Say why")
    assert ["422" in line for line in trouble] == [True], trouble
    trouble.clear()  # the browser's console names every answer that is a refusal
    row.refresh_from_db()
    assert row.state == ActionState.APPLIED
    live(page)
    page.locator(f"#undo-open-{row.pk}").focus()
    page.keyboard.press("Enter")
    tab_to(page, f"undo-why-{row.pk}", at_most=3)
    page.keyboard.type("the old one was right")
    leave_with(page, "Enter")
    expect(page.locator("#actions")).to_contain_text("alice has asked to take this back")
    expect(page.locator("#timeline")).to_contain_text("the old one was right")
    assert serious(page) == []
    row.refresh_from_db()
    assert row.state == ActionState.UNDOING
    assert focused(page) != f"undo-{row.pk}"
