"""Checks of CustomResourceDefinitions themselves."""

from __future__ import annotations

from typing import Any

from healing.sandbox.api.errors import Cause, forbidden_field, invalid_value, not_supported, required
from healing.sandbox.api.validation import name_problem
from healing.sandbox.ports import Object

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_SCHEMA_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_INT_OR_STRING = "x-kubernetes-int-or-string"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"


def check_definition(obj: Object) -> list[Cause]:
    spec = obj.get("spec") or {}
    names = spec.get("names") or {}
    causes: list[Cause] = []
    plural, group = names.get("plural") or "", spec.get("group") or ""
    if obj["metadata"].get("name") != f"{plural}.{group}":
        causes.append(
            invalid_value("metadata.name", obj["metadata"].get("name"), 'must be spec.names.plural+"."+spec.group')
        )
    if not group:
        causes.append(required("spec.group"))
    elif len(group.split(".")) < 2:
        causes.append(invalid_value("spec.group", group, "should be a domain with at least one dot"))
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        causes.append(
            not_supported("spec.scope", spec.get("scope"), ("Cluster", "Namespaced"))
            if spec.get("scope")
            else required("spec.scope")
        )
    for field in ("plural", "singular", "kind", "listKind"):
        value = names.get(field)
        if not value:
            causes.append(required(f"spec.names.{field}"))
        elif name_problem(value.lower(), "label1035"):
            causes.append(invalid_value(f"spec.names.{field}", value, name_problem(value.lower(), "label1035")))
    return causes + _check_versions(spec.get("versions") or [])


def _check_versions(versions: list[Any]) -> list[Cause]:
    causes: list[Cause] = []
    if not versions:
        return [required("spec.versions")]
    if sum(bool(version.get("storage")) for version in versions) != 1:
        causes.append(
            invalid_value("spec.versions", versions, "must have exactly one version marked as storage version")
        )
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            causes.append(required(f"{path}.schema.openAPIV3Schema", "schemas are required"))
            continue
        if schema.get("type") != "object":
            causes.append(
                invalid_value(
                    f"{path}.schema.openAPIV3Schema.type", schema.get("type", ""), "must be object at the root"
                )
            )
        _check_schema(schema, f"{path}.schema.openAPIV3Schema", causes)
        for number, column in enumerate(version.get("additionalPrinterColumns") or ()):
            here = f"{path}.additionalPrinterColumns[{number}]"
            if column.get("type") not in _COLUMN_TYPES:
                causes.append(not_supported(f"{here}.type", column.get("type"), _COLUMN_TYPES))
            if not str(column.get("jsonPath", "")).startswith("."):
                causes.append(
                    invalid_value(
                        f"{here}.jsonPath", column.get("jsonPath", ""), "must be a simple json path starting with ."
                    )
                )
    return causes


def _check_schema(schema: Any, path: str, causes: list[Cause]) -> None:
    """Structural: every part says its type, and there are no references."""
    if not isinstance(schema, dict):
        causes.append(invalid_value(path, schema, "must be a schema"))
        return
    kind = schema.get("type")
    if kind is None and not schema.get(_INT_OR_STRING) and not schema.get(_PRESERVE):
        causes.append(required(f"{path}.type", "must not be empty for specified object fields"))
    elif kind is not None and kind not in _SCHEMA_TYPES:
        causes.append(not_supported(f"{path}.type", kind, _SCHEMA_TYPES))
    if "$ref" in schema:
        causes.append(forbidden_field(f"{path}.$ref", "$ref is not supported"))
    if "properties" in schema and "additionalProperties" in schema:
        causes.append(
            forbidden_field(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
        )
    for name, child in (schema.get("properties") or {}).items():
        if path.endswith("openAPIV3Schema") and name in ("apiVersion", "kind", "metadata"):
            continue
        _check_schema(child, f"{path}.properties[{name}]", causes)
    if kind == "array":
        if "items" not in schema:
            causes.append(required(f"{path}.items", "must be specified"))
        else:
            _check_schema(schema["items"], f"{path}.items", causes)
    if isinstance(schema.get("additionalProperties"), dict):
        _check_schema(schema["additionalProperties"], f"{path}.additionalProperties", causes)
