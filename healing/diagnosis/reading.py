"""Reading objects that may be incomplete or wrong: every accessor answers the type it says, whatever is there."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

Object = dict[str, Any]

_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}
_QUANTITY = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)([numkMGTPE]?|[KMGTPE]i)$")


#: Beyond this nothing is a quantity, and an int is no float any more.
_LARGEST = 1e300


def at(value: Any, *path: str | int) -> Any:
    """What is at the path, or None."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(value, list) or not -len(value) <= step < len(value):
                return None
            value = value[step]
        elif isinstance(value, dict):
            value = value.get(step)
        else:
            return None
    return value


def text(value: Any, *path: str | int) -> str:
    """A string, or empty."""
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def number(value: Any, *path: str | int, default: int = 0) -> int:
    """An integer, or the default."""
    found = at(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else default


def mapping(value: Any, *path: str | int) -> Object:
    """A dict, or an empty one."""
    found = at(value, *path)
    return found if isinstance(found, dict) else {}


def labels(value: Any, *path: str | int) -> dict[str, str]:
    """A mapping of strings; what is no string is left out."""
    return {k: v for k, v in mapping(value, *path).items() if isinstance(k, str) and isinstance(v, str)}


def dicts(value: Any, *path: str | int) -> list[Object]:
    """The dicts in a list, or an empty list."""
    found = at(value, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def strings(value: Any, *path: str | int) -> list[str]:
    """The strings in a list, or an empty list."""
    found = at(value, *path)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def named(items: list[Object]) -> dict[str, Object]:
    """Containers, volumes, env entries by name."""
    return {name: item for item in items if (name := text(item, "name"))}


def moment(value: Any, *path: str | int) -> datetime | None:
    """An RFC 3339 time in UTC, or None."""
    raw = text(value, *path) if path else (value if isinstance(value, str) else "")
    if not raw:
        return None
    try:
        parsed = datetime.fromisoformat(raw)
    except ValueError:
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def iso(value: datetime | None) -> str:
    """The inverse of `moment`, to the second; empty for None."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if value else ""


def quantity(value: Any) -> float | None:
    """A Kubernetes quantity (``250m``, ``64Mi``, ``1e3``, 2) in its base unit, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < _LARGEST and math.isfinite(value) else None
    match = _QUANTITY.match(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    try:
        result = float(Decimal(match[1]) * _SUFFIXES[match[2]])
    except (InvalidOperation, OverflowError):
        return None
    return result if math.isfinite(result) else None


def as_memory(byte_count: float) -> str:
    """Bytes as a quantity in whole Mi, rounded up."""
    return f"{max(1, math.ceil(byte_count / 2**20))}Mi"


def as_cpu(cores: float) -> str:
    """Cores as a quantity in whole millicores, rounded up."""
    return f"{max(1, math.ceil(cores * 1000))}m"


def pod_spec(workload: Mapping[str, Any]) -> Object:
    """The pod spec of a workload's template, of a CronJob's too; of a Pod its own."""
    if workload.get("kind") == "Pod":
        return mapping(workload, "spec")
    if workload.get("kind") == "CronJob":
        return mapping(workload, "spec", "jobTemplate", "spec", "template", "spec")
    return mapping(workload, "spec", "template", "spec")


def template_labels(workload: Mapping[str, Any]) -> dict[str, str]:
    """Labels that a workload's pods get, without those its controller adds."""
    if workload.get("kind") == "Pod":
        found = labels(workload, "metadata", "labels")
    elif workload.get("kind") == "CronJob":
        found = labels(workload, "spec", "jobTemplate", "spec", "template", "metadata", "labels")
    else:
        found = labels(workload, "spec", "template", "metadata", "labels")
    return {k: v for k, v in found.items() if k not in CONTROLLER_LABELS}


CONTROLLER_LABELS = frozenset(
    {
        "pod-template-hash",
        "controller-revision-hash",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "controller-uid",
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-name",
        "job-name",
    }
)


def containers(spec: Mapping[str, Any]) -> Iterator[Object]:
    """All containers of a pod spec that run to serve or to initialise."""
    yield from dicts(spec, "initContainers")
    yield from dicts(spec, "containers")


def condition(obj: Any, kind: str) -> Object:
    """A condition of the object's status by type, or an empty dict."""
    return next((c for c in dicts(obj, "status", "conditions") if c.get("type") == kind), {})


def similarity(one: str, other: str) -> float:
    """0..1 by edits needed, swapped neighbours being one edit; 1 is equal. For typos in names."""
    if one == other:
        return 1.0
    longest = max(len(one), len(other))
    before: list[int] = []
    previous = list(range(len(other) + 1))
    for row, a in enumerate(one, 1):
        current = [row]
        for column, b in enumerate(other, 1):
            cost = min(previous[column] + 1, current[-1] + 1, previous[column - 1] + (a != b))
            if row > 1 and column > 1 and a == other[column - 2] and one[row - 2] == b:
                cost = min(cost, before[column - 2] + 1)
            current.append(cost)
        before, previous = previous, current
    return 1.0 - previous[-1] / longest


def closest(name: str, candidates: list[str], at_least: float = 0.7) -> str:
    """The candidate most like ``name``, or empty where none is like it."""
    best = max(candidates, key=lambda c: (similarity(name, c), c), default="")
    return best if best and best != name and similarity(name, best) >= at_least else ""
