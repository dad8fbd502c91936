"""From text to promql-parser's tree, and its complaints in Prometheus' words."""

from __future__ import annotations

import re

import promql_parser

from healing.sandbox.signals.promql.nodes import Node, convert
from healing.sandbox.signals.promql.values import BadQuery

_TYPES = {"matrix": "range vector", "vector": "instant vector", "scalar": "scalar", "string": "string"}


def parse(query: str) -> Node:
    try:
        tree = promql_parser.parse(query)
    except ValueError as error:
        raise BadQuery(_translate(query, str(error))) from error
    return convert(tree)


def _translate(query: str, message: str) -> str:
    """The parser names no position, so the likely one is searched for."""
    position = 1
    if found := re.search(r"unknown function with name '(\w+)'", message):
        position = query.find(found.group(1)) + 1
        message = f'unknown function with name "{found.group(1)}"'
    elif found := re.search(r"expected type (\w+) in call to function '(\w+)', got (\w+)", message):
        expected, function, got = found.groups()
        position = query.find(function) + 1
        message = f'expected type {_TYPES[expected]} in call to function "{function}", got {_TYPES[got]}'
    elif found := re.search(r"argument\(s\) in call to '(\w+)'", message):
        position = query.find(found.group(1)) + 1
        message = message.replace(f"'{found.group(1)}'", f'"{found.group(1)}"')
    elif "end of input" in message or "unclosed" in message:
        position = len(query) + 1
    elif message == "invalid promql query":
        message = "unexpected end of input" if query.rstrip()[-1:] in "+-*/%^=<>(,[" else "unexpected identifier"
        position = len(query) + 1 if message == "unexpected end of input" else 1
    return f"1:{position}: parse error: {message}"


def parse_duration_seconds(text: str) -> float:
    """``1m30s`` or ``90``; raises ValueError."""
    try:
        return float(text)
    except ValueError:
        return promql_parser.parse_duration(text).total_seconds()
