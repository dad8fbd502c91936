"""Strategies and their plans for people: the exact diff, the blast radius in words, the micro-agent's argument."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from healing.dashboard import words
from healing.dashboard.parameters import ParameterField, fields_of
from healing.models import Strategy, StrategyState
from healing.redaction import redact_json

#: With fewer characters in common, two values are shown as two values.
_ALIKE = 4


@dataclass(frozen=True, slots=True)
class DiffRow:
    """A line of a diff: ``sign`` is "-", "+" or " "; ``changed`` is the piece that differs, between what does not."""

    sign: str
    lead: str
    changed: str = ""
    tail: str = ""


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One changed field. ``None``: the field is not there on that side."""

    path: str
    before: str | None
    after: str | None

    @property
    def rows(self) -> list[DiffRow]:
        """What goes and what comes, line by line; lines that stay are there once."""
        old, new = _lines(self.before), _lines(self.after)
        if len(old) == 1 and len(new) == 1:
            return _within(old[0], new[0])
        rows: list[DiffRow] = []
        for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            if tag == "equal":
                rows += [DiffRow(" ", text) for text in old[a:b]]
            else:
                rows += [DiffRow("-", text) for text in old[a:b]] + [DiffRow("+", text) for text in new[c:d]]
        return rows


@dataclass(frozen=True, slots=True)
class ObjectDiff:
    """All changes of one object."""

    object: str
    lines: list[DiffLine]


@dataclass(frozen=True, slots=True)
class StepView:
    """One step of a strategy with its plan (`healing.actions.base.Plan` as JSON)."""

    action: str
    target: str
    summary: str
    risk: str
    risk_reason: str
    reversible: bool
    undo: str
    blast_radius: list[str]
    diffs: list[ObjectDiff]
    #: its parameters as inputs
    fields: list[ParameterField]


@dataclass(frozen=True, slots=True)
class ArgumentView:
    """One turn of a micro-agent. ``weight`` above zero speaks for the strategy, below zero against it."""

    topic: str
    text: str
    weight: float
    turn: int = 1

    @property
    def side(self) -> str:
        """``for``, ``against`` or ``neutral``."""
        if abs(self.weight) < 0.005:
            return "neutral"
        return "for" if self.weight > 0 else "against"


class StrategyView:
    """A strategy's row, read for people."""

    def __init__(self, row: Strategy) -> None:
        self.row = row
        self.steps = [_step(number, raw) for number, raw in enumerate(row.steps)]
        self.arguments = [_argument(raw) for raw in row.arguments]

    def can_be_chosen(self, attempt: int) -> bool:
        """Whether an override may pick it: the same conditions as in `healing.approvals.service.override`."""
        row = self.row
        return row.attempt == attempt and bool(row.steps and row.digest) and row.state == StrategyState.PROPOSED

    @property
    def is_editable(self) -> bool:
        """Whether there is anything to edit."""
        return any(step.fields for step in self.steps)


def diffs_of(changes: Iterable[Mapping[str, Any]]) -> list[ObjectDiff]:
    """Changes (`healing.actions.base.Change` as JSON, or an `ActionRun.diff`) grouped by object, in the order given."""
    grouped: dict[str, list[DiffLine]] = {}
    for raw in changes:
        change = redact_json(raw)
        line = DiffLine(str(change.get("path", "")), _text(change.get("before")), _text(change.get("after")))
        grouped.setdefault(words.reference_words(change.get("object")), []).append(line)
    return [ObjectDiff(name, lines) for name, lines in grouped.items()]


def _lines(text: str | None) -> list[str]:
    return [] if text is None else text.split("\n")


def _common(one: str, other: str) -> str:
    """What both begin with."""
    length = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:length]


def _within(old: str, new: str) -> list[DiffRow]:
    """One line that became another: where both begin and end alike, only the middle is marked."""
    lead = _common(old, new)
    rest_old, rest_new = old[len(lead) :], new[len(lead) :]
    tail = _common(rest_old[::-1], rest_new[::-1])[::-1]
    if len(lead) + len(tail) < _ALIKE:
        return [DiffRow("-", old), DiffRow("+", new)]
    end = len(tail)
    return [
        DiffRow("-", lead, rest_old[: len(rest_old) - end], tail),
        DiffRow("+", lead, rest_new[: len(rest_new) - end], tail),
    ]


def _step(number: int, raw: Mapping[str, Any]) -> StepView:
    plan = raw.get("plan") or {}
    target = plan.get("target") or raw.get("target") or {}
    return StepView(
        action=str(raw.get("action") or plan.get("action") or ""),
        target=words.reference_words(target),
        summary=str(plan.get("summary", "")),
        risk=str(plan.get("risk", "")),
        risk_reason=str(plan.get("risk_reason", "")),
        reversible=bool(plan.get("reversible")),
        undo=str(plan.get("undo_summary", "")),
        blast_radius=words.blast_radius_words(plan.get("blast_radius") or {}),
        diffs=diffs_of(plan.get("changes") or ()),
        fields=fields_of(number, raw),
    )


def _argument(raw: Mapping[str, Any]) -> ArgumentView:
    try:
        weight = float(raw.get("weight") or 0.0)
    except (TypeError, ValueError):
        weight = 0.0
    turn = raw.get("turn")
    return ArgumentView(
        str(raw.get("topic", "")), str(raw.get("text", "")), weight, turn if isinstance(turn, int) else 1
    )


def _text(value: object) -> str | None:
    if value is None:
        return None
    return value if isinstance(value, str) else json.dumps(value, indent=2, sort_keys=True, default=str)
