"""LogQL: stream selectors, line filters, ``json`` / ``logfmt`` / label filters, counts and rates over time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from healing.sandbox.signals.tsdb import Matcher, matcher

Entry = tuple[str, dict[str, str]]  # line and the labels extracted from it
#: keeps, changes or drops (None) a line
Stage = Callable[[str, dict[str, str]], str | None]


class LogQLError(Exception):
    """HTTP 400, plain text."""


@dataclass(slots=True)
class LogQuery:
    matchers: list[Matcher]
    stages: list[Stage] = field(default_factory=list)
    #: labels are extracted, so lines of one stream may fall apart into several
    extracts: bool = False


@dataclass(slots=True)
class MetricQuery:
    log: LogQuery
    #: ``count_over_time``, ``rate``, ``bytes_over_time``, ``bytes_rate``
    function: str
    range_seconds: float
    offset_seconds: float = 0.0
    #: innermost first: (operation, by, labels, parameter)
    aggregations: list[tuple[str, bool, list[str], float | None]] = field(default_factory=list)
    #: (operator, number) to compare the result with
    comparison: tuple[str, float] | None = None


_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`)|(?P<duration>\d+(?:\.\d+)?(?:ns|us|ms|[smhdwy])(?:\d+(?:ms|[smhdwy]))*)
    |(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w.]*)|(?P<op>\|=|\|~|\|>|!>|!=|!~|=~|==|>=|<=|[{}()\[\],|=<>]))""",
    re.VERBOSE,
)
_FUNCTIONS = ("count_over_time", "rate", "bytes_over_time", "bytes_rate")
_AGGREGATIONS = ("sum", "avg", "min", "max", "count", "topk", "bottomk")
_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


def duration_seconds(text: str) -> float:
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|ms|[smhdwy])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise LogQLError(f'not a valid duration string: "{text}"')
    return float(sum(float(number) * _UNITS[unit] for number, unit in parts))


@dataclass(slots=True)
class _Token:
    kind: str
    text: str
    column: int


def _tokenize(query: str) -> list[_Token]:
    tokens, index = [], 0
    while index < len(query):
        if query[index:].isspace():
            break
        found = _TOKEN.match(query, index)
        if found is None:
            column = index + len(query[index:]) - len(query[index:].lstrip()) + 1
            raise LogQLError(f"parse error at line 1, col {column}: syntax error: unexpected character")
        kind = str(found.lastgroup)
        tokens.append(_Token(kind, found.group(kind), found.start(kind) + 1))
        index = found.end()
    tokens.append(_Token("end", "", len(query) + 1))
    return tokens


class _Parser:
    def __init__(self, query: str) -> None:
        self.query = query
        self.tokens = _tokenize(query)
        self.index = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.index]

    def fail(self, expecting: str = "") -> LogQLError:
        token = self.token
        names = {"end": "$end", "string": "STRING", "name": "IDENTIFIER", "number": "NUMBER", "duration": "DURATION"}
        what = names.get(token.kind, token.text)
        where = "" if not self.query.strip() else f" at line 1, col {token.column}"
        tail = f", expecting {expecting}" if expecting else ""
        return LogQLError(f"parse error{where or ' '}: syntax error: unexpected {what}{tail}")

    def take(self, *texts: str) -> str | None:
        if self.token.kind in ("op", "name") and self.token.text in texts:
            self.index += 1
            return self.tokens[self.index - 1].text
        return None

    def need(self, text: str, expecting: str = "") -> None:
        if self.take(text) is None:
            raise self.fail(expecting or text)

    def kind(self, kind: str, expecting: str) -> str:
        if self.token.kind != kind:
            raise self.fail(expecting)
        self.index += 1
        return self.tokens[self.index - 1].text

    def string(self, expecting: str = "STRING") -> str:
        text = self.kind("string", expecting)
        return text[1:-1] if text[0] == "`" else json.loads(_json_string(text))

    # queries

    def parse(self) -> LogQuery | MetricQuery:
        query: LogQuery | MetricQuery = self.metric() if self.token.kind == "name" else self.log()
        if isinstance(query, MetricQuery) and (op := self.take(">", "<", ">=", "<=", "==", "!=")):
            query.comparison = (op, float(self.kind("number", "NUMBER")))
        if self.token.kind != "end":
            raise self.fail()
        return query

    def metric(self) -> MetricQuery:
        name = self.token.text
        if name in _AGGREGATIONS:
            self.index += 1
            by, labels = self.grouping()
            self.need("(")
            parameter = None
            if name in ("topk", "bottomk"):
                parameter = float(self.kind("number", "NUMBER"))
                self.need(",")
            inner = self.metric()
            self.need(")")
            if not labels and by is None:
                by, labels = self.grouping()
            inner.aggregations.append((name, by is not False, labels, parameter))
            return inner
        if name not in _FUNCTIONS:
            raise self.fail()
        self.index += 1
        self.need("(")
        log = self.log()
        self.need("[", "[")
        seconds = duration_seconds(self.kind("duration", "DURATION"))
        self.need("]")
        offset = duration_seconds(self.kind("duration", "DURATION")) if self.take("offset") else 0.0
        self.need(")")
        return MetricQuery(log, name, seconds, offset)

    def grouping(self) -> tuple[bool | None, list[str]]:
        word = self.take("by", "without")
        if word is None:
            return None, []
        self.need("(")
        labels: list[str] = []
        while self.token.kind == "name":
            labels.append(self.kind("name", "IDENTIFIER"))
            if not self.take(","):
                break
        self.need(")")
        return word == "by", labels

    def log(self) -> LogQuery:
        if self.token.kind == "end" and not self.query.strip():
            raise LogQLError("parse error : syntax error: unexpected $end")
        self.need("{", "{")
        matchers: list[Matcher] = []
        while self.token.kind == "name":
            matchers.append(self.matcher())
            if not self.take(","):
                break
        if self.take("}") is None:
            raise self.fail("} or ,")
        if not any(m.op in ("=", "=~") and not m.matches("") for m in matchers):
            raise LogQLError(
                "parse error : queries require at least one regexp or equality matcher that does not have an "
                'empty-compatible value. For instance, app=~".*" does not meet this requirement, but app=~".+" will'
            )
        query = LogQuery(matchers)
        while (op := self.take("|=", "!=", "|~", "!~")) is not None:
            query.stages.append(self.line_filter(op))
        while self.take("|") is not None:
            self.stage(query)
            while (op := self.take("|=", "!=", "|~", "!~")) is not None:
                query.stages.append(self.line_filter(op))
        return query

    def matcher(self) -> Matcher:
        name = self.kind("name", "IDENTIFIER")
        op = self.take("=", "!=", "=~", "!~")
        if op is None:
            raise self.fail("= or != or =~ or !~")
        value = self.string()
        try:
            return matcher(name, op, value)
        except re.error as error:
            raise LogQLError(f"parse error : error parsing regexp: {error}") from error

    def line_filter(self, op: str) -> Stage:
        wanted = [self.string("STRING or ip")]
        while self.take("or"):
            wanted.append(self.string())
        positive = op.startswith("|")
        if op in ("|=", "!="):
            return lambda line, _labels: line if any(text in line for text in wanted) == positive else None
        try:
            patterns = [re.compile(text) for text in wanted]
        except re.error as error:
            raise LogQLError(f"parse error : error parsing regexp: {error}") from error
        return lambda line, _labels: line if any(p.search(line) for p in patterns) == positive else None

    def stage(self, query: LogQuery) -> None:
        name = self.kind("name", "json, logfmt, or a label filter")
        if name == "json":
            query.stages.append(_extract_json)
            query.extracts = True
        elif name == "logfmt":
            query.stages.append(_extract_logfmt)
            query.extracts = True
        elif name in (
            "line_format",
            "label_format",
            "regexp",
            "pattern",
            "unpack",
            "unwrap",
            "decolorize",
            "drop",
            "keep",
        ):
            raise LogQLError(f"parse error : stage {name} is not supported by this sandbox")
        else:
            query.stages.append(self.label_filter(name))

    def label_filter(self, name: str) -> Stage:
        op = self.take("=", "==", "!=", "=~", "!~", ">", "<", ">=", "<=")
        if op is None:
            raise self.fail("a comparison")
        if self.token.kind == "string":
            wanted = matcher(name, "=" if op == "==" else op, self.string())
            first: Stage = lambda line, labels: line if wanted.matches(labels.get(name, "")) else None  # noqa: E731
        else:
            first = _numeric(name, op, float(self.kind("number", "STRING or NUMBER")))
        word = self.take("or", "and", ",")
        if word is None:
            return first
        second = self.label_filter(self.kind("name", "IDENTIFIER"))
        if word == "or":
            return lambda line, labels: first(line, labels) or second(line, labels)
        return lambda line, labels: line if first(line, labels) and second(line, labels) else None


def _numeric(name: str, op: str, number: float) -> Stage:
    def keep(line: str, labels: dict[str, str]) -> str | None:
        try:
            value = float(labels.get(name, ""))
        except ValueError:
            return None
        holds = {
            "=": value == number, "==": value == number, "!=": value != number, ">": value > number,
            "<": value < number, ">=": value >= number, "<=": value <= number,
        }  # fmt: skip
        return line if holds.get(op, False) else None

    return keep


def _json_string(text: str) -> str:
    # Go strings know escapes JSON does not (\. is an error in both, but people write it in backquotes anyway)
    return re.sub(r'\\([^"\\/bfnrtu])', r"\\\\\1", text)


def _extract_json(line: str, labels: dict[str, str]) -> str:
    try:
        data = json.loads(line)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        labels.update({"__error__": "JSONParserErr", "__error_details__": "Value looks like object, but can't find"})
        return line
    _flatten(data, "", labels)
    return line


def _flatten(data: dict[str, object], prefix: str, labels: dict[str, str]) -> None:
    for key, value in data.items():
        name = prefix + re.sub(r"\W", "_", key)
        if isinstance(value, dict):
            _flatten(value, f"{name}_", labels)
        elif not isinstance(value, list) and value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            labels[f"{name}_extracted" if name in labels and not prefix else name] = text


_PAIR = re.compile(r'([A-Za-z_][\w.]*)=(?:"((?:[^"\\]|\\.)*)"|(\S*))')


def _extract_logfmt(line: str, labels: dict[str, str]) -> str:
    for key, quoted, plain in _PAIR.findall(line):
        name = key.replace(".", "_")
        labels[f"{name}_extracted" if name in labels else name] = quoted.replace('\\"', '"') if quoted else plain
    return line


def parse_logql(query: str) -> LogQuery | MetricQuery:
    """Raises `LogQLError` with Loki's text."""
    return _Parser(query).parse()


def run_stages(query: LogQuery, line: str, labels: dict[str, str]) -> Entry | None:
    for stage in query.stages:
        kept = stage(line, labels)
        if kept is None:
            return None
        line = kept
    return line, labels
