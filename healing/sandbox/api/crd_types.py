"""The structure of a custom resource for field ownership, from its schema."""

from __future__ import annotations

from typing import Any

from healing.sandbox.api.registry import ResourceType
from healing.sandbox.api.schema import ANY, Type, model_type

_cache: dict[int, tuple[Any, Type]] = {}


def custom_type(resource: ResourceType) -> Type:
    """The type of a custom resource's object; cached by the version's schema."""
    version = resource.custom or {}
    cached = _cache.get(id(version))
    if cached is not None and cached[0] is version:
        return cached[1]
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    kind = schema_type(schema)
    if kind.kind != "struct":
        kind = Type("struct")
    kind.fields["metadata"] = model_type("V1ObjectMeta")
    _cache[id(version)] = (version, kind)
    return kind


def schema_type(schema: dict[str, Any]) -> Type:
    """An OpenAPI schema as a `Type`; what the schema does not describe is one value."""
    kind = schema.get("type")
    if kind == "array":
        list_type = schema.get("x-kubernetes-list-type", "atomic")
        keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        element = schema_type(schema.get("items") or {})
        return Type("list", element=element, atomic=list_type == "atomic", keys=keys)
    if kind == "object":
        atomic = schema.get("x-kubernetes-map-type") == "atomic"
        if "properties" in schema:
            fields = {name: schema_type(item) for name, item in schema["properties"].items()}
            return Type("struct", atomic=atomic, fields=fields)
        if isinstance(schema.get("additionalProperties"), dict):
            return Type("map", element=schema_type(schema["additionalProperties"]), atomic=atomic)
        return Type("map", element=ANY, atomic=atomic)
    if kind in ("string", "integer", "number", "boolean"):
        return Type("scalar", scalar=kind)
    return ANY
