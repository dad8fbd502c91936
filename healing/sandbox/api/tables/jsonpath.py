"""The part of JSONPath that printer columns and selectable fields use."""

from __future__ import annotations

import functools
import re
from typing import Any

_STEP_RE = re.compile(
    r"\.(?P<name>(?:[A-Za-z0-9_\-/]|\\.)+)|\[(?P<quote>['\"])(?P<quoted>.*?)(?P=quote)\]|\[(?P<index>-?\d+)\]"
    r"|\[\?\(@\.(?P<key>[\w.]+)\s*==\s*(?P<q2>['\"])(?P<value>.*?)(?P=q2)\)\]|(?P<all>\[\*\]|\.\*)"
)


@functools.lru_cache(maxsize=1024)
def _steps(path: str) -> tuple[tuple[str, Any], ...]:
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    if not text.startswith((".", "[")):
        text = "." + text
    steps: list[tuple[str, Any]] = []
    position = 0
    while position < len(text):
        match = _STEP_RE.match(text, position)
        if match is None:
            raise ValueError(f"not a JSONPath: {path}")
        position = match.end()
        if match["name"] is not None:
            steps.append(("key", match["name"].replace("\\", "")))
        elif match["quoted"] is not None:
            steps.append(("key", match["quoted"]))
        elif match["index"] is not None:
            steps.append(("index", int(match["index"])))
        elif match["key"] is not None:
            steps.append(("filter", (match["key"], match["value"])))
        else:
            steps.append(("all", None))
    return tuple(steps)


def first_match(obj: Any, path: str) -> Any:
    """The first value at ``path``; None if there is none or the path is not understood."""
    try:
        found = [obj]
        for kind, argument in _steps(path):
            found = [value for item in found for value in _follow(item, kind, argument)]
    except ValueError:
        return None
    return found[0] if found else None


def _follow(item: Any, kind: str, argument: Any) -> list[Any]:
    if kind == "key":
        return [item[argument]] if isinstance(item, dict) and argument in item else []
    if kind == "index":
        return [item[argument]] if isinstance(item, list) and -len(item) <= argument < len(item) else []
    if kind == "filter":
        key, value = argument
        return (
            [element for element in item if str(first_match(element, "." + key)) == value]
            if isinstance(item, list)
            else []
        )
    if isinstance(item, dict):
        return list(item.values())
    return list(item) if isinstance(item, list) else []
