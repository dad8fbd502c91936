"""Words of LogQL: tokens, durations, sizes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from healing.sandbox.signals.logql.errors import LogQLError

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`)
    |(?P<bytes>\d+(?:\.\d+)?(?:[KMGTP]i?B|[kmgtp]i?b|B|b)\b)
    |(?P<duration>\d+(?:\.\d+)?(?:ns|us|ms|[smhdwy])(?:\d+(?:\.\d+)?(?:ms|[smhdwy]))*)
    |(?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)|(?P<name>[A-Za-z_][\w.]*|--[a-z-]+)
    |(?P<op>\|=|\|~|\|>|!>|!=|!~|=~|==|>=|<=|[{}()\[\],|=<>+\-*/%^]))""",
    re.VERBOSE,
)
_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_SIZES = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}


def duration_seconds(text: str) -> float:
    """Raises `LogQLError`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|ms|[smhdwy])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise LogQLError(f'not a valid duration string: "{text}"')
    return float(sum(float(number) * _UNITS[unit] for number, unit in parts))


def size_bytes(text: str) -> float:
    """``20MB`` or ``1.5KiB``; raises ValueError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)(i?)B?", text, re.IGNORECASE)
    if found is None:
        raise ValueError(f"strconv.ParseFloat: parsing {text!r}: invalid syntax")
    return float(float(found.group(1)) * (1024 if found.group(3) else 1000) ** _SIZES[found.group(2).upper()])


def duration_or_error(text: str) -> float:
    try:
        return duration_seconds(text)
    except LogQLError as error:
        raise ValueError(f"time: invalid duration {json.dumps(text)}") from error


@dataclass(slots=True)
class Token:
    kind: str
    text: str
    column: int


def tokenize(query: str) -> list[Token]:
    tokens, index = [], 0
    while index < len(query):
        if query[index:].isspace():
            break
        found = _TOKEN.match(query, index)
        if found is None:
            column = index + len(query[index:]) - len(query[index:].lstrip()) + 1
            raise LogQLError(f"parse error at line 1, col {column}: syntax error: unexpected character")
        kind = str(found.lastgroup)
        tokens.append(Token(kind, found.group(kind), found.start(kind) + 1))
        index = found.end()
    tokens.append(Token("end", "", len(query) + 1))
    return tokens
