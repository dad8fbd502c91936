"""Label selectors as Kubernetes reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: On an isolated pod; its value is the event.
QUARANTINE = "recist.io/quarantine"
#: Beside it, which pod it is: each has a NetworkPolicy of its own.
QUARANTINED_POD = "recist.io/quarantined-pod"
#: Annotation of an isolated pod: the workload it was taken from, as ``Deployment/web``.
QUARANTINED_FROM = "recist.io/quarantined-from"
#: Annotation of an isolated pod: the labels that were taken from it, as JSON.
QUARANTINED_LABELS = "recist.io/quarantined-labels"
#: Annotation of an isolated pod and of its NetworkPolicy: when the isolation ends, in ISO 8601.
QUARANTINED_UNTIL = "recist.io/quarantined-until"


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


def keys_of(selector: Mapping[str, Any]) -> set[str]:
    """The labels that a LabelSelector looks at."""
    return {*(selector.get("matchLabels") or {}), *(e["key"] for e in selector.get("matchExpressions") or ())}


def service_selects(service: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a Service's (plain, non-empty) selector selects these labels."""
    selector = service.get("spec", {}).get("selector") or {}
    return bool(selector) and selector.items() <= labels.items()
