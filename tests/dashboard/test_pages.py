"""The pages as a browser first gets them."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from pytest_django import Settings

from healing.models import HealingEvent
from recist_web.clusters import ClusterTarget

Told = dict[str, HealingEvent]


def test_everything_needs_a_login(client: Client, told: Told) -> None:
    name = told["waiting"].name
    for path in ("/", "/history/", f"/events/{name}/", "/policies/", f"/policies/{told['waiting'].policy_id}/"):
        response = client.get(path)
        assert response.status_code == 302
        assert response["Location"].startswith("/login/"), path


def test_now_sorts_events_into_its_sections(browser: Client, told: Told) -> None:
    page = browser.get("/").content.decode()
    waiting, rest = page.split('id="rows-live"')
    live, finished = rest.split('id="rows-finished"')
    assert f"event-{told['waiting'].name}" in waiting
    assert f"event-{told['waiting-high'].name}" in waiting
    # the first to expire is first
    assert waiting.index(told["waiting-high"].name) < waiting.index(told["waiting"].name)
    assert f"event-{told['verifying'].name}" in live
    assert f"event-{told['diagnosing'].name}" in live
    for name in ("healed", "healed-low", "declined", "escalated", "healed-yesterday"):
        assert f"event-{told[name].name}" in finished
    assert finished.index(told["healed"].name) < finished.index(told["healed-low"].name)


@pytest.mark.parametrize(
    "name", ["waiting", "waiting-high", "verifying", "diagnosing", "healed", "declined", "escalated"]
)
def test_every_event_has_a_page(browser: Client, told: Told, name: str) -> None:
    event = told[name]
    response = browser.get(f"/events/{event.name}/")
    page = response.content.decode()
    assert response.status_code == 200
    assert event.target_name in page
    for entry in event.timeline.all():
        assert f'id="t-{entry.seq}"' in page


def test_pages_obey_the_content_security_policy(browser: Client, told: Told) -> None:
    for path in ("/", "/history/", f"/events/{told['waiting'].name}/", "/policies/", "/login/"):
        response = browser.get(path, follow=True)
        page = response.content.decode()
        assert "script-src 'self'" in response["Content-Security-Policy"]
        assert "unsafe" not in response["Content-Security-Policy"]
        assert not re.search(r"\sstyle=|<style|\son\w+=|javascript:", page), path
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page)), path


def test_of_several_clusters_each_event_says_its_own_and_they_can_be_filtered(
    browser: Client, told: Told, settings: Settings
) -> None:
    assert 'id="filter-cluster"' not in browser.get("/").content.decode()
    settings.CLUSTERS = {name: ClusterTarget(name) for name in ("default", "eu")}
    HealingEvent.objects.filter(pk=told["healed"].pk).update(cluster="eu")
    page = browser.get("/").content.decode()
    assert "<option>eu</option>" in page
    assert "default · </span>" in page
    for path in ("/", "/history/"):
        page = browser.get(f"{path}?cluster=eu").content.decode()
        assert "<option selected>eu</option>" in page
        assert re.findall(r'data-row="([^"]+)"', page) == [told["healed"].name]
    assert 'data-socket="/ws/now/?cluster=eu"' in browser.get("/?cluster=eu").content.decode()
