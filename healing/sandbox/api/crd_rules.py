"""Defaults of CustomResourceDefinitions, and what of them may change."""

from __future__ import annotations

from typing import Any

from healing.sandbox.api.errors import Cause, invalid_value
from healing.sandbox.ports import Object


def default_definition(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if names.get("kind"):
        if not names.get("singular"):
            names["singular"] = names["kind"].lower()
        if not names.get("listKind"):
            names["listKind"] = f"{names['kind']}List"
    spec.setdefault("conversion", {"strategy": "None"})


def prepare_definition(obj: Object) -> None:
    stored = [version["name"] for version in obj["spec"].get("versions") or () if version.get("storage")]
    obj["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored}


def check_definition_update(new: Object, old: Object) -> list[Cause]:
    causes = []
    for path in ("group", "scope", "names.plural", "names.kind"):
        before: Any = old["spec"]
        after: Any = new["spec"]
        for step in path.split("."):
            before, after = before.get(step), after.get(step)
        if before != after:
            causes.append(invalid_value(f"spec.{path}", after, "field is immutable"))
    return causes
