"""The part of Go's templates that ``line_format`` and ``label_format`` are mostly used with."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from healing.sandbox.signals.logql.errors import LogQLError
from healing.sandbox.signals.logql.nodes import LineLabels

Part = Callable[[str, LineLabels], str]
_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*"|`[^`]*`)|(\.[A-Za-z_]\w*)|([A-Za-z_]\w*)|(-?\d+)|(\|))')

_FUNCTIONS: dict[str, Callable[..., str]] = {
    "ToLower": str.lower,
    "ToUpper": str.upper,
    "lower": str.lower,
    "upper": str.upper,
    "title": str.title,
    "trim": str.strip,
    "TrimSpace": str.strip,
    "trimPrefix": lambda prefix, text: text.removeprefix(prefix),
    "TrimPrefix": lambda text, prefix: text.removeprefix(prefix),
    "trimSuffix": lambda suffix, text: text.removesuffix(suffix),
    "TrimSuffix": lambda text, suffix: text.removesuffix(suffix),
    "replace": lambda old, new, text: text.replace(old, new),
    "Replace": lambda text, old, new, count: text.replace(old, new, int(count)),
    "default": lambda fallback, text: text or fallback,
    "trunc": lambda count, text: text[: int(count)] if int(count) >= 0 else text[int(count) :],
    "substr": lambda start, end, text: text[int(start) : int(end)],
    "regexReplaceAll": lambda pattern, text, new: re.sub(pattern, re.sub(r"\$\{?(\w+)\}?", r"\\g<\1>", new), text),
    "quote": lambda text: json.dumps(text, ensure_ascii=False),
    "print": lambda *texts: "".join(texts),
}


def compile_template(text: str) -> Part:
    """Raises `LogQLError` for what is not supported."""
    parts: list[Part] = []
    position = 0
    for found in re.finditer(r"\{\{(-?)(.*?)(-?)\}\}", text, re.DOTALL):
        literal = text[position : found.start()]
        parts.append(_literal(literal.rstrip() if found.group(1) else literal))
        parts.append(_action(found.group(2)))
        position = found.end()
    parts.append(_literal(text[position:]))
    return lambda line, labels: "".join(part(line, labels) for part in parts)


def _literal(text: str) -> Part:
    return lambda _line, _labels: text


def _action(text: str) -> Part:
    commands: list[list[tuple[str, str]]] = [[]]
    position = 0
    while position < len(text.rstrip()):
        found = _TOKEN.match(text, position)
        if found is None:
            raise LogQLError(f"invalid template: template: line:1: unexpected {text[position:].strip()!r} in command")
        position = found.end()
        string, label, name, number, pipe = found.groups()
        if pipe:
            commands.append([])
        elif string is not None:
            commands[-1].append(("text", string[1:-1] if string[0] == "`" else json.loads(string)))
        elif label:
            commands[-1].append(("label", label[1:]))
        elif name:
            commands[-1].append(("call", name))
        else:
            commands[-1].append(("text", number))
    for command in commands:
        if not command:
            raise LogQLError("invalid template: template: line:1: missing value for command")
        for kind, name in command:
            if kind == "call" and name not in _FUNCTIONS and name not in ("__line__", "__timestamp__"):
                raise LogQLError(f'invalid template: template: line:1: function "{name}" not defined')
    return lambda line, labels: _run(commands, line, labels)


def _run(commands: list[list[tuple[str, str]]], line: str, labels: LineLabels) -> str:
    value: str | None = None
    for command in commands:
        texts = [_value(kind, text, line, labels) for kind, text in command]
        kind, name = command[0]
        if kind == "call" and name in _FUNCTIONS:
            arguments = texts[1:] + ([] if value is None else [value])
            try:
                value = _FUNCTIONS[name](*arguments)
            except (TypeError, ValueError, re.error) as error:
                labels.fail("TemplateFormatErr", str(error))
                return line
        else:
            value = texts[0]
    return value or ""


def _value(kind: str, text: str, line: str, labels: LineLabels) -> str:
    if kind == "label":
        return labels.get(text, "")
    if kind == "call":
        return {"__line__": line, "__timestamp__": labels.get("__timestamp__", "")}.get(text, "")
    return text
