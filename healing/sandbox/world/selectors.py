"""Label selectors and node selector terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from healing.sandbox.ports import Object


def matches(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """A LabelSelector (``matchLabels``, ``matchExpressions``). None matches nothing, an empty one everything."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels")
    if wanted and not wanted.items() <= labels.items():
        return False
    return all(matches_expression(expression, labels) for expression in selector.get("matchExpressions") or ())


def matches_simple(selector: Mapping[str, str] | None, labels: Mapping[str, str]) -> bool:
    """An equality map, as Services have one. An empty map matches nothing."""
    return selector is not None and bool(selector) and selector.items() <= labels.items()


def matches_expression(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator = expression["key"], expression["operator"]
    values: Sequence[str] = expression.get("values") or ()
    present = labels.get(key)
    if operator == "In":
        return present is not None and present in values
    if operator == "NotIn":
        return present is None or present not in values
    if operator == "Exists":
        return present is not None
    if operator == "DoesNotExist":
        return present is None
    if operator in ("Gt", "Lt"):
        try:
            have, limit = int(present or ""), int(values[0])
        except (ValueError, IndexError):
            return False
        return have > limit if operator == "Gt" else have < limit
    return False


def matches_node(term: Mapping[str, Any], node: Object) -> bool:
    """One NodeSelectorTerm: its expressions and fields all hold. An empty term matches nothing."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    metadata = node["metadata"]
    labels = metadata.get("labels") or {}
    names = {"metadata.name": metadata["name"]}
    return all(matches_expression(e, labels) for e in expressions) and all(matches_expression(f, names) for f in fields)


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def untolerated(taints: list[Object], tolerations: list[Object], effects: tuple[str, ...]) -> Object | None:
    """The first taint of these effects that no toleration covers."""
    for taint in taints:
        if taint.get("effect") in effects and not any(tolerates(t, taint) for t in tolerations):
            return taint
    return None
