"""Every section runs with small numbers, as somebody calls the command; and what is kept of it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from recist_web.bench import report, runner
from recist_web.bench.section import Bench, CannotMeasureError, Number, Result, quantile
from recist_web.environment import PROJECT_DIR
from recist_web.supervisor.tree import MANAGE, python


def bench(*arguments: str, seconds: float = 110) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL", "VAR_DIR")}
    command = python(MANAGE, "bench", *arguments)
    return subprocess.run(
        command, cwd=PROJECT_DIR, env=environment, capture_output=True, text=True, check=False, timeout=seconds
    )


@pytest.mark.tree
@pytest.mark.timeout(320)
@pytest.mark.parametrize("section", runner.names())
def test_a_section_measures_and_nothing_goes_wrong(section: str, tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    done = bench(
        "--smoke", "--only", section, "--json", str(found), "--markdown", str(tmp_path / "page.md"), seconds=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [entry] = json.loads(found.read_text())["sections"]
    assert entry["failures"] == []
    assert entry["numbers"], "a section that measures nothing is none"
    assert all(number["value"] is not None for number in entry["numbers"]), entry["numbers"]
    assert entry["size"] == "smoke"
    assert entry["machine"]["cores"]
    page = (tmp_path / "page.md").read_text()
    assert entry["title"] in page
    assert "Small numbers" in page


def test_an_unknown_section_is_refused_with_those_there_are() -> None:
    done = bench("--only", "nothing-of-that-name")
    assert done.returncode == 2
    assert all(name in done.stderr for name in runner.names())


def test_a_place_that_cannot_be_written_is_told_before_anything_is_measured() -> None:
    done = bench("--smoke", "--json", "/nowhere/at/all.json")
    assert done.returncode == 2
    assert "/nowhere/at" in done.stderr


class Sections:
    """Stand-ins that are loaded by name."""

    def __init__(self, **sections: Any) -> None:
        self._sections = sections

    def __call__(self, name: str) -> Any:
        return self._sections[name]


class Section:
    TITLE = "A title"

    def __init__(self, answer: Result | Exception) -> None:
        self._answer = answer

    def run(self, bench: Bench) -> Result:
        if isinstance(self._answer, Exception):
            raise self._answer
        (bench.directory / "mine").write_text("gone afterwards")
        return self._answer


def test_a_section_that_breaks_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    well = Result([Number("speed", 1.23456789, "s", at_most=1.0)], {"size": 3})
    sections = Sections(a=Section(ZeroDivisionError("oh")), b=Section(well), c=Section(CannotMeasureError("start it")))
    monkeypatch.setattr(runner, "load", sections)
    broken, good, absent = runner.measure(["a", "b", "c"], "full", lambda _: None)
    assert broken["failures"] == ["ZeroDivisionError: oh"]
    assert absent["failures"] == ["start it"]
    assert good["failures"] == []
    [number] = good["numbers"]
    assert number == {"name": "speed", "value": 1.235, "unit": "s", "atMost": 1.0, "met": False}
    page = report.markdown([broken, good])
    assert "**missed**" in page
    assert "**Wrong**: ZeroDivisionError: oh" in page
    assert "Parameters: size 3." in page


def test_one_section_measured_anew_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    report.write_json([{"section": "b", "at": "then"}, {"section": "a", "at": "then"}], path)
    assert report.merged(path, [{"section": "b", "at": "now"}]) == [
        {"section": "a", "at": "then"},
        {"section": "b", "at": "now"},
    ]
    path.write_text("{")
    assert report.merged(path, [{"section": "b", "at": "now"}]) == [{"section": "b", "at": "now"}]


def test_what_was_measured_alike_of_many_things_is_one_line_a_thing() -> None:
    def entry(*things: str) -> dict[str, Any]:
        numbers = [
            number.as_json()
            for thing in things
            for number in (Number(f"{thing}: lost", 1, "", 0), Number(f"{thing}: all well after", 2.5, "s"))
        ]
        return {"numbers": numbers}

    assert report.table(entry("web killed", "Valkey: gone", "disk full", "clocks jump"))[:4] == [
        "| what | lost | all well after |",
        "|---|---|---|",
        "| web killed | 1 **missed** | 2.5 s |",
        "| Valkey: gone | 1 **missed** | 2.5 s |",
    ]
    assert report.table(entry("a", "b", "c", "d"))[-1] == "| *target* | at most 0 |  |"
    assert report.table(entry("a", "b"))[2] == "| a: lost | 1 | at most 0, **missed** |", (
        "few things: one line a number"
    )
    uneven = {"numbers": [*entry("a", "b", "c", "d")["numbers"], Number("e: lost", 1, "").as_json()]}
    assert len(report.table(uneven)) == 2 + 9


def test_quantiles_are_values_that_were_measured() -> None:
    assert quantile([], 0.95) is None
    assert quantile([3.0], 0.5) == 3.0
    assert quantile([float(n) for n in range(1, 101)], 0.95) == 95.0
    assert Number("n", None, "s", at_most=1).is_met is False
    assert Number("n", 5, "s").is_met is None
