"""OpenAPI documents: schemas of all kinds, and enough of the paths for clients to find them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import orjson

from healing.sandbox.api.registry import Registry, ResourceType
from healing.sandbox.api.schema import Type, describe, model_type, required_fields
from healing.sandbox.api.versions import Field, KubernetesVersion
from healing.sandbox.ports import Object

_SCALARS: dict[str, Object] = {
    "str": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "float": {"type": "number", "format": "double"},
    "time": {"type": "string", "format": "date-time"},
    "microtime": {"type": "string", "format": "date-time"},
    "quantity": {"type": "string", "x-kubernetes-quantity": True},
}
#: JSON fields that hold a number or a string
_INT_OR_STRING = frozenset({"port", "targetPort", "maxUnavailable", "maxSurge", "minAvailable"})
_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_META_MODELS = frozenset(
    "V1ObjectMeta V1LabelSelector V1LabelSelectorRequirement V1OwnerReference V1ManagedFieldsEntry V1ListMeta "
    "V1DeleteOptions V1Status V1Condition V1Preconditions".split()
)
_ACTIONS = {"get": "get", "put": "put", "post": "post", "patch": "patch", "delete": "delete"}
_QUERY = ("dryRun", "fieldManager", "fieldValidation")


def _gvk(resource: ResourceType) -> Object:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def definition_name(model: str, group: str, version: str) -> str:
    """``io.k8s.api.apps.v1.Deployment`` of a model met in a group's document."""
    if model in _META_MODELS:
        return f"{_META}.{model_type(model).name or 'JSON'}"
    package = group.removesuffix(".k8s.io").replace(".authorization", "") or "core"
    return f"io.k8s.api.{package}.{version}.{model_type(model).name or model.removeprefix('V1')}"


class _Schemas:
    """Schemas of the models a document needs, each once."""

    def __init__(self, prefix: str, group: str, version: str, later: frozenset[Field]) -> None:
        self._later = later
        self._prefix = prefix
        self._group = group
        self._version = version
        self.done: dict[str, Object] = {}
        self._names: dict[str, str] = {}

    def reference(self, model: str) -> str:
        name = self._names.get(model)
        if name is None:
            name = definition_name(model, self._group, self._version)
            if name in self.done:
                # Two models of one name, from different groups.
                name = f"{name}.{model}"
            self._names[model] = name
            self.done[name] = {}
            self.done[name].update(self._definition(model))
        return f"{self._prefix}{name}"

    def name_of(self, model: str) -> str:
        self.reference(model)
        return self._names[model]

    def _definition(self, model: str) -> Object:
        kind = model_type(model)
        if kind.kind == "any":
            return {"description": describe(model), "type": "object", "x-kubernetes-preserve-unknown-fields": True}
        properties = {}
        for name, child in kind.fields.items():
            if (model, name) in self._later:
                continue
            schema = self._schema(child, name)
            text = describe(model, name)
            if "$ref" in schema:
                # Siblings of $ref are not read, so the description goes around it.
                schema = (
                    {"description": text, "default": {}, "allOf": [schema]}
                    if self._prefix.startswith("#/comp")
                    else {
                        "description": text,
                        **schema,
                    }
                )
            elif text:
                schema = {"description": text, **schema}
            properties[name] = schema
        definition: Object = {"description": describe(model), "type": "object", "properties": properties}
        needed = [name for name in required_fields(model) if name in properties]
        if needed:
            definition["required"] = needed
        if kind.atomic:
            definition["x-kubernetes-map-type"] = "atomic"
        return definition

    def _schema(self, kind: Type, name: str) -> Object:
        if kind.kind == "struct" or (kind.kind == "any" and kind.model):
            return {"$ref": self.reference(kind.model)}
        if kind.kind == "scalar":
            return dict(_SCALARS[kind.scalar])
        if kind.kind == "map":
            schema: Object = {
                "type": "object",
                "additionalProperties": self._schema(kind.element, name) if kind.element else {},
            }
            if kind.atomic:
                schema["x-kubernetes-map-type"] = "atomic"
            return schema
        if kind.kind == "list":
            return self._list(kind, name)
        if name in _INT_OR_STRING:
            return {"type": "string", "format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}
        return {"type": "object"}

    def _list(self, kind: Type, name: str) -> Object:
        schema: Object = {"type": "array", "items": self._schema(kind.element, name) if kind.element else {}}
        if kind.atomic:
            schema["x-kubernetes-list-type"] = "atomic"
        elif kind.keys:
            schema["x-kubernetes-list-type"] = "map"
            schema["x-kubernetes-list-map-keys"] = list(kind.keys)
        else:
            schema["x-kubernetes-list-type"] = "set"
        if kind.patch_key is not None:
            schema["x-kubernetes-patch-strategy"] = "merge,retainKeys" if kind.retain_keys else "merge"
            if kind.patch_key:
                schema["x-kubernetes-patch-merge-key"] = kind.patch_key
        return schema


def _parameters(names: tuple[str, ...], *, v3: bool) -> list[Object]:
    return [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        if v3
        else {"name": name, "in": "query", "type": "string", "uniqueItems": True}
        for name in names
    ]


def _verbs(resource: ResourceType, *, collection: bool) -> Iterator[tuple[str, str]]:
    wanted: tuple[tuple[str, str], ...]
    if collection:
        wanted = (("get", "list"), ("post", "create"), ("delete", "deletecollection"))
    else:
        wanted = (("get", "get"), ("put", "update"), ("patch", "patch"), ("delete", "delete"))
    for method, verb in wanted:
        if verb in resource.verbs:
            yield method, verb


def _paths(resources: list[ResourceType], references: dict[str, str], *, v3: bool) -> Object:
    paths: Object = {}
    for resource in resources:
        base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
        if resource.namespaced:
            base += "/namespaces/{namespace}"
        for collection in (True, False):
            path = f"{base}/{resource.plural}" + ("" if collection else "/{name}")
            operations: Object = {}
            for method, verb in _verbs(resource, collection=collection):
                queries = _QUERY if method in ("post", "put", "patch") else ()
                if method == "patch":
                    queries = (*queries, "force")
                content = {"schema": {"$ref": references[resource.plural]}}
                identity = f"{verb}{resource.kind}{resource.group}{resource.version}"
                operations[method] = {
                    "operationId": f"{identity}List" if collection else identity,
                    "x-kubernetes-action": verb,
                    "x-kubernetes-group-version-kind": _gvk(resource),
                    "parameters": _parameters(queries, v3=v3),
                    "responses": {
                        "200": {"description": "OK", **({"content": {"application/json": content}} if v3 else content)}
                    },
                }
            if operations:
                paths[path] = operations
    return paths


def custom_schema(resource: ResourceType, *, meta_ref: str) -> Object:
    version = resource.custom or {}
    schema = dict((version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"})
    properties = dict(schema.get("properties") or {})
    properties.setdefault("apiVersion", {"type": "string", "description": describe("V1Pod", "apiVersion")})
    properties.setdefault("kind", {"type": "string", "description": describe("V1Pod", "kind")})
    properties["metadata"] = {
        "description": "Standard object's metadata. More info: "
        "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
        "allOf": [{"$ref": meta_ref}],
    }
    schema["properties"] = properties
    schema["x-kubernetes-group-version-kind"] = [_gvk(resource)]
    return schema


class OpenApi:
    """Documents in v3 (one a group version) and v2 (one for all), cached until the registry changes."""

    def __init__(self, registry: Registry, kubernetes: KubernetesVersion) -> None:
        self._registry = registry
        self._later = kubernetes.unknown_fields
        self._info = {"title": "Kubernetes", "version": kubernetes.git_version}
        self._cache: dict[str, tuple[int, bytes]] = {}

    def index(self) -> bytes:
        """/openapi/v3: where the documents are."""
        paths = {}
        for group, versions in self._registry.groups.items():
            for version in versions:
                path = f"apis/{group}/{version}" if group else f"api/{version}"
                digest = self._digest(group, version)
                paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return orjson.dumps({"paths": paths})

    def _digest(self, group: str, version: str) -> str:
        # Built-in documents never change; those of custom resources change with their schema.
        seed = [[item.plural, item.kind, item.custom] for item in self._registry.in_version(group, version)]
        return hashlib.sha256(orjson.dumps([group, version, seed])).hexdigest().upper()

    def v3(self, group: str, version: str) -> bytes | None:
        """One group version's document; None if there is none."""
        if version not in self._registry.groups.get(group, []):
            return None
        return self._cached(f"v3/{group}/{version}", lambda: self._v3(group, version))

    def v2(self) -> bytes:
        return self._cached("v2", self._v2)

    def _cached(self, key: str, build: Any) -> bytes:
        found = self._cache.get(key)
        if found is None or found[0] != self._registry.revision:
            found = self._cache[key] = (self._registry.revision, orjson.dumps(build()))
        return found[1]

    def _document(
        self, resources: list[ResourceType], prefix: str, group: str, version: str
    ) -> tuple[Object, dict[str, str]]:
        schemas = _Schemas(prefix, group, version, self._later)
        references = {}
        for resource in resources:
            if resource.custom is not None:
                name = ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])
                meta = schemas.reference("V1ObjectMeta")
                schemas.done[name] = custom_schema(resource, meta_ref=meta)
            else:
                name = schemas.name_of(resource.model)
                schemas.done[name]["x-kubernetes-group-version-kind"] = [_gvk(resource)]
            references[resource.plural] = f"{prefix}{name}"
        return schemas.done, references

    def _described(self, group: str, version: str) -> list[ResourceType]:
        """Those with a schema: all but what another server adds (metrics-server has documents of its own)."""
        return [item for item in self._registry.in_version(group, version) if item.custom is not None or item.model]

    def _v3(self, group: str, version: str) -> Object:
        resources = self._described(group, version)
        schemas, references = self._document(resources, "#/components/schemas/", group, version)
        return {
            "openapi": "3.0.0",
            "info": self._info,
            "paths": _paths(resources, references, v3=True),
            "components": {"schemas": schemas},
        }

    def _v2(self) -> Object:
        definitions: Object = {}
        paths: Object = {}
        for group, versions in self._registry.groups.items():
            for version in versions:
                resources = self._described(group, version)
                schemas, references = self._document(resources, "#/definitions/", group, version)
                definitions.update(schemas)
                paths.update(_paths(resources, references, v3=False))
        return {
            "swagger": "2.0",
            "info": self._info,
            "paths": paths,
            "definitions": definitions,
        }
