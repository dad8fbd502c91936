"""What can be set or called is documented, and what is documented exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from recist_web.environment import PROJECT_DIR, SECRETS, Environment

DOCS = PROJECT_DIR / "docs"
OURS = {"recist_web", "healing", "knowledge"}
PAGES = sorted([*PROJECT_DIR.glob("*.md"), *DOCS.glob("**/*.md")])


def test_every_variable_is_documented_and_no_other() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \|", (DOCS / "configuration.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(Environment.model_fields)


def test_documented_defaults_are_the_real_ones() -> None:
    page = (DOCS / "configuration.md").read_text()
    for name, default in re.findall(r"^\| `([A-Z_]+)` \| `([^`]+)` \|", page, re.MULTILINE):
        parsed = Environment.model_validate({name: default})
        if name != "REDIS_URL":  # a secret: compared below, as it does not show itself
            assert getattr(parsed, name) == Environment.model_fields[name].default, name
    assert f"`{Environment.model_fields['REDIS_URL'].default.get_secret_value()}`" in page


def test_every_secret_that_may_come_from_a_file_is_named() -> None:
    section = (DOCS / "configuration.md").read_text().partition("## Secrets from files")[2]
    assert set(re.findall(r"`([A-Z_]+)`", section.partition("##")[0])) - {"NAME_FILE"} == set(SECRETS)


def test_every_command_is_documented_and_no_other() -> None:
    ours = {name for name, app in get_commands().items() if app in OURS}
    documented = set(re.findall(r"^### ([a-z_]+)", (DOCS / "commands.md").read_text(), re.MULTILINE))
    assert documented == ours


def test_every_make_target_is_documented() -> None:
    targets = re.findall(r"^([a-z]+):.*##", (PROJECT_DIR / "Makefile").read_text(), re.MULTILINE)
    page = (DOCS / "commands.md").read_text()
    assert [target for target in targets if target != "help" and f"`make {target}`" not in page] == []


def test_the_index_lists_every_page_once() -> None:
    listed = re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", (DOCS / "index.md").read_text(), re.MULTILINE)
    pages = {page.name for page in DOCS.glob("*.md")} - {"index.md"}
    assert sorted(name for name in listed if "/" not in name) == sorted(pages)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_DIR)))
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    broken = [
        target
        for target in targets
        if not re.match(r"[a-z]+:", target) and not (page.parent / target.partition("#")[0]).exists()
    ]
    assert broken == []
