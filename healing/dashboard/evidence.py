"""Evidence for people: which lines of a text matter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from healing.dashboard import words

#: What makes a log line worth looking at when the diagnosis did not say which ones it used.
_ALARMING = re.compile(
    r"\b(panic|fatal|traceback|exception|errors?|err|failed|failure|refused|denied|timed? ?out|timeout|"
    r"oom(killed)?|out of memory|killed|cannot|could not|unable to|no such|not found|missing|unauthorized|forbidden|"
    r"back-?off|unhealthy|crash\w*)\b|\w+(Error|Exception)\b",
    re.IGNORECASE,
)
#: Longer texts are shown with the quiet lines far from alarming ones folded away.
_FOLD_ABOVE_LINES = 14
_CONTEXT_LINES = 2


@dataclass(frozen=True, slots=True)
class Line:
    """A line of evidence. ``skipped`` > 0: it stands for that many quiet lines."""

    number: int
    text: str
    matters: bool = False
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """One observation (`healing.findings.Evidence` as JSON)."""

    id: str
    kind: str
    source: str
    title: str
    object: str
    at: str
    link: str
    lines: list[Line]
    data: dict[str, Any] = field(default_factory=dict)


def evidence_views(raw: Iterable[Mapping[str, Any]]) -> list[EvidenceView]:
    """All of it, in the order of the diagnosis."""
    return [_view(item) for item in raw]


def _view(item: Mapping[str, Any]) -> EvidenceView:
    data = item.get("data") or {}
    kind = str(item.get("kind", ""))
    link = str(item.get("link", ""))
    return EvidenceView(
        id=str(item.get("id", "")),
        kind=kind,
        source=str(item.get("source", "")),
        title=str(item.get("title", "")),
        object=words.reference_words(item.get("object")),
        at=str(item.get("at", "")),
        link=link if link.startswith(("http://", "https://", "/")) else "",
        lines=lines_of(str(item.get("text", "")), kind, data.get("highlight")),
        data=data,
    )


def lines_of(text: str, kind: str, highlight: object = None) -> list[Line]:
    """The text as lines, with those marked that matter.

    ``highlight`` (the evidence's ``data.highlight``) is a list of line numbers from 1 or of substrings; without it,
    lines of logs and events that sound alarming are marked."""
    texts = text.rstrip("\n").split("\n") if text.strip() else []
    marked = [_matters(number, line, kind, highlight) for number, line in enumerate(texts, start=1)]
    lines = [Line(n, line, matters) for n, (line, matters) in enumerate(zip(texts, marked, strict=True), start=1)]
    if len(lines) <= _FOLD_ABOVE_LINES or not any(marked):
        return lines
    return _fold(lines)


def _matters(number: int, line: str, kind: str, highlight: object) -> bool:
    if isinstance(highlight, list) and highlight:
        return any(h == number if isinstance(h, int) else str(h) in line for h in highlight)
    return kind in ("log", "event") and _ALARMING.search(line) is not None


def _fold(lines: list[Line]) -> list[Line]:
    near = {
        index + offset
        for index, line in enumerate(lines)
        if line.matters
        for offset in range(-_CONTEXT_LINES, _CONTEXT_LINES + 1)
    }
    folded: list[Line] = []
    quiet: list[Line] = []
    for index, line in enumerate(lines):
        if index in near:
            folded += _skip(quiet)
            quiet = []
            folded.append(line)
        else:
            quiet.append(line)
    return folded + _skip(quiet)


def _skip(quiet: list[Line]) -> list[Line]:
    # A fold that hides one line takes as much room as the line.
    return [Line(quiet[0].number, "", skipped=len(quiet))] if len(quiet) > 1 else quiet
