"""Which nodes a pod asks for: nodeSelector and required node affinity, as the scheduler reads them."""

from __future__ import annotations

from collections.abc import Iterable

from healing.diagnosis import reading as r
from healing.diagnosis.reading import Object


def nodes_asked_for(spec: Object, nodes: Iterable[Object]) -> list[Object] | None:
    """The nodes that a pod's ``spec`` allows by their labels and names; None where it asks for none in particular."""
    selector = r.labels(spec, "nodeSelector")
    required = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    terms = r.dicts(spec, *required)
    if not selector and not terms:
        return None
    return [
        node
        for node in nodes
        if selector.items() <= r.labels(node, "metadata", "labels").items()
        and (not terms or any(_fits(term, node) for term in terms))
    ]


def _fits(term: Object, node: Object) -> bool:
    """All expressions of a term; a term without any matches nothing."""
    expressions, fields = r.dicts(term, "matchExpressions"), r.dicts(term, "matchFields")
    labels = r.labels(node, "metadata", "labels")
    names = {"metadata.name": r.text(node, "metadata", "name")}
    return bool(expressions or fields) and (
        all(_holds(e, labels) for e in expressions) and all(_holds(f, names) for f in fields)
    )


def _holds(expression: Object, labels: dict[str, str]) -> bool:
    key, operator, values = r.text(expression, "key"), r.text(expression, "operator"), r.strings(expression, "values")
    value = labels.get(key)
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if operator in ("Gt", "Lt") and value is not None and values:
        try:
            return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])
        except ValueError:
            return False
    return False
