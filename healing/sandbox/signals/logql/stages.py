"""What the stages of a pipeline do to a line and its labels."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from healing.sandbox.signals.logql.errors import LogQLError
from healing.sandbox.signals.logql.nodes import LineLabels, LogQuery, Stage
from healing.sandbox.signals.tsdb import Matcher

_PAIR = re.compile(r'([^\s="]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s"]*)))?')
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def run_stages(stages: Sequence[Stage], line: str, labels: LineLabels) -> str | None:
    """The line as it leaves the pipeline (``labels`` are changed); None: it was dropped."""
    for stage in stages:
        kept = stage(line, labels)
        if kept is None:
            return None
        line = kept
    return line


def _name(text: str) -> str:
    found = re.sub(r"[^A-Za-z0-9_]", "_", text)
    return f"_{found}" if found[:1].isdigit() else found


# parsers


def json_stage(wanted: dict[str, str]) -> Stage:
    """All fields, nested ones joined with ``_``; or only those that ``wanted`` maps labels to."""

    def stage(line: str, labels: LineLabels) -> str:
        try:
            data = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            labels.fail("JSONParserErr", "Value looks like object, but can't find closing '}' symbol")
            return line
        if wanted:
            for label, path in wanted.items():
                labels.extract(label, _text(_at(data, path)))
        else:
            _flatten(data, "", labels)
        return line

    return stage


def _flatten(data: dict[str, Any], prefix: str, labels: LineLabels) -> None:
    for key, value in data.items():
        name = prefix + _name(key)
        if isinstance(value, dict):
            _flatten(value, f"{name}_", labels)
        elif not isinstance(value, list) and value is not None:
            labels.extract(name, _text(value))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _at(data: Any, path: str) -> Any:
    for part in re.findall(r'\["([^"]*)"\]|\[(\d+)\]|([^.\[\]]+)', path):
        key = next(filter(None, part), "")
        if isinstance(data, list) and part[1]:
            data = data[int(key)] if int(key) < len(data) else None
        else:
            data = data.get(key) if isinstance(data, dict) else None
    return data


def logfmt_stage(wanted: dict[str, str], *, keep_empty: bool) -> Stage:
    def stage(line: str, labels: LineLabels) -> str:
        for found in _PAIR.finditer(line):
            key, quoted, plain = found.groups()
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain or ""
            if not value and not keep_empty:
                continue
            if not wanted:
                labels.extract(_name(key), value)
            for label in (label for label, source in wanted.items() if source == key):
                labels.extract(label, value)
        return line

    return stage


def regexp_stage(pattern: str) -> Stage:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise LogQLError(f"parse error : error parsing regexp: {error}") from error
    if not compiled.groupindex:
        raise LogQLError("parse error : at least one named capture must be supplied")

    def stage(line: str, labels: LineLabels) -> str:
        if found := compiled.search(line):
            for name, value in found.groupdict().items():
                labels.extract(name, value or "")
        return line

    return stage


def pattern_regexp(pattern: str, *, whole: bool) -> re.Pattern[str]:
    """``<name>`` captures, ``<_>`` skips. ``whole``: from the beginning of the line, as the parser does."""
    parts = re.split(r"<([A-Za-z_]\w*)>", pattern)
    literals, names = parts[::2], parts[1::2]
    if not names and whole:
        raise LogQLError("parse error : at least one capture is required")
    if any(not literal for literal in literals[1:-1]):
        raise LogQLError(f"parse error : found consecutive capture '{pattern}': found consecutive capture")
    built = "^" if whole else ""
    for index, name in enumerate(names):
        greedy = ".*" if index == len(names) - 1 and not literals[-1] else ".*?"
        built += re.escape(literals[index]) + (greedy if name == "_" else f"(?P<{name}>{greedy})")
    return re.compile(built + re.escape(literals[-1]), re.DOTALL)


def pattern_stage(pattern: str) -> Stage:
    compiled = pattern_regexp(pattern, whole=True)

    def stage(line: str, labels: LineLabels) -> str:
        if found := compiled.match(line):
            for name, value in found.groupdict().items():
                labels.extract(name, value)
        return line

    return stage


def unpack_stage(line: str, labels: LineLabels) -> str:
    try:
        data = json.loads(line)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        labels.fail("JSONParserErr", "expecting json object, but it is not")
        return line
    for key, value in data.items():
        if isinstance(value, str) and key != "_entry":
            labels.extract(_name(key), value)
    return str(data.get("_entry", line))


# lines and labels


def decolorize_stage(line: str, _labels: LineLabels) -> str:
    return _ANSI.sub("", line)


def line_filter(op: str, texts: list[str]) -> Stage:
    """``|=``, ``!=``, ``|~``, ``!~``, ``|>`` and ``!>``; several texts are alternatives."""
    positive = op.startswith("|")
    if op in ("|=", "!="):
        return lambda line, _labels: line if any(text in line for text in texts) == positive else None
    try:
        patterns = [re.compile(t) if op.endswith("~") else pattern_regexp(t, whole=False) for t in texts]
    except re.error as error:
        raise LogQLError(f"parse error : error parsing regexp: {error}") from error
    return lambda line, _labels: line if any(p.search(line) for p in patterns) == positive else None


def label_matcher(wanted: Matcher) -> Stage:
    return lambda line, labels: line if wanted.matches(labels.get(wanted.name, "")) else None


def label_number(name: str, op: str, number: float, convert: Callable[[str], float]) -> Stage:
    """Compare a label with a number, a duration or a size; what cannot be read is kept, with an error."""
    holds: Callable[[float], bool] = {
        "=": lambda v: v == number,
        "==": lambda v: v == number,
        "!=": lambda v: v != number,
        ">": lambda v: v > number,
        "<": lambda v: v < number,
        ">=": lambda v: v >= number,
        "<=": lambda v: v <= number,
    }[op]

    def stage(line: str, labels: LineLabels) -> str | None:
        if "__error__" in labels:
            return line
        if name not in labels:
            return None
        try:
            value = convert(labels[name])
        except ValueError as error:
            labels.fail("LabelFilterErr", str(error))
            return line
        return line if holds(value) else None

    return stage


def drop_stage(names: list[str], matchers: list[Matcher], *, keep: bool) -> Stage:
    """``drop`` or ``keep`` labels: by name, or where a matcher says so."""

    def stage(line: str, labels: LineLabels) -> str:
        for name in list(labels):
            chosen = name in names or any(m.name == name and m.matches(labels[name]) for m in matchers)
            if chosen != keep and not (keep and name.startswith("__error")):
                del labels[name]
        return line

    return stage


def rename_stage(target: str, source: str) -> Stage:
    def stage(line: str, labels: LineLabels) -> str:
        if source in labels:
            labels[target] = labels.pop(source)
        return line

    return stage


def set_stage(target: str, template: Callable[[str, LineLabels], str]) -> Stage:
    def stage(line: str, labels: LineLabels) -> str:
        labels[target] = template(line, labels)
        return line

    return stage


def both(first: Stage, second: Stage) -> Stage:
    return lambda line, labels: line if first(line, labels) is not None and second(line, labels) is not None else None


def either(first: Stage, second: Stage) -> Stage:
    return lambda line, labels: line if first(line, labels) is not None or second(line, labels) is not None else None


def selects_something(query: LogQuery) -> bool:
    """Loki refuses queries that would read everything."""
    return any(m.op in ("=", "=~") and not m.matches("") for m in query.matchers)
