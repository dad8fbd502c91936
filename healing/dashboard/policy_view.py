"""A policy's spec as groups of named values, made from the schema so that no field is forgotten."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum

from django.utils.functional import Promise
from django.utils.translation import gettext as _, gettext_lazy
from pydantic import BaseModel

from healing.dashboard import words
from healing.policies.spec import PolicySpec

_UNITS: dict[str, str | Promise] = {
    "seconds": "s",
    "ms": "ms",
    "minutes": "min",
    "days": gettext_lazy("days"),
    "percent": "%",
}
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Value:
    """One field: its name in the resource, a title, its value in words, what it means."""

    name: str
    title: str
    text: str
    help: str


@dataclass(frozen=True, slots=True)
class Group:
    """Fields that belong together."""

    title: str
    help: str
    values: list[Value]


def groups_of(spec: PolicySpec) -> list[Group]:
    """Scalars first, as one group, then one group for each nested object."""
    plain: list[Value] = []
    nested: list[Group] = []
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        if field.exclude:
            continue  # another name of a field that has one
        if isinstance(value, BaseModel):
            help_text = field.description or (type(value).__doc__ or "").strip().split("\n")[0]
            nested.append(Group(title_of(name), help_text, _values(value)))
        else:
            plain.append(_value(spec, name))
    return [Group(_("Scope and thinking"), "", plain), *nested]


def title_of(name: str) -> str:
    """``max_actions_per_workload`` -> ``Max actions per workload``, without the unit at the end."""
    parts = name.split("_")
    if parts[-1] in _UNITS and len(parts) > 1:
        parts = parts[:-1]
    return words.capitalize(" ".join(parts)).replace("Llm", "Language model").replace("Cpu", "CPU")


def unit_of(name: str) -> str:
    """The unit in a field's name, or nothing."""
    return str(_UNITS.get(name.rsplit("_", 1)[-1], "")) if "_" in name else ""


def _values(model: BaseModel) -> list[Value]:
    found: list[Value] = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if field.exclude:
            continue  # another name of a field that has one
        if isinstance(value, BaseModel):
            inner = _values(value)
            found += [
                replace(v, name=f"{field.alias}.{v.name}", title=f"{title_of(name)}: {v.title.lower()}") for v in inner
            ]
        else:
            found.append(_value(model, name))
    return found


def _value(model: BaseModel, name: str) -> Value:
    field = type(model).model_fields[name]
    text = _text(getattr(model, name), unit_of(name))
    return Value(field.alias or name, title_of(name), text, field.description or "")


def _text(value: object, unit: str) -> str:
    match value:
        case None:
            return _("not set")
        case bool():
            return _("yes") if value else _("no")
        case Enum():
            return str(value.value)
        case BaseModel():
            plain = value.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            return " ".join(_text(item, "") for item in plain.values())
        case list():
            return ", ".join(_text(item, "") for item in value) or _("none")
        case dict():
            return ", ".join(f"{key}={text}" for key, text in value.items()) or _("any")
        case int() | float() | str():
            return f"{value} {unit}".strip() if value != "" else _("not set")
        case _:
            return str(value)
