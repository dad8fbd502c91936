"""The first run, banners, the map and the Insight page: by keyboard, and nobody shut out in either theme."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from playwright.sync_api import expect

from healing.detection import heartbeat
from healing.models import HealingEvent, Policy
from tests.browser import scenery
from tests.browser.conftest import leave_with
from tests.browser.test_accessible import serious
from tests.browser.test_keyboard import focused, tab_to
from tests.browser.web import Web
from tests.dashboard import story

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(240)]

Person = Callable[..., "Page"]
THEMES = pytest.mark.parametrize("theme", ["light", "dark"])


@THEMES
def test_the_first_run_says_what_to_do_next(person: Person, web: Web, theme: str) -> None:
    User.objects.create_superuser("alice", password="correct horse battery")
    page = person("alice", color_scheme=theme, reduced_motion="reduce")
    steps = page.locator(".checklist .step")
    expect(steps).to_have_count(6)
    expect(page.locator(".checklist")).to_contain_text("Connect a cluster")
    assert serious(page) == []


@THEMES
def test_a_storm_and_a_freeze_are_said_on_every_page(person: Person, web: Web, theme: str) -> None:
    alice = User.objects.create_superuser("alice", password="correct horse battery")
    told = story.tell_all(datetime.now(UTC), alice)
    story.keep_running(told, datetime.now(UTC))
    now = datetime.now(UTC)
    window = f"{now - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}/{now + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    policy = Policy.objects.get(pk=told["waiting"].policy_id)
    policy.spec = {**policy.spec, "limits": {"freezeWindows": [window]}}
    policy.save()
    for event in HealingEvent.objects.filter(finished_at=None):
        limits = {**event.policy_snapshot.get("limits", {}), "stormFaults": 2}
        snapshot = {**event.policy_snapshot, "limits": limits}
        HealingEvent.objects.filter(pk=event.pk).update(policy_snapshot=snapshot, detected_at=datetime.now(UTC))
    page = person("alice", color_scheme=theme, reduced_motion="reduce")
    expect(page.locator(".banner-storm")).to_contain_text("nothing runs unless somebody approves it")
    expect(page.locator(".banner-freeze")).to_be_visible()
    assert serious(page) == []


def with_a_map(person: Person, theme: str) -> Page:
    """A page of who sees everything; the watcher has seen a shop."""
    User.objects.create_superuser("alice", password="correct horse battery")
    now = datetime.now(UTC).isoformat()
    heartbeat.write(settings.CLUSTER_NAME, heartbeat.Heartbeat(now, "test", is_leader=True, synced=True))
    scenery.map_of_a_shop(settings.CLUSTER_NAME)
    return person("alice", color_scheme=theme, reduced_motion="reduce")


@THEMES
def test_the_map_is_walked_with_the_arrows(person: Person, web: Web, theme: str) -> None:
    page = with_a_map(person, theme)
    page.keyboard.press("g")
    leave_with(page, "m")
    page.wait_for_url("**/map/")
    expect(page.locator(".tile").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    first = focused(page)
    assert first
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert focused(page) not in ("", first)
    assert serious(page) == []
    leave_with(page, "Enter")
    page.wait_for_url(re.compile(r"/map/[^/]+/[^/]+/"))
    assert serious(page) == []


@THEMES
def test_what_a_workload_reads_is_drawn_once_it_is_chosen(person: Person, web: Web, theme: str) -> None:
    page = with_a_map(person, theme)
    page.goto(f"{web.url}/map/?namespace=shop")
    lines = page.locator("path.read")
    expect(lines).to_have_count(6)
    assert lines.evaluate_all("all => all.filter((one) => getComputedStyle(one).visibility === 'visible').length") == 0
    page.locator('.tile .row-link:text-is("web")').focus()
    chosen = page.locator("path.read.is-read")
    expect(chosen).to_have_count(2)
    assert chosen.evaluate_all("all => all.every((one) => getComputedStyle(one).visibility === 'visible')")
    expect(page.locator(".config.is-read .spot-name")).to_have_text(["common", "web-texts"])
    assert serious(page) == []
    page.locator(".config", has_text="banks").hover()
    for name in ("payments", "mail"):
        expect(page.locator(".spot.is-read .spot-name", has_text=name)).to_have_count(1)
    expect(page.locator(".spot.is-read")).to_have_count(2)


@THEMES
def test_the_range_of_insight_is_chosen_by_keyboard(person: Person, web: Web, theme: str) -> None:
    User.objects.create_superuser("alice", password="correct horse battery")
    scenery.a_month(datetime.now(UTC), settings.CLUSTER_NAME, 200)
    page = person("alice", color_scheme=theme, reduced_motion="reduce")
    page.goto(f"{web.url}/insight/")
    assert serious(page) == []
    page.locator(".range-days a").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/insight/?days=7*")
    expect(page.locator('.range-days a[aria-current="true"]')).to_have_text("7 days")
    tab_to(page, "range-namespace")
    assert serious(page) == []
