"""LimitRanges: default requests and limits of containers, and their bounds."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from healing.sandbox.api.quantity import parse_quantity
from healing.sandbox.api.quota import pod_resources
from healing.sandbox.ports import Object

_ANNOTATION = "kubernetes.io/limit-ranger"


def _limits(ranges: Sequence[Object], kind: str) -> list[Object]:
    return [
        item for entry in ranges for item in (entry.get("spec") or {}).get("limits") or () if item.get("type") == kind
    ]


def set_pod_defaults(ranges: Sequence[Object], pod: Object) -> None:
    """Fill in what a LimitRange's ``default`` and ``defaultRequest`` say, and note it in an annotation."""
    limits = _limits(ranges, "Container")
    if not limits:
        return
    notes: list[str] = []
    spec = pod["spec"]
    for field, word in (("containers", "container"), ("initContainers", "init container")):
        for container in spec.get(field) or ():
            for kind, source in (("request", "defaultRequest"), ("limit", "default")):
                names = _fill(container, f"{kind}s", [item.get(source) or {} for item in limits])
                if names:
                    notes.append(f"{', '.join(sorted(names))} {kind} for {word} {container.get('name')}")
    if notes:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[_ANNOTATION] = "LimitRanger plugin set: " + "; ".join(notes)


def _fill(container: Object, field: str, defaults: Sequence[Object]) -> list[str]:
    resources = container.setdefault("resources", {})
    filled = []
    for values in defaults:
        for name, value in values.items():
            if name not in (resources.get(field) or {}):
                resources.setdefault(field, {})[name] = value
                filled.append(name)
    return filled


def check_pod_limits(ranges: Sequence[Object], pod: Object) -> list[str]:
    """What is out of bounds, in the API's words."""
    problems: list[str] = []
    spec = pod["spec"]
    for item in _limits(ranges, "Container"):
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            resources = container.get("resources") or {}
            amounts = [
                {name: (parse_quantity(value), value) for name, value in (resources.get(field) or {}).items()}
                for field in ("requests", "limits")
            ]
            problems += _check(item, "Container", amounts[0], amounts[1])
    for item in _limits(ranges, "Pod"):
        totals = [
            {name: (amount, str(amount)) for name, amount in pod_resources(pod, field).items()}
            for field in ("requests", "limits")
        ]
        problems += _check(item, "Pod", totals[0], totals[1])
    return problems


_Amounts = dict[str, tuple[Fraction, str]]


def _check(item: Object, kind: str, requests: _Amounts, limits: _Amounts) -> list[str]:
    problems = []
    for name, bound in sorted((item.get("min") or {}).items()):
        problems += _bound("minimum", name, kind, bound, requests.get(name), limits.get(name))
    for name, bound in sorted((item.get("max") or {}).items()):
        problems += _bound("maximum", name, kind, bound, requests.get(name), limits.get(name))
    for name, bound in sorted((item.get("maxLimitRequestRatio") or {}).items()):
        request, limit = requests.get(name), limits.get(name)
        if request and limit and request[0] > 0 and limit[0] / request[0] > parse_quantity(bound):
            ratio = float(limit[0] / request[0])
            problems.append(
                f"{name} max limit to request ratio per {kind} is {bound}, but provided ratio is {ratio:.6f}"
            )
    return problems


def _bound(word: str, name: str, kind: str, bound: str, request: Any, limit: Any) -> list[str]:
    edge = parse_quantity(bound)
    too_much = word == "maximum"
    if request is None and limit is None:
        missing = "limit" if too_much else "request"
        return [f"{word} {name} usage per {kind} is {bound}.  No {missing} is specified"]
    problems = []
    for label, amount in (("limit", limit), ("request", request)):
        if amount is None:
            continue
        beyond = amount[0] > edge if too_much else amount[0] < edge
        if beyond:
            problems.append(f"{word} {name} usage per {kind} is {bound}, but {label} is {amount[1]}")
            break
    return problems
