"""An action's parameters as a form: fields made from its schema, and what was typed read back.

Only shape is read here; whether the values are in bounds is checked where the edit is taken (`healing.approvals`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from healing.actions import registry
from healing.approvals.errors import EditRefused

_SCALARS = {"integer": "number", "number": "number", "boolean": "switch", "string": "text"}


@dataclass(frozen=True, slots=True)
class ParameterField:
    """One input. ``kind``: number, text, switch, pairs (a line each: name=value) or json."""

    input: str
    name: str
    kind: str
    value: str
    help: str
    minimum: float | None = None
    maximum: float | None = None

    @property
    def checked(self) -> bool:
        """Of a switch."""
        return self.value == "true"

    @property
    def rows(self) -> int:
        """Of a text area."""
        return min(8, max(2, self.value.count("\n") + 1))


def fields_of(number: int, step: Mapping[str, Any]) -> list[ParameterField]:
    """The inputs of one step of a plan; none for an action that is not known any more."""
    try:
        schema = registry.get(str(step.get("action", ""))).parameters.model_json_schema(by_alias=True)
    except LookupError:
        return []
    values = step.get("parameters") or {}
    return [_field(number, name, node, values.get(name)) for name, node in schema.get("properties", {}).items()]


def _field(number: int, name: str, node: Mapping[str, Any], value: Any) -> ParameterField:
    kind = _kind(node)
    low, high = node.get("minimum", node.get("exclusiveMinimum")), node.get("maximum", node.get("exclusiveMaximum"))
    text = _written(kind, value)
    return ParameterField(f"p{number}.{name}", name, kind, text, str(node.get("description", "")), low, high)


def _kind(node: Mapping[str, Any]) -> str:
    kinds = [part for part in node.get("anyOf", [node]) if part.get("type") != "null"]
    if len(kinds) == 1 and kinds[0].get("type") in _SCALARS:
        return _SCALARS[kinds[0]["type"]]
    inner = kinds[0].get("additionalProperties") if len(kinds) == 1 else None
    return "pairs" if isinstance(inner, dict) and inner.get("type") == "string" else "json"


def _written(kind: str, value: Any) -> str:
    if value is None:
        return ""
    if kind == "pairs" and isinstance(value, dict):
        return "\n".join(f"{key}={text}" for key, text in value.items())
    if kind == "json" or not isinstance(value, str):
        return json.dumps(value)
    return value


def read(posted: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Parameters of each step as typed; empty inputs are left out. Raises `EditRefused`."""
    found, errors = [], []
    for number, step in enumerate(steps):
        values: dict[str, Any] = {}
        for field in fields_of(number, step):
            text = str(posted.get(field.input, "")).replace("\0", "").strip()
            try:
                if field.kind == "switch":
                    if text or field.value:
                        values[field.name] = bool(text)
                elif text:
                    values[field.name] = _read(field.kind, text)
            except ValueError as error:
                errors.append({"field": field.name, "message": str(error)})
        found.append(values)
    if errors:
        raise EditRefused(errors)
    return found


def _read(kind: str, text: str) -> Any:
    if kind == "text":
        return text
    if kind == "number":
        try:
            return int(text)
        except ValueError:
            pass
        try:
            return float(text)
        except ValueError:
            raise ValueError(_("%(text)s is not a number") % {"text": repr(text)}) from None
    if kind == "pairs":
        pairs = {}
        for line in filter(None, map(str.strip, text.splitlines())):
            key, equals, value = line.partition("=")
            if not equals or not key.strip() or not value.strip():
                raise ValueError(_("%(text)s is not name=value") % {"text": repr(line)})
            pairs[key.strip()] = value.strip()
        return pairs
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(_("this is not JSON")) from None
