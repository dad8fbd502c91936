"""Pictures of the pages, for docs/screenshots and for looking at: `python -m tests.browser.screenshots DIRECTORY`.

Runs on a PostgreSQL and a Valkey of its own, with events that the real engine has played (tests/dashboard/story.py).
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.parts import plugin

PASSWORD = "correct horse battery"
SIZES = {"390": (390, 844), "1280": (1280, 860), "1920": (1920, 1080)}


def main(directory: Path, only: set[str]) -> None:
    os.environ["DATABASE_URL"] = plugin.parts.new_database("pictures")
    os.environ["DJANGO_SETTINGS_MODULE"] = "recist_web.settings"
    import django

    django.setup()
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from healing.detection import heartbeat
    from tests.browser.web import Web
    from tests.dashboard import story

    call_command("migrate", verbosity=0)
    User.objects.create_superuser("alice", password=PASSWORD)
    story.viewer()
    heartbeat.write(
        settings.CLUSTER_NAME,
        heartbeat.Heartbeat(
            datetime.now(UTC).isoformat(), "pictures", is_leader=True, lag_seconds=0.2, objects=143, synced=True
        ),
    )
    alice = User.objects.get(username="alice")
    told = story.tell_all(datetime.now(UTC), alice)
    pages = {
        "now": "/",
        "event": f"/events/{told['waiting'].name}/",
        "healed": f"/events/{told['healed'].name}/",
        "declined": f"/events/{told['declined'].name}/",
        "history": "/history/",
        "policies": "/policies/",
        "policy": f"/policies/{told['waiting'].policy_id}/",
        "admin": "/admin/healing/policy/",
        "admin-policy": f"/admin/healing/policy/{told['waiting'].policy_id}/change/",
    }
    with Web(plugin.parts.directory) as web:
        take(directory, web.url, {name: path for name, path in pages.items() if not only or name in only}, only)


def take(directory: Path, url: str, pages: dict[str, str], only: set[str]) -> None:
    from playwright.sync_api import sync_playwright

    from tests.parts.chromium import chromium_path

    directory.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        for theme in ("light", "dark"):
            for size, (width, height) in SIZES.items():
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme=theme, device_scale_factor=1
                )
                page = context.new_page()
                page.on(
                    "console",
                    lambda message: sys.stderr.write(f"{message.text}\n") if message.type == "error" else None,
                )
                page.goto(f"{url}/login/")
                if not only or "login" in only:
                    page.screenshot(path=directory / f"login-{theme}-{size}.png")
                page.fill("[name=username]", "alice")
                page.fill("[name=password]", PASSWORD)
                page.click("button[type=submit]")
                page.wait_for_load_state()
                for name, path in pages.items():
                    page.goto(url + path)
                    page.wait_for_timeout(400)
                    page.screenshot(path=directory / f"{name}-{theme}-{size}.png", full_page=True)
                context.close()
        browser.close()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), set(sys.argv[2:]))
    finally:
        plugin.parts.stop()
