"""Pictures of the pages. `python -m tests.browser.screenshots docs` makes those of docs/screenshots anew;
`... DIRECTORY [PAGE ...]` takes every page in each colour and width, to look at.

Runs on a PostgreSQL and a Valkey of its own, with events that the real engine has played (tests/dashboard/story.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.parts import plugin

PASSWORD = "correct horse battery"
PAGES = (
    "login",
    "now",
    "event",
    "healed",
    "declined",
    "history",
    "map",
    "map-near",
    "map-large",
    "map-focus",
    "workload",
    "insight",
    "warnings",
    "policies",
    "policy",
    "admin",
    "admin-policy",
)
SIZES = {"390": (390, 844), "1280": (1280, 860), "1920": (1920, 1080)}


@dataclass(frozen=True)
class Shot:
    """One picture: of a page's visible part, of all of it, or of one element."""

    file: str
    page: str
    theme: str
    size: tuple[int, int]
    full: bool = False
    element: str = ""
    #: what is folded and clicked open before
    opens: str = ""


DOCS = (
    Shot("login.png", "login", "light", (1280, 860)),
    Shot("now.png", "now", "light", (1280, 1000)),
    Shot("now-dark.png", "now", "dark", (1920, 1080)),
    Shot("now-phone.png", "now", "light", (390, 1300)),
    Shot("event.png", "event", "light", (1280, 1000)),
    Shot("event-dark.png", "event", "dark", (1280, 1000)),
    Shot("event-phone.png", "event", "dark", (390, 1500)),
    Shot("approval.png", "event", "light", (1280, 860), element="#decision"),
    Shot("approval-dark.png", "event", "dark", (1280, 860), element="#decision"),
    Shot("graph.png", "event", "light", (1280, 860), element="#graph"),
    *(
        Shot(f"{page}{suffix}.png", page, theme, size)
        for page in ("map", "insight", "warnings")
        for suffix, theme, size in (
            ("", "light", (1280, 1000)),
            ("-dark", "dark", (1920, 1080)),
            ("-phone", "light", (390, 1300)),
        )
    ),
    Shot("map-large.png", "map-large", "light", (1280, 1000)),
    Shot("map-large-dark.png", "map-large", "dark", (1920, 1080)),
    Shot("map-large-phone.png", "map-large", "dark", (390, 1300)),
    Shot("map-near.png", "map-near", "light", (1280, 900)),
    Shot("map-focus.png", "map-focus", "dark", (1280, 900)),
    Shot("workload.png", "workload", "light", (1280, 900)),
    Shot("undo.png", "healed", "light", (1280, 860), element="#actions", opens="Take this back"),
    Shot("undo-phone.png", "healed", "dark", (390, 860), element="#actions", opens="Take this back"),
    Shot("policy.png", "policy", "light", (1280, 1000)),
    Shot("admin-policy.png", "admin-policy", "light", (1280, 1000)),
)


def main(directory: Path, shots: Sequence[Shot]) -> None:
    os.environ["DATABASE_URL"] = plugin.parts.new_database("pictures")
    os.environ["DJANGO_SETTINGS_MODULE"] = "recist_web.settings"
    import django

    django.setup()
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from healing.detection import heartbeat
    from tests.browser import scenery
    from tests.browser.engine import elsewhere
    from tests.browser.web import Web
    from tests.dashboard import story

    call_command("migrate", verbosity=0)
    User.objects.create_superuser("alice", password=PASSWORD)
    story.viewer()
    alice = User.objects.get(username="alice")
    told = story.tell_all(datetime.now(UTC), alice)

    now = datetime.now(UTC)
    scenery.a_month(now, settings.CLUSTER_NAME)
    scenery.warnings(now, settings.CLUSTER_NAME)
    scenery.undoable(told["healed"])

    def freshen(page: str) -> None:
        """Running events and the watcher stay as they are, however long taking pictures takes."""
        now, is_large = datetime.now(UTC), page in ("map-large", "map-focus")
        story.keep_running(told, now)
        beat = heartbeat.Heartbeat(
            now.isoformat(), "pictures", is_leader=True, lag_seconds=0.2, objects=143, synced=True
        )
        heartbeat.write(settings.CLUSTER_NAME, beat)
        scenery.map_of_a_shop(settings.CLUSTER_NAME, is_large=is_large)

    pages = {
        "login": "/login/",
        "now": "/",
        "event": f"/events/{told['waiting'].name}/",
        "healed": f"/events/{told['healed'].name}/",
        "declined": f"/events/{told['declined'].name}/",
        "history": "/history/",
        "map": "/map/",
        "map-near": "/map/?namespace=shop",
        "map-large": "/map/?namespace=market",
        "map-focus": "/map/?namespace=market&focus=Deployment/stock-reserve",
        "workload": f"/map/{settings.CLUSTER_NAME}/shop/Deployment/payments/",
        "insight": "/insight/",
        "warnings": "/warnings/",
        "policies": "/policies/",
        "policy": f"/policies/{told['waiting'].policy_id}/",
        "admin": "/admin/healing/policy/",
        "admin-policy": f"/admin/healing/policy/{told['waiting'].policy_id}/change/",
    }
    with Web(plugin.parts.directory) as web:
        take(directory, web.url, pages, shots, elsewhere(freshen))


def every(only: set[str]) -> list[Shot]:
    """Each page in each colour and width, whole."""
    return [
        Shot(f"{page}-{theme}-{name}.png", page, theme, size, full=True)
        for theme in ("light", "dark")
        for name, size in SIZES.items()
        for page in PAGES
        if not only or page in only
    ]


def take(
    directory: Path, url: str, pages: dict[str, str], shots: Sequence[Shot], freshen: Callable[[str], None]
) -> None:
    from playwright.sync_api import sync_playwright

    from tests.parts.chromium import chromium_path

    directory.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        state = None
        for shot in sorted(shots, key=lambda shot: shot.page != "login"):
            width, height = shot.size
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=shot.theme, storage_state=state
            )
            page = context.new_page()
            page.on(
                "console", lambda message: sys.stderr.write(f"{message.text}\n") if message.type == "error" else None
            )
            if shot.page != "login" and state is None:
                page.goto(f"{url}/login/")
                page.fill("[name=username]", "alice")
                page.fill("[name=password]", PASSWORD)
                page.click("button[type=submit]")
                page.wait_for_load_state()
                state = context.storage_state()
            freshen(shot.page)
            page.goto(url + pages[shot.page])
            page.wait_for_timeout(500)
            if shot.full:  # what is not on the screen is not drawn: make it all fit
                height = page.evaluate("document.documentElement.scrollHeight")
                page.set_viewport_size({"width": width, "height": height})
                page.wait_for_timeout(300)
            if shot.opens:
                page.get_by_text(shot.opens, exact=True).first.click()
            target = page.locator(shot.element) if shot.element else page
            target.screenshot(path=directory / shot.file, **({"full_page": True} if shot.full else {}))
            context.close()
        browser.close()


if __name__ == "__main__":
    try:
        if sys.argv[1] == "docs":
            main(Path(__file__).parents[2] / "docs" / "screenshots", DOCS)
        else:
            main(Path(sys.argv[1]), every(set(sys.argv[2:])))
    finally:
        plugin.parts.stop()
