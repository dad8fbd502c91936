"""Label selectors as Kubernetes reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: On an isolated pod; its value is the event. The NetworkPolicy of the isolation selects it.
QUARANTINE = "recist.io/quarantine"
#: Annotation of an isolated pod: the workload it was taken from, as ``Deployment/web``.
QUARANTINED_FROM = "recist.io/quarantined-from"


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """A LabelSelector (``matchLabels``, ``matchExpressions``). An empty one matches all, a missing one nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression_holds(e, labels) for e in selector.get("matchExpressions") or ())


def _expression_holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator, values = expression["key"], expression["operator"], expression.get("values") or ()
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    return bool((key in labels) == (operator == "Exists"))


def as_query(selector: Mapping[str, Any]) -> str:
    """The selector as the API's ``labelSelector`` query."""
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression["key"], ",".join(expression.get("values") or ())
        operator = expression["operator"]
        if operator in ("In", "NotIn"):
            parts.append(f"{key} {operator.lower()} ({values})")
        else:
            parts.append(key if operator == "Exists" else f"!{key}")
    return ",".join(parts)


def service_selects(service: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a Service's (plain, non-empty) selector selects these labels."""
    selector = service.get("spec", {}).get("selector") or {}
    return bool(selector) and selector.items() <= labels.items()
