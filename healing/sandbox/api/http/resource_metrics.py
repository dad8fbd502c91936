"""metrics.k8s.io: what pods and nodes use, as metrics-server tells it (``kubectl top``)."""

from __future__ import annotations

from collections.abc import Iterator

from healing.sandbox.api import errors
from healing.sandbox.api.cluster import ApiServer
from healing.sandbox.api.http.listing import selection_of
from healing.sandbox.api.http.objects import Call
from healing.sandbox.api.meta import timestamp
from healing.sandbox.api.registry import Registry, ResourceType
from healing.sandbox.ports import Object

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
_READ = ("get", "list")
#: how long metrics-server's samples lie apart by default
_WINDOW = "15s"


def install(registry: Registry) -> None:
    """Announce the group, as the APIService of metrics-server does."""
    for plural, kind, namespaced in (("nodes", "NodeMetrics", False), ("pods", "PodMetrics", True)):
        registry.add(ResourceType(GROUP, VERSION, plural, kind, "", namespaced, verbs=_READ, list_kind=f"{kind}List"))


def answer(server: ApiServer, call: Call, verb: str) -> Object:
    """The list, or the one object that is asked for; 404 where nothing is measured."""
    make = _pods if call.resource.plural == "pods" else _nodes
    name = call.target.name
    if verb == "get":
        for item in make(server, call.target.namespace or None):
            if item["metadata"]["name"] == name:
                return {"kind": call.resource.kind, "apiVersion": f"{GROUP}/{VERSION}", **item}
        shown = f"{call.target.namespace}/{name}" if call.target.namespace else name
        raise errors.not_found(call.resource.kind.lower(), GROUP, shown)
    selection = selection_of(call.resource, call.target, call.query)
    items = [item for item in make(server, call.target.namespace or None) if selection.matches(item)]
    return {"kind": call.resource.list_kind, "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}, "items": items}


def _pods(server: ApiServer, namespace: str | None) -> Iterator[Object]:
    """Only of pods with running containers, on nodes whose kubelet answers."""
    answering = {node["metadata"]["name"] for node in server.list("nodes") if _answers(node)}
    for pod in server.list("pods", namespace):
        used = server.log_source.usage(pod["metadata"]["uid"]) if server.log_source else {}
        if not used or pod["spec"].get("nodeName") not in answering:
            continue
        containers = [
            {"name": name, "usage": _usage(one.cpu_cores, one.memory_bytes)} for name, one in sorted(used.items())
        ]
        yield {**_head(server, pod, pod["metadata"]["namespace"]), "containers": containers}


def _nodes(server: ApiServer, _namespace: str | None) -> Iterator[Object]:
    cores: dict[str, float] = {}
    memory: dict[str, int] = {}
    for pod in server.list("pods"):
        name = pod["spec"].get("nodeName", "")
        for one in (server.log_source.usage(pod["metadata"]["uid"]) if server.log_source else {}).values():
            cores[name] = cores.get(name, 0.0) + one.cpu_cores
            memory[name] = memory.get(name, 0) + one.memory_bytes
    for node in server.list("nodes"):
        if _answers(node):
            name = node["metadata"]["name"]
            yield {**_head(server, node), "usage": _usage(cores.get(name, 0.0), memory.get(name, 0))}


def _answers(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return not any(c.get("type") == "Ready" and c.get("status") == "Unknown" for c in conditions)


def _head(server: ApiServer, source: Object, namespace: str = "") -> Object:
    now = timestamp(server.clock())
    metadata: Object = {"name": source["metadata"]["name"], "creationTimestamp": now}
    if namespace:
        metadata["namespace"] = namespace
    if labels := source["metadata"].get("labels"):
        metadata["labels"] = dict(labels)
    return {"metadata": metadata, "timestamp": now, "window": _WINDOW}


def _usage(cores: float, memory_bytes: int) -> Object:
    return {"cpu": f"{round(cores * 1e9)}n", "memory": f"{memory_bytes // 1024}Ki"}
