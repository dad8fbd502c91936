"""Functions and methods of CEL expressions."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

from healing.sandbox.api.meta import parse_timestamp


class CelError(ValueError):
    """The expression is not understood, or cannot be evaluated on this object."""


def _matches(text: str, pattern: str) -> bool:
    return re.search(pattern, text) is not None


_DURATION_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def _duration(text: str) -> float:
    parts = re.findall(r"(-?\d+(?:\.\d+)?)(ms|us|ns|h|m|s)", text)
    if not parts:
        raise CelError(f"invalid duration {text!r}")
    return sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)


METHODS: dict[str, Callable[..., Any]] = {
    "size": len,
    "startsWith": lambda text, prefix: text.startswith(prefix),
    "endsWith": lambda text, suffix: text.endswith(suffix),
    "contains": lambda text, part: part in text,
    "matches": _matches,
    "lowerAscii": lambda text: text.lower(),
    "upperAscii": lambda text: text.upper(),
    "trim": lambda text: text.strip(),
    "split": lambda text, separator, *limit: text.split(separator, *[item - 1 for item in limit]),
    "join": lambda items, separator="": separator.join(items),
    "replace": lambda text, old, new, *limit: text.replace(old, new, *limit),
    "substring": lambda text, start, *end: text[start : end[0] if end else len(text)],
    "indexOf": lambda value, item: value.find(item) if isinstance(value, str) else _index_of(value, item),
    "isSorted": lambda items: all(a <= b for a, b in itertools.pairwise(items)),
    "sum": sum,
    "min": min,
    "max": max,
    "getSeconds": int,
    "find": lambda text, pattern: found.group(0) if (found := re.search(pattern, text)) else "",
}


def _index_of(items: list[Any], item: Any) -> int:
    return items.index(item) if item in items else -1


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "size": len,
    "int": int,
    "uint": int,
    "double": float,
    "string": lambda value: str(value).lower() if isinstance(value, bool) else str(value),
    "bool": lambda value: value if isinstance(value, bool) else {"true": True, "false": False}[value],
    "duration": _duration,
    "timestamp": parse_timestamp,
    "type": lambda value: type(value).__name__,
    "dyn": lambda value: value,
    "isURL": lambda text: bool(re.match(r"[a-z][a-z0-9+.-]*://[^/]+", text)),
}
