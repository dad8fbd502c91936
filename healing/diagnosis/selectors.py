"""Label selectors, as Kubernetes reads them."""

from __future__ import annotations

from healing.diagnosis import reading as r
from healing.diagnosis.reading import Object


def matches(selector: Object, labels: dict[str, str]) -> bool:
    """A LabelSelector against labels; an empty one matches everything."""
    if not r.labels(selector, "matchLabels").items() <= labels.items():
        return False
    for expression in r.dicts(selector, "matchExpressions"):
        key, operator, values = (
            r.text(expression, "key"),
            r.text(expression, "operator"),
            r.strings(expression, "values"),
        )
        present = key in labels
        if operator == "In" and (not present or labels[key] not in values):
            return False
        if operator == "NotIn" and present and labels[key] in values:
            return False
        if (operator == "Exists" and not present) or (operator == "DoesNotExist" and present):
            return False
    return True
