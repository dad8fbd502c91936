"""Keeps secrets out of the logs: every line passes through here last, whoever wrote it."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

from healing.redaction import hide, is_secret_name, without_hidden

_DEPTH = 8
#: Ours, whatever they hold: names that look like secrets and are none.
_SAFE_KEYS = frozenset({"event", "level", "logger", "timestamp"})


def know(environment: BaseModel) -> None:
    """The secrets of the environment, and the passwords within URLs."""
    for name in type(environment).model_fields:
        value = getattr(environment, name)
        if not isinstance(value, SecretStr):
            continue
        text = value.get_secret_value()
        parts = urlsplit(text) if "://" in text else None
        if parts is None:
            hide(text)
        elif parts.password:
            hide(text, parts.password, unquote(parts.password))
        elif parts.scheme in ("http", "https"):  # a webhook: its path is the secret
            hide(text, parts.path)


def mask(logger: Any, method: str, event_dict: dict[str, Any]) -> dict[str, Any]:
    """A structlog processor, after exceptions were rendered and before the line is."""
    return {key: _masked(value, _DEPTH, key) for key, value in event_dict.items()}


def mask_line(logger: Any, method: str, line: str) -> str:
    """The same for a line that is text already."""
    return without_hidden(line)


def _masked(value: Any, depth: int, key: str = "") -> Any:
    if isinstance(value, str):
        if key not in _SAFE_KEYS and is_secret_name(key):
            return "[secret]" if value else value
        return without_hidden(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth <= 0:
        return without_hidden(str(value))
    if isinstance(value, dict):
        return {str(name): _masked(inner, depth - 1, str(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(inner, depth - 1) for inner in value]
    return without_hidden(str(value))
