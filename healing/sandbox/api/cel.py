"""``x-kubernetes-validations``: rules in the Common Expression Language."""

from __future__ import annotations

from typing import Any

from healing.sandbox.api.cel_eval import evaluate
from healing.sandbox.api.cel_functions import CelError
from healing.sandbox.api.errors import Cause
from healing.sandbox.ports import Object

_RULES = "x-kubernetes-validations"
_REASONS = {
    "FieldValueInvalid": "FieldValueInvalid",
    "FieldValueForbidden": "FieldValueForbidden",
    "FieldValueRequired": "FieldValueRequired",
    "FieldValueDuplicate": "FieldValueDuplicate",
}
_WORDS = {"FieldValueForbidden": "Forbidden: ", "FieldValueRequired": "Required value: "}


def check_rules(new: Any, old: Any, schema: Object, path: str = "") -> list[Cause]:
    """Causes of all rules that do not hold. ``old`` is None where there was nothing; transition rules then rest."""
    causes: list[Cause] = []
    for rule in schema.get(_RULES) or ():
        causes += _check_rule(rule, new, old, path)
    if isinstance(new, dict):
        properties = schema.get("properties") or {}
        extra = schema.get("additionalProperties")
        for key, value in new.items():
            child = properties.get(key, extra if isinstance(extra, dict) else None)
            if child and isinstance(value, (dict, list, str, int, float, bool)):
                before = old.get(key) if isinstance(old, dict) else None
                causes += check_rules(value, before, child, f"{path}.{key}" if path else key)
    elif isinstance(new, list) and schema.get("items"):
        for index, item in enumerate(new):
            before = _matching(old, item, schema)
            causes += check_rules(item, before, schema["items"], f"{path}[{index}]")
    return causes


def _matching(old: Any, item: Any, schema: Object) -> Any:
    """The item's former self, where list keys tell which it is."""
    keys = schema.get("x-kubernetes-list-map-keys")
    if not keys or not isinstance(old, list) or not isinstance(item, dict):
        return None
    return next((other for other in old if all(other.get(key) == item.get(key) for key in keys)), None)


def _check_rule(rule: Object, new: Any, old: Any, path: str) -> list[Cause]:
    text = rule.get("rule", "")
    if "oldSelf" in text and old is None and not rule.get("optionalOldSelf"):
        return []
    where = path + rule.get("fieldPath", "") if rule.get("fieldPath") else path
    try:
        holds = evaluate(text, {"self": new, "oldSelf": old})
    except CelError as error:
        message = f"Invalid value: rule evaluation error: {error}: {text}"
        return [Cause("FieldValueInvalid", message, path or "<nil>")]
    if holds is True:
        return []
    message = rule.get("message") or ""
    if rule.get("messageExpression"):
        try:
            message = str(evaluate(rule["messageExpression"], {"self": new, "oldSelf": old}))
        except CelError:
            message = message or f"failed rule: {text}"
    message = message or f"failed rule: {text}"
    reason = _REASONS.get(rule.get("reason", ""), "FieldValueInvalid")
    return [Cause(reason, _WORDS.get(reason, "Invalid value: ") + message, (where or "<nil>").lstrip("."))]
