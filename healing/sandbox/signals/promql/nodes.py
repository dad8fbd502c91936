"""The query as plain nodes. promql-parser's own tree is rebuilt on every attribute access, too slow per step."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import promql_parser as pp

from healing.sandbox.signals.promql.binary import Matching
from healing.sandbox.signals.promql.values import BadQuery
from healing.sandbox.signals.tsdb import Matcher, matcher


@dataclass(slots=True)
class At:
    """``@``, and the offset: when a selector looks, given when the query is."""

    kind: Literal["now", "start", "end", "fixed"]
    fixed_ms: int
    offset_ms: int


@dataclass(slots=True)
class Number:
    value: float


@dataclass(slots=True)
class String:
    value: str


@dataclass(slots=True, eq=False)
class Selector:
    matchers: list[Matcher]
    at: At
    #: which of the query's sample sets is this selector's; set when samples are collected
    slot: int = -1


@dataclass(slots=True)
class Range:
    selector: Selector
    range_ms: int


@dataclass(slots=True)
class Subquery:
    expr: Node
    at: At
    range_ms: int
    step_ms: int


@dataclass(slots=True)
class Negation:
    expr: Node


@dataclass(slots=True)
class Binary:
    op: str
    left: Node
    right: Node
    matching: Matching
    return_bool: bool


@dataclass(slots=True)
class Aggregation:
    op: str
    expr: Node
    param: Node | None
    by: bool
    names: list[str]


@dataclass(slots=True)
class Call:
    function: str
    args: list[Node] = field(default_factory=list)


Node = Number | String | Selector | Range | Subquery | Negation | Binary | Aggregation | Call

_CARDS: dict[str, Any] = {
    "OneToOne": "one-to-one",
    "ManyToOne": "many-to-one",
    "OneToMany": "one-to-many",
    "ManyToMany": "many-to-many",
}
_OPS = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}


def _enum(value: Any) -> str:
    return str(value).rsplit(".", 1)[-1]


def milliseconds(duration: timedelta | None) -> int:
    return 0 if duration is None else round(duration.total_seconds() * 1000)


def convert(tree: Any) -> Node:
    """Raises `BadQuery` for a regular expression this runtime cannot compile."""
    if isinstance(tree, pp.ParenExpr):
        return convert(tree.expr)
    if isinstance(tree, pp.NumberLiteral):
        return Number(float(tree.val))
    if isinstance(tree, pp.StringLiteral):
        return String(str(tree.val))
    if isinstance(tree, pp.VectorSelector):
        return Selector(_matchers(tree), _at(tree))
    if isinstance(tree, pp.MatrixSelector):
        any_tree: Any = tree
        selector = any_tree.vector_selector
        return Range(Selector(_matchers(selector), _at(selector)), milliseconds(any_tree.range))
    if isinstance(tree, pp.SubqueryExpr):
        return Subquery(convert(tree.expr), _at(tree), milliseconds(tree.range), milliseconds(tree.step))
    if isinstance(tree, pp.UnaryExpr):
        return Negation(convert(tree.expr))
    if isinstance(tree, pp.BinaryExpr):
        modifier = tree.modifier
        return_bool = bool(modifier is not None and modifier.return_bool)
        return Binary(str(tree.op), convert(tree.lhs), convert(tree.rhs), _matching(modifier), return_bool)
    if isinstance(tree, pp.AggregateExpr):
        by, names = True, list[str]()
        if tree.modifier is not None:
            by, names = _enum(tree.modifier.type) == "By", list(tree.modifier.labels)
        param = None if tree.param is None else convert(tree.param)
        return Aggregation(str(tree.op), convert(tree.expr), param, by, names)
    call: Any = tree
    return Call(call.func.name, [convert(arg) for arg in call.args])


def _matchers(selector: Any) -> list[Matcher]:
    try:
        found = [matcher(m.name, _OPS[_enum(m.op)], m.value) for m in selector.matchers.matchers]
    except re.error as error:
        raise BadQuery(f"1:1: parse error: error parsing regexp: {error}") from error
    if selector.name is not None:
        found.append(matcher("__name__", "=", selector.name))
    return found


def _at(tree: Any) -> At:
    offset = milliseconds(tree.offset)
    if tree.at is None:
        return At("now", 0, offset)
    kind = _enum(tree.at.type)
    if kind == "Start":
        return At("start", 0, offset)
    if kind == "End":
        return At("end", 0, offset)
    return At("fixed", round(tree.at.at.timestamp() * 1000), offset)


def _matching(modifier: Any) -> Matching:
    if modifier is None:
        return Matching()
    on, labels = False, frozenset[str]()
    if modifier.matching is not None:
        on = _enum(modifier.matching.type) == "Include"
        labels = frozenset(modifier.matching.labels)
    return Matching(_CARDS[_enum(modifier.card)], on, labels, tuple(modifier.group_labels or ()))
