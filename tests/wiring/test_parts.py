"""The parts other tests rely on are real."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from tests.parts.tools import tool

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext


@pytest.mark.django_db
@pytest.mark.both_databases
def test_the_database_is_the_one_asked_for(test_parts: object) -> None:
    with connection.cursor() as cursor:
        if test_parts.on_sqlite:  # type: ignore[attr-defined]
            cursor.execute("PRAGMA journal_mode")
            assert cursor.fetchone() == ("wal",)
        else:
            cursor.execute("SELECT version()")
            assert cursor.fetchone()[0].startswith("PostgreSQL")


def test_kubectl_runs() -> None:
    done = subprocess.run([tool("kubectl"), "version", "--client"], capture_output=True, text=True, check=False)
    assert "Client Version" in done.stdout


@pytest.mark.browser
def test_the_browser_renders(browser_context: BrowserContext) -> None:
    page = browser_context.new_page()
    page.set_content("<title>here</title>")
    assert page.title() == "here"
