"""What a Table is made of: column definitions, ages, joined lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from healing.sandbox.api.meta import parse_timestamp
from healing.sandbox.ports import Object

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"

#: (object, now in seconds since the epoch) -> cells
Printer = Callable[[Object, float], list[Any]]


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def as_object(self) -> Object:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description or self.name,
            "priority": self.priority,
        }


_NAME_TEXT = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a "
    "client to request the generation of an appropriate name automatically. Name is primarily intended for creation "
    "idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
NAME = Column("Name", format="name", description=_NAME_TEXT)


def parse_columns(text: str) -> tuple[Column, ...]:
    """``Name, Ready, Desired:integer, IP!``: a colon gives the type, ``!`` marks what only -o wide shows."""
    columns = []
    for part in (piece.strip() for piece in text.split(",")):
        priority = 1 if part.endswith("!") else 0
        name, _, kind = part.removesuffix("!").partition(":")
        columns.append(
            NAME
            if name == "Name" and not priority
            else Column(name, kind or "string", "name" if name == "Name" else "", priority)
        )
    return tuple(columns)


@dataclass(frozen=True, slots=True)
class Layout:
    """One kind's table."""

    columns: tuple[Column, ...]
    cells: Printer


_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_YEAR_DAYS = 365


def human_duration(seconds: float) -> str:
    """As kubectl writes ages: ``45s``, ``3m7s``, ``56m``, ``5h10m``, ``3d4h``, ``200d``."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    if total < 0:
        return "0s"
    if total < 2 * _MINUTE:
        return f"{total}s"
    minutes = total // _MINUTE
    if minutes < 10:
        rest = total % _MINUTE
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours = total // _HOUR
    if hours < 8:
        rest = minutes % 60
        return f"{hours}h{rest}m" if rest else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days = total // _DAY
    if hours < 192:
        rest = hours % 24
        return f"{days}d{rest}h" if rest else f"{days}d"
    if days < 2 * _YEAR_DAYS:
        return f"{days}d"
    years = days // _YEAR_DAYS
    if days < 8 * _YEAR_DAYS:
        rest = days % _YEAR_DAYS
        return f"{years}y{rest}d" if rest else f"{years}y"
    return f"{years}y"


def since(text: str | None, now: float) -> str:
    """The age of a timestamp."""
    if not text:
        return UNKNOWN
    try:
        return human_duration(now - parse_timestamp(text))
    except ValueError:
        return UNKNOWN


def age(obj: Object, now: float) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def name_of(obj: Object) -> str:
    return str(obj["metadata"].get("name", ""))


def joined_labels(labels: Mapping[str, str] | None) -> str:
    if not labels:
        return NONE
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels))


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector as ``app=web,tier in (a,b)``."""
    if not selector:
        return NONE
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for item in selector.get("matchExpressions") or ():
        values = ",".join(sorted(item.get("values") or ()))
        operator = item.get("operator")
        key = item.get("key", "")
        text = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}
        parts.append(text.get(operator, f"!{key}"))
    return ",".join(parts) or NONE


def containers_and_images(spec: Mapping[str, Any]) -> tuple[str, str]:
    containers: Sequence[Any] = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
    return (
        ",".join(str(item.get("name", "")) for item in containers),
        ",".join(str(item.get("image", "")) for item in containers),
    )


def some(items: list[str], count: int) -> str:
    """The first ``count``, and how many more there are."""
    if not items:
        return NONE
    more = f" + {len(items) - count} more..." if len(items) > count else ""
    return ",".join(items[:count]) + more
