"""Small Kubernetes objects for tests; times are offsets in seconds from `NOW`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from healing.detection.cache import ObjectCache

Object = dict[str, Any]
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NAMESPACE = "shop"


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def meta(name: str, owner: Object | None = None, labels: dict[str, str] | None = None, **more: Any) -> Object:
    found: Object = {
        "name": name,
        "namespace": NAMESPACE,
        "uid": f"uid-{name}",
        "labels": labels or {},
        "generation": 1,
    }
    if owner is not None:
        reference = {"kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
        found["ownerReferences"] = [{**reference, "controller": True}]
    return {**found, **more}


def deployment(name: str = "web", replicas: int = 2, available: int = 2, **more: Any) -> Object:
    conditions = [
        {"type": "Progressing", "status": "True", "reason": more.pop("progressing", "NewReplicaSetAvailable")}
    ]
    labels = {"app": name}
    return {
        "kind": "Deployment",
        "metadata": meta(name, labels={"team": "a"}),
        "spec": {"replicas": replicas, "template": {"metadata": {"labels": labels}}, **more},
        "status": {
            "observedGeneration": 1,
            "replicas": replicas,
            "updatedReplicas": replicas,
            "availableReplicas": available,
            "conditions": conditions,
        },
    }


def replicaset(owner: Object) -> Object:
    name = f"{owner['metadata']['name']}-rs"
    return {"kind": "ReplicaSet", "metadata": meta(name, owner), "spec": {"replicas": 2}, "status": {}}


def pod(
    owner: Object | None = None,
    name: str = "web-rs-1",
    state: Object | None = None,
    last_state: Object | None = None,
    *,
    restarts: int = 0,
    ready: bool = False,
    labels: dict[str, str] | None = None,
    container: Object | None = None,
    **status: Any,
) -> Object:
    ready_text = "True" if ready else "False"
    return {
        "kind": "Pod",
        "metadata": meta(name, owner, labels if labels is not None else {"app": "web"}),
        "spec": {"nodeName": "node1", "containers": [{"name": "c", "image": "app:1", **(container or {})}]},
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": "Ready", "status": ready_text, "lastTransitionTime": at(-20)},
                {"type": "ContainersReady", "status": ready_text, "lastTransitionTime": at(-20)},
            ],
            "containerStatuses": [
                {
                    "name": "c",
                    "ready": ready,
                    "started": True,
                    "restartCount": restarts,
                    "state": state or {"running": {"startedAt": at(-100)}},
                    "lastState": last_state or {},
                }
            ],
            **status,
        },
    }


def node(name: str = "node1", ready: str = "True", age_seconds: float = 86_400, **spec: Any) -> Object:
    conditions = [{"type": "Ready", "status": ready, "reason": "KubeletReady", "lastTransitionTime": at(-60)}]
    metadata = {"name": name, "uid": f"uid-{name}", "creationTimestamp": at(-age_seconds)}
    return {"kind": "Node", "metadata": metadata, "spec": spec, "status": {"conditions": conditions}}


def service(name: str = "web", selector: dict[str, str] | None = None, **spec: Any) -> Object:
    chosen = {"app": "web"} if selector is None else selector
    return {"kind": "Service", "metadata": meta(name), "spec": {"selector": chosen, "ports": [{"port": 80}], **spec}}


def event(about: Object, reason: str, message: str, seconds: float = -1, **more: Any) -> Object:
    reference = {"kind": about["kind"], "namespace": NAMESPACE, "name": about["metadata"]["name"]}
    return {
        "kind": "Event",
        "metadata": {"name": f"{about['metadata']['name']}.{reason}.{seconds}", "namespace": NAMESPACE},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "involvedObject": {**reference, "uid": about["metadata"]["uid"]},
        "firstTimestamp": at(seconds),
        "lastTimestamp": at(seconds),
        **more,
    }


def cache_of(*objects: Object) -> ObjectCache:
    cache = ObjectCache()
    for obj in objects:
        cache.apply("ADDED", obj)
    return cache
