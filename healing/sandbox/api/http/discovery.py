"""Discovery: which groups, versions and resources there are."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from healing.sandbox.api.http.respond import JsonResponse
from healing.sandbox.api.registry import Registry, ResourceType
from healing.sandbox.api.versions import KubernetesVersion
from healing.sandbox.ports import Object

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"


def version_document(kubernetes: KubernetesVersion) -> Object:
    """``/version``."""
    document: Object = {"major": "1", "minor": str(kubernetes.minor)}
    if kubernetes.has("emulation version"):
        document |= {
            "emulationMajor": "1",
            "emulationMinor": str(kubernetes.minor),
            "minCompatibilityMajor": "1",
            "minCompatibilityMinor": str(kubernetes.minor - 1),
        }
    return {
        **document,
        "gitVersion": kubernetes.git_version,
        "gitCommit": "0000000000000000000000000000000000000000",
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": kubernetes.go_version,
        "compiler": "gc",
        "platform": "linux/amd64",
    }


def _subresource_names(resource: ResourceType) -> list[Object]:
    entries = []
    for item in resource.subresources:
        entry: Object = {
            "name": f"{resource.plural}/{item.name}",
            "singularName": "",
            "namespaced": resource.namespaced,
        }
        if item.group:
            entry["group"], entry["version"] = item.group, item.version
        entry["kind"] = item.kind
        entry["verbs"] = list(item.verbs)
        entries.append(entry)
    return entries


def resource_list(registry: Registry, group: str, version: str) -> Object | None:
    """The APIResourceList of one version; None if there is no such version."""
    if version not in registry.groups.get(group, []):
        return None
    resources: list[Object] = []
    for item in registry.in_version(group, version):
        entry: Object = {
            "name": item.plural,
            "singularName": item.singular,
            "namespaced": item.namespaced,
            "kind": item.kind,
            "verbs": list(item.verbs),
        }
        if item.short_names:
            entry["shortNames"] = list(item.short_names)
        if item.categories:
            entry["categories"] = list(item.categories)
        if item.storage_version_hash:
            entry["storageVersionHash"] = item.storage_version_hash
        resources.append(entry)
        resources += _subresource_names(item)
    group_version = f"{group}/{version}" if group else version
    document: Object = {"kind": "APIResourceList"}
    if group:
        document["apiVersion"] = "v1"
    return {**document, "groupVersion": group_version, "resources": resources}


def _group(registry: Registry, group: str) -> Object:
    versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in registry.groups[group]]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def group_document(registry: Registry, group: str) -> Object | None:
    if not group or group not in registry.groups:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(registry, group)}


def group_list(registry: Registry) -> Object:
    groups = [_group(registry, group) for group in registry.groups if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def core_versions(host: str) -> Object:
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": host}],
    }


def _aggregated_resource(item: ResourceType) -> Object:
    entry: Object = {
        "resource": item.plural,
        "responseKind": {"group": "", "version": "", "kind": item.kind},
        "scope": "Namespaced" if item.namespaced else "Cluster",
        "singularResource": item.singular,
        "verbs": list(item.verbs),
    }
    if item.short_names:
        entry["shortNames"] = list(item.short_names)
    if item.categories:
        entry["categories"] = list(item.categories)
    if item.subresources:
        entry["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
                "verbs": list(sub.verbs),
            }
            for sub in item.subresources
        ]
    return entry


def aggregated(registry: Registry, version: str, *, core: bool) -> Object:
    """All groups with all their resources in one document."""
    items = []
    for group, versions in registry.groups.items():
        if (group == "") != core:
            continue
        items.append(
            {
                "metadata": {"name": group} if group else {},
                "versions": [
                    {
                        "version": name,
                        "resources": [_aggregated_resource(item) for item in registry.in_version(group, name)],
                        "freshness": "Current",
                    }
                    for name in versions
                ],
            }
        )
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _wanted_aggregation(accept: str, served: tuple[str, ...]) -> str:
    """The first version of the aggregated form that is asked for and ``served``; empty: the plain documents."""
    for part in accept.split(","):
        pieces = [piece.strip() for piece in part.split(";")]
        if "as=APIGroupDiscoveryList" in pieces and "g=apidiscovery.k8s.io" in pieces:
            for version in served:
                if f"v={version}" in pieces:
                    return version
        elif pieces[0] in ("application/json", "*/*"):
            return ""
    return ""


class Discovery:
    """Answers below /api and /apis that name no resource; documents are cached until the registry changes."""

    def __init__(self, registry: Registry, kubernetes: KubernetesVersion) -> None:
        self._registry = registry
        forms = ("v2", "v2beta1")
        self._aggregations = tuple(name for name in forms if kubernetes.has(f"apidiscovery.k8s.io/{name}"))
        self._cache: dict[tuple[str, str], tuple[int, bytes, str]] = {}

    def root(self, request: Request, *, core: bool) -> Response:
        version = _wanted_aggregation(request.headers.get("accept", ""), self._aggregations)
        if not version:
            host = request.headers.get("host", "")
            return JsonResponse(core_versions(host) if core else group_list(self._registry))
        body, etag = self._cached(("core" if core else "groups", version), core=core, version=version)
        headers = {"Etag": etag, "Vary": "Accept"}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(body, headers={**headers, "Content-Type": _AGGREGATED.format(version)})

    def _cached(self, key: tuple[str, str], *, core: bool, version: str) -> tuple[bytes, str]:
        found = self._cache.get(key)
        if found is None or found[0] != self._registry.revision:
            body = orjson.dumps(aggregated(self._registry, version, core=core))
            etag = f'"{hashlib.sha512(body).hexdigest().upper()}"'
            found = self._cache[key] = (self._registry.revision, body, etag)
        return found[1], found[2]


def root_paths(registry: Registry) -> Object:
    paths: list[Any] = ["/api", "/api/v1", "/apis", "/apis/"]
    for group, versions in registry.groups.items():
        if group:
            paths += [f"/apis/{group}", *(f"/apis/{group}/{version}" for version in versions)]
    paths += ["/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
    return {"paths": sorted(paths)}
