"""From text to nodes, with Loki's words for what it does not understand."""

from __future__ import annotations

import json
import re

from healing.sandbox.signals.logql import stages
from healing.sandbox.signals.logql.errors import LogQLError
from healing.sandbox.signals.logql.nodes import (
    Binary,
    LogQuery,
    MetricNode,
    Number,
    RangeAggregation,
    Stage,
    Unwrap,
    VectorAggregation,
)
from healing.sandbox.signals.logql.templates import compile_template
from healing.sandbox.signals.logql.tokens import Token, duration_or_error, duration_seconds, size_bytes, tokenize
from healing.sandbox.signals.promql.binary import Matching
from healing.sandbox.signals.tsdb import Matcher, matcher

_COUNTING = ("count_over_time", "rate", "bytes_over_time", "bytes_rate", "absent_over_time")
_UNWRAPPED = (
    "sum_over_time", "avg_over_time", "min_over_time", "max_over_time", "first_over_time", "last_over_time",
    "stdvar_over_time", "stddev_over_time", "quantile_over_time", "rate_counter",
)  # fmt: skip
_AGGREGATIONS = ("sum", "avg", "min", "max", "count", "stddev", "stdvar", "topk", "bottomk", "sort", "sort_desc")
#: loosest first
_PRECEDENCE = (("or",), ("and", "unless"), ("==", "!=", ">", ">=", "<", "<="), ("+", "-"), ("*", "/", "%"), ("^",))
_LINE_FILTERS = ("|=", "!=", "|~", "!~", "|>", "!>")


class _Parser:
    def __init__(self, query: str) -> None:
        self.query = query
        self.tokens = tokenize(query)
        self.index = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    def fail(self, expecting: str = "") -> LogQLError:
        token = self.token
        names = {
            "end": "$end", "string": "STRING", "name": "IDENTIFIER", "number": "NUMBER", "duration": "DURATION",
            "bytes": "BYTES",
        }  # fmt: skip
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
        return text[1:-1] if text[0] == "`" else str(json.loads(_json_string(text)))

    def number(self) -> float:
        sign = -1.0 if self.take("-") else 1.0
        return sign * float(self.kind("number", "NUMBER"))

    # metric queries

    def parse(self) -> LogQuery | MetricNode:
        is_log = self.token.text == "{" or self.token.kind == "end"
        query: LogQuery | MetricNode = self.log() if is_log else self.binary(0)
        if self.token.kind != "end":
            raise self.fail()
        return query

    def binary(self, level: int) -> MetricNode:
        if level == len(_PRECEDENCE):
            return self.operand()
        left = self.binary(level + 1)
        while (op := self.take(*_PRECEDENCE[level])) is not None:
            return_bool = self.take("bool") is not None
            matching = self.matching()
            left = Binary(op, left, self.binary(level if op == "^" else level + 1), matching, return_bool)
        return left

    def matching(self) -> Matching:
        word = self.take("on", "ignoring")
        if word is None:
            return Matching()
        labels = frozenset(self.names())
        group = self.take("group_left", "group_right")
        include = tuple(self.names()) if group and self.token.text == "(" else ()
        if group is None:
            return Matching(on=word == "on", labels=labels)
        return Matching("many-to-one" if group == "group_left" else "one-to-many", word == "on", labels, include)

    def operand(self) -> MetricNode:
        if self.token.kind == "number" or self.token.text == "-":
            return Number(self.number())
        if self.take("("):
            inner = self.binary(0)
            self.need(")")
            return inner
        name = self.token.text if self.token.kind == "name" else ""
        if name == "vector":
            self.index += 1
            self.need("(")
            value = self.number()
            self.need(")")
            return VectorAggregation("sum", Number(value))
        if name in _AGGREGATIONS:
            return self.aggregation()
        if name in (*_COUNTING, *_UNWRAPPED):
            return self.range_aggregation()
        raise self.fail()

    def aggregation(self) -> VectorAggregation:
        name = self.kind("name", "IDENTIFIER")
        by, names = self.grouping()
        self.need("(")
        parameter = None
        if name in ("topk", "bottomk"):
            parameter = self.number()
            self.need(",")
        inner = self.binary(0)
        self.need(")")
        if by is None:
            by, names = self.grouping()
        return VectorAggregation(name, inner, by is not False, names, parameter)

    def range_aggregation(self) -> RangeAggregation:
        function = self.kind("name", "IDENTIFIER")
        self.need("(")
        parameter = None
        if function == "quantile_over_time":
            parameter = self.number()
            self.need(",")
        wrapped = self.take("(") is not None
        node = RangeAggregation(self.log(), function, 0.0, parameter=parameter)
        if self.take("|"):
            self.need("unwrap")
            node.unwrap = self.unwrap()
            rest = LogQuery([])
            while self.take("|"):
                self.stage(rest)
            node.later = rest.stages
        if wrapped:
            self.need(")")
        self.need("[", "[")
        node.range_seconds = duration_seconds(self.kind("duration", "DURATION"))
        self.need("]")
        if self.take("offset"):
            node.offset_seconds = duration_seconds(self.kind("duration", "DURATION"))
        self.need(")")
        node.by, node.names = self.grouping()
        self.check(node)
        return node

    def check(self, node: RangeAggregation) -> None:
        if node.unwrap is None and node.function in _UNWRAPPED:
            raise LogQLError(f"parse error : invalid aggregation {node.function} without unwrap")
        if node.unwrap is not None and node.function in ("count_over_time", "bytes_over_time", "bytes_rate"):
            raise LogQLError(f"parse error : invalid aggregation {node.function} with unwrap")
        if node.by is not None and node.function in ("sum_over_time", *_COUNTING, "rate_counter"):
            raise LogQLError(f"parse error : grouping not allowed for {node.function} aggregation")

    def unwrap(self) -> Unwrap:
        name = self.kind("name", "IDENTIFIER")
        if name in ("duration", "duration_seconds", "bytes") and self.take("("):
            found = Unwrap(self.kind("name", "IDENTIFIER"), name)
            self.need(")")
            return found
        return Unwrap(name)

    def grouping(self) -> tuple[bool | None, list[str]]:
        word = self.take("by", "without")
        return (None, []) if word is None else (word == "by", self.names())

    def names(self) -> list[str]:
        self.need("(")
        found: list[str] = []
        while self.token.kind == "name":
            found.append(self.kind("name", "IDENTIFIER"))
            if not self.take(","):
                break
        self.need(")")
        return found

    # log queries

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
        query = LogQuery(matchers)
        if not stages.selects_something(query):
            raise LogQLError(
                "parse error : queries require at least one regexp or equality matcher that does not have an "
                'empty-compatible value. For instance, app=~".*" does not meet this requirement, but app=~".+" will'
            )
        self.line_filters(query)
        while self.token.text == "|" and self.tokens[self.index + 1].text != "unwrap":
            self.index += 1
            self.stage(query)
            self.line_filters(query)
        return query

    def line_filters(self, query: LogQuery) -> None:
        while (op := self.take(*_LINE_FILTERS)) is not None:
            texts = [self.string("STRING or ip")]
            while self.take("or"):
                texts.append(self.string())
            query.stages.append(stages.line_filter(op, texts))

    def matcher(self) -> Matcher:
        name = self.kind("name", "IDENTIFIER")
        op = self.take("=", "!=", "=~", "!~")
        if op is None:
            raise self.fail("= or != or =~ or !~")
        return self.made_matcher(name, op, self.string())

    def made_matcher(self, name: str, op: str, value: str) -> Matcher:
        try:
            return matcher(name, op, value)
        except re.error as error:
            raise LogQLError(f"parse error : error parsing regexp: {error}") from error

    def stage(self, query: LogQuery) -> None:
        if self.token.text == "(":
            query.stages.append(self.alternatives(self.label_filter()))
            return
        name = self.kind("name", "json, logfmt, or a label filter")
        add = query.stages.append
        if name == "json":
            add(stages.json_stage(self.assignments()))
        elif name == "logfmt":
            flags = set()
            while (flag := self.take("--strict", "--keep-empty")) is not None:
                flags.add(flag)
            add(stages.logfmt_stage(self.assignments(), keep_empty="--keep-empty" in flags))
        elif name == "regexp":
            add(stages.regexp_stage(self.string()))
        elif name == "pattern":
            add(stages.pattern_stage(self.string()))
        elif name == "unpack":
            add(stages.unpack_stage)
        elif name == "decolorize":
            add(stages.decolorize_stage)
        elif name == "line_format":
            add(compile_template(self.string()))
        elif name == "label_format":
            self.label_format(query)
        elif name in ("drop", "keep"):
            add(self.drop(keep=name == "keep"))
        else:
            self.index -= 1
            add(self.alternatives(self.label_filter()))

    def assignments(self) -> dict[str, str]:
        """``label="path"`` or ``label``, separated by commas; none: all fields."""
        found: dict[str, str] = {}
        while self.token.kind == "name":
            label = self.kind("name", "IDENTIFIER")
            found[label] = self.string() if self.take("=") else label
            if not self.take(","):
                break
        return found

    def label_format(self, query: LogQuery) -> None:
        while True:
            target = self.kind("name", "IDENTIFIER")
            self.need("=")
            if self.token.kind == "string":
                query.stages.append(stages.set_stage(target, compile_template(self.string())))
            else:
                query.stages.append(stages.rename_stage(target, self.kind("name", "IDENTIFIER or STRING")))
            if not self.take(","):
                return

    def drop(self, *, keep: bool) -> Stage:
        names: list[str] = []
        matchers: list[Matcher] = []
        while True:
            name = self.kind("name", "IDENTIFIER")
            if (op := self.take("=", "!=", "=~", "!~")) is not None:
                matchers.append(self.made_matcher(name, op, self.string()))
            else:
                names.append(name)
            if not self.take(","):
                return stages.drop_stage(names, matchers, keep=keep)

    def alternatives(self, first: Stage) -> Stage:
        """``and`` and ``,`` bind closer than ``or``."""
        while (word := self.take("and", ",", "or")) is not None:
            second = self.label_filter()
            if word == "or":
                return stages.either(first, self.alternatives(second))
            first = stages.both(first, second)
        return first

    def label_filter(self) -> Stage:
        if self.take("("):
            inner = self.alternatives(self.label_filter())
            self.need(")")
            return inner
        name = self.kind("name", "IDENTIFIER")
        op = self.take("=", "==", "!=", "=~", "!~", ">", "<", ">=", "<=")
        if op is None:
            raise self.fail("a comparison")
        if self.token.kind == "string":
            if op not in ("=", "==", "!=", "=~", "!~"):
                raise self.fail("BYTES or NUMBER or DURATION")
            return stages.label_matcher(self.made_matcher(name, "=" if op == "==" else op, self.string()))
        if op in ("=~", "!~"):
            raise self.fail("STRING")
        if self.token.kind == "duration":
            seconds = duration_seconds(self.kind("duration", "DURATION"))
            return stages.label_number(name, op, seconds, duration_or_error)
        if self.token.kind == "bytes":
            return stages.label_number(name, op, size_bytes(self.kind("bytes", "BYTES")), size_bytes)
        if self.token.kind != "number" and self.token.text != "-":
            raise self.fail("STRING or BYTES or NUMBER or DURATION")
        return stages.label_number(name, op, self.number(), float)


def _json_string(text: str) -> str:
    # Go strings know escapes JSON does not (\. is an error in both, but people write it in backquotes anyway)
    return re.sub(r'\\([^"\\/bfnrtu])', r"\\\\\1", text)


def parse_logql(query: str) -> LogQuery | MetricNode:
    """Raises `LogQLError` with Loki's text."""
    return _Parser(query).parse()
