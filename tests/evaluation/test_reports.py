"""The reports say what the records say, and nothing of this machine; whatever clusters write is text to them."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from recist_web.evaluation import report, report_html, report_markdown, terminal
from tests.evaluation.records import action, change, event, expectation, record

SETTINGS = {"seed": 1, "approve": "auto", "split": "all", "llm": "none", "database": "SQLite", "observeSeconds": 60}
MACHINE = {
    "cores": 2, "python": "3.11", "wallSeconds": 100.0, "cpuSeconds": {"web": 1.0}, "cpuShare": 0.5,
    "loadAverage": {"mean": 1.0, "max": 2.0}, "parallel": 4, "restarts": {},
    "hosts": [{"samples": 9, "lagP50Seconds": 0.0, "lagP95Seconds": 0.1, "lagP99Seconds": 0.2, "lagMaxSeconds": 0.3}],
}  # fmt: skip


def built(*records: dict[str, Any], machine: dict[str, Any] | None = None) -> dict[str, Any]:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return report.build(records, settings=SETTINGS, machine=machine or MACHINE, now=moment)


@pytest.fixture
def mixed() -> dict[str, Any]:
    healthy = record(name="calm", healthy=True, family="healthy", expectations=[], steps=[], events=[])
    missed = record(name="dev-miss", events=[event(name="he-2", findings=[], actions=[action("scale")])])
    sealed = record(name="sealed-miss", split="sealed", events=[], title="<script>alert(1)</script>")
    broken = record(name="broken", startedAt=None, endReason="notRun", problem="the world broke", expectations=[],
                    events=[], world=[], steps=[])  # fmt: skip
    return built(record(), healthy, missed, sealed, broken)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_document_is_plain_json(mixed: dict[str, Any]) -> None:
    again = json.loads(json.dumps(mixed))
    assert again["run"]["date"] == "2026-01-02T03:04:05Z"
    assert again["measures"]["total"]["scenarios"]["all"] == 5
    assert again["measures"]["dev"]["scenarios"]["ran"] == 3
    assert again["measures"]["sealed"]["scenarios"]["ran"] == 1
    assert again["saturated"] == ""


@pytest.mark.parametrize("name", ["report.json", "report.json.gz"])
@pytest.mark.parametrize("empty", [False, True])
def test_the_file_is_the_document(mixed: dict[str, Any], tmp_path: Path, name: str, *, empty: bool) -> None:
    wanted = built(machine={}) if empty else mixed
    report.write_json(wanted, tmp_path / name)
    data = (tmp_path / name).read_bytes()
    assert json.loads(gzip.decompress(data) if name.endswith(".gz") else data) == json.loads(json.dumps(wanted))


def test_the_page_is_well_formed_and_fetches_nothing(mixed: dict[str, Any]) -> None:
    page = report_html.render(mixed)
    parsed = _Tags()
    parsed.feed(page)
    assert parsed.open == []
    assert not {"script", "link", "img", "iframe"} & set(parsed.tags)
    assert "<script>alert(1)</script>" in "".join(parsed.text), "what a file says is shown as text"
    assert "<b>cannot pull</b>" in "".join(parsed.text), "what a cluster says too"


def test_the_page_shows_misses_with_their_events(mixed: dict[str, Any]) -> None:
    page = report_html.render(mixed)
    assert 'id="dev-miss"' in page
    assert "/events/he-2/" in page
    assert "this would make it worse" in page
    assert page.index("dev-miss") < page.index('id="measures"'), "misses come first"
    assert "the world broke" in page


def test_the_summary_keeps_sealed_misses_to_itself(mixed: dict[str, Any]) -> None:
    text = report_markdown.render(mixed)
    assert "`dev-miss`" in text
    assert "sealed-miss" not in text
    assert "1 scenarios of the sealed half were missed" in text
    assert "| Detected | 2/2 = 100%" in text
    assert "`broken`: the world broke" in text


def test_the_terminal_keeps_sealed_misses_to_itself_unless_asked(mixed: dict[str, Any]) -> None:
    sealed = next(s for s in mixed["scenarios"] if s["name"] == "sealed-miss")
    assert terminal.line(sealed, sealed["score"], 3, 20, show_sealed=False) == "[ 3/20] sealed-miss: MISS (sealed)"
    assert "not detected" in terminal.line(sealed, sealed["score"], 3, 20, show_sealed=True)
    assert "Detected" in terminal.summary(mixed)


def test_a_machine_that_could_not_keep_up_is_named(mixed: dict[str, Any]) -> None:
    late = {**MACHINE, "hosts": [{**MACHINE["hosts"][0], "lagP99Seconds": 0.75}]}  # type: ignore[index]
    found = built(record(), machine=late)
    assert "late by 0.75 s at p99" in found["saturated"]
    assert "Saturated" in report_html.render(found)
    assert "**Saturated.**" in report_markdown.render(found)


def test_nothing_at_all_can_be_reported() -> None:
    found = built(machine={})
    assert "0 worlds" in report_html.render(found)
    assert "| Detected | none | none | none |" in report_markdown.render(found)
    assert terminal.summary(found)


def test_false_successes_are_shown_with_what_is_not_well() -> None:
    down = record(world=[change(-5.0, well=True), change(11.0, well=False)], expectations=[expectation()])
    page = report_html.render(built(down))
    assert "called healed, not well: Service site/web" in page
