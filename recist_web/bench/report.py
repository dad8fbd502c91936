"""The measurements as one JSON file and one page of Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: Of fewer things a table by things is not shorter.
_FEWEST_THINGS = 4
_HEAD = """# Benchmarks

`make bench` measures and writes this page and `docs/bench/results.json`. `manage.py bench --only SECTION` measures one
section anew and leaves the others as they are. How to add a section: `recist_web/bench/__init__.py`.

A target is what the design asks for. Each section says when and on which machine it was measured; the load is that of
the minute before, so a number above 0 there means that other work took a part of the machine.
"""


def merged(path: Path | None, fresh: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The fresh entries, and those of the file that were not measured now. One that cannot be read counts as none."""
    known: dict[str, dict[str, Any]] = {}
    if path is not None and path.is_file():
        try:
            known = {entry["section"]: entry for entry in json.loads(path.read_text(encoding="utf-8"))["sections"]}
        except (ValueError, KeyError, TypeError):
            known = {}
    known |= {entry["section"]: entry for entry in fresh}
    return [known[name] for name in sorted(known)]


def write_json(entries: Sequence[dict[str, Any]], path: Path) -> None:
    path.write_text(json.dumps({"sections": list(entries)}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def markdown(entries: Sequence[dict[str, Any]]) -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(entry) for entry in entries)])


def table(entry: dict[str, Any]) -> list[str]:
    """Its numbers as lines of a Markdown table: one a line, or, where each thing was measured in the same ways
    ("thing: way"), one thing a line and one way a column."""
    if ways := _ways(entry["numbers"]):
        return _by_thing(entry["numbers"], ways)
    rows = ["| what | value | target |", "|---|---|---|"]
    for number in entry["numbers"]:
        target = "" if number["atMost"] is None else f"at most {number['atMost']:g} {number['unit']}".rstrip()
        if number["met"] is False:
            target += ", **missed**"
        rows.append(f"| {number['name']} | {_value(number)} | {target} |")
    return rows


def _ways(numbers: Sequence[dict[str, Any]]) -> list[str]:
    """The columns; empty where a table by things would have holes, or next to no lines."""
    found: dict[str, list[str]] = {}
    for number in numbers:
        thing, _, way = number["name"].rpartition(": ")
        found.setdefault(thing, []).append(way)
    each = list(found.values())
    alike = all(ways == each[0] for ways in each)
    return each[0] if alike and len(each) >= _FEWEST_THINGS and len(each[0]) > 1 else []


def _by_thing(numbers: Sequence[dict[str, Any]], ways: Sequence[str]) -> list[str]:
    rows = [f"| what | {' | '.join(ways)} |", "|---" * (len(ways) + 1) + "|"]
    for start in range(0, len(numbers), len(ways)):
        some = numbers[start : start + len(ways)]
        cells = [_value(number) + (" **missed**" if number["met"] is False else "") for number in some]
        rows.append(f"| {some[0]['name'].rpartition(': ')[0]} | {' | '.join(cells)} |")
    targets = [number["atMost"] for number in numbers[: len(ways)]]
    if any(target is not None for target in targets):
        cells = ["" if target is None else f"at most {target:g}" for target in targets]
        rows.append(f"| *target* | {' | '.join(cells)} |")
    return rows


def _section(entry: dict[str, Any]) -> str:
    machine = entry["machine"]
    parts = [f"{machine['cores']} cores ({machine['processor']})", f"Python {machine['python']}", machine["database"]]
    lines = [
        f"## {entry['title']}",
        "",
        f"`{entry['section']}`, {entry['at']}, ReCiSt {entry['version']}, {', '.join(parts)}, load before "
        f"{machine['loadBefore']}. Took {entry['tookSeconds']:g} s."
        + (" **Small numbers (smoke test).**" if entry["size"] != "full" else ""),
        "",
    ]
    if entry["parameters"]:
        lines += ["Parameters: " + "; ".join(f"{key} {value}" for key, value in entry["parameters"].items()) + ".", ""]
    if entry["numbers"]:
        lines += [*table(entry), ""]
    lines += [f"- **Wrong**: {failure}" for failure in entry["failures"]]
    return "\n".join([*lines, ""] if entry["failures"] else lines)


def _value(number: dict[str, Any]) -> str:
    return "not measured" if number["value"] is None else f"{number['value']:g} {number['unit']}".rstrip()
