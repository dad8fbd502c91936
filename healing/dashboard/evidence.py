"""Evidence for people: which lines of a text matter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from healing.dashboard import links, words

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

#: Kinds in the order in which somebody who was just woken up reads them, with the title of their group.
_GROUPS: Mapping[str, Promise] = {
    "log": gettext_lazy("Logs"),
    "event": gettext_lazy("Events of the cluster"),
    "status": gettext_lazy("State"),
    "change": gettext_lazy("What changed"),
    "metric": gettext_lazy("Metrics"),
    "spec": gettext_lazy("Specs"),
    "alert": gettext_lazy("Alerts"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a line. ``matched``: it is what a rule, or the word list of alarming words, found in it."""

    text: str
    matched: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line of evidence. ``skipped`` > 0: it stands for that many quiet lines. ``spans`` are what matched in it, from
    and to; a line may matter as a whole."""

    number: int
    text: str
    matters: bool = False
    skipped: int = 0
    spans: tuple[tuple[int, int], ...] = ()

    @property
    def parts(self) -> list[Part]:
        """The line in pieces; together they are its text."""
        found: list[Part] = []
        at = 0
        for start, end in self.spans:
            if start > at:
                found.append(Part(self.text[at:start]))
            found.append(Part(self.text[start:end], matched=True))
            at = end
        return [*found, Part(self.text[at:])] if at < len(self.text) else found


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

    @property
    def explore(self) -> links.Link | None:
        """Where to read on: in Grafana where there is one, or else in the source itself."""
        return links.link_of(self.link, self.kind)


@dataclass(frozen=True, slots=True)
class EvidenceGroup:
    """Evidence of one kind."""

    kind: str
    title: str
    items: list[EvidenceView]


def groups_of(items: Iterable[EvidenceView]) -> list[EvidenceGroup]:
    """By kind, each in the order of the diagnosis; kinds that are not known come last."""
    kept: dict[str, list[EvidenceView]] = {kind: [] for kind in _GROUPS}
    for item in items:
        kept.setdefault(item.kind, []).append(item)
    return [
        EvidenceGroup(kind, str(_GROUPS.get(kind) or words.capitalize(words.humanize(kind))), found)
        for kind, found in kept.items()
        if found
    ]


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
    lines = [_line(number, line, kind, highlight) for number, line in enumerate(texts, start=1)]
    if len(lines) <= _FOLD_ABOVE_LINES or not any(line.matters for line in lines):
        return lines
    return _fold(lines)


def _line(number: int, text: str, kind: str, highlight: object) -> Line:
    if isinstance(highlight, list) and highlight:
        pieces = [piece for h in highlight if not isinstance(h, int) for piece in str(h).splitlines() if piece.strip()]
        spans = _spans(text, pieces)
        return Line(number, text, bool(spans) or number in highlight, spans=spans)
    if kind not in ("log", "event"):
        return Line(number, text)
    spans = tuple(match.span() for match in _ALARMING.finditer(text))
    return Line(number, text, bool(spans), spans=spans)


def _spans(text: str, pieces: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Where the pieces are, joined where they overlap."""
    found = sorted(match.span() for piece in pieces for match in re.finditer(re.escape(piece), text))
    joined: list[tuple[int, int]] = []
    for start, end in found:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


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
