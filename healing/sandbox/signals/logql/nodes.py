"""A parsed LogQL query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from healing.sandbox.signals.promql.binary import Matching
from healing.sandbox.signals.tsdb import Matcher


class LineLabels(dict[str, str]):
    """Labels of one line; ``stream`` are the names that it had before any parser."""

    def __init__(self, labels: dict[str, str]) -> None:
        super().__init__(labels)
        self.stream = frozenset(labels)

    def extract(self, name: str, value: str) -> None:
        """A parser's finding: it does not replace a label of the stream."""
        self[f"{name}_extracted" if name in self.stream else name] = value

    def fail(self, kind: str, details: str) -> None:
        self.setdefault("__error__", kind)
        self.setdefault("__error_details__", details)


#: keeps, changes or drops (None) a line
Stage = Callable[[str, LineLabels], str | None]


@dataclass(slots=True)
class LogQuery:
    matchers: list[Matcher]
    stages: list[Stage] = field(default_factory=list)


@dataclass(slots=True)
class Unwrap:
    label: str
    #: empty, ``duration``, ``duration_seconds`` or ``bytes``
    conversion: str = ""


@dataclass(slots=True)
class RangeAggregation:
    """``function(log [range] offset ...)``; ``by`` None: the result keeps all labels."""

    log: LogQuery
    function: str
    range_seconds: float
    offset_seconds: float = 0.0
    unwrap: Unwrap | None = None
    #: run after the value has been unwrapped
    later: list[Stage] = field(default_factory=list)
    parameter: float | None = None
    by: bool | None = None
    names: list[str] = field(default_factory=list)


@dataclass(slots=True)
class VectorAggregation:
    op: str
    inner: MetricNode
    by: bool = True
    names: list[str] = field(default_factory=list)
    parameter: float | None = None


@dataclass(slots=True)
class Binary:
    op: str
    left: MetricNode
    right: MetricNode
    matching: Matching
    return_bool: bool = False


@dataclass(slots=True)
class Number:
    value: float


MetricNode = RangeAggregation | VectorAggregation | Binary | Number


def selectors(node: LogQuery | MetricNode) -> list[LogQuery]:
    """Every log query in a query."""
    if isinstance(node, LogQuery):
        return [node]
    if isinstance(node, RangeAggregation):
        return [node.log]
    if isinstance(node, VectorAggregation):
        return selectors(node.inner)
    if isinstance(node, Binary):
        return [*selectors(node.left), *selectors(node.right)]
    return []
