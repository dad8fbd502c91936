"""Whether what a scenario's files ask for has come up."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from healing.sandbox.ports import Cluster, Object


def not_up(cluster: Cluster, manifests: Iterable[Object]) -> list[str]:
    """What has not come up, in words: Deployments, StatefulSets, DaemonSets, ReplicaSets and pods without an owner."""
    found: list[str] = []
    for manifest in manifests:
        kind, meta = manifest["kind"], manifest["metadata"]
        if kind not in _MEASURES:
            continue
        resource, measure = _MEASURES[kind]
        live = cluster.get(resource, meta.get("namespace"), meta["name"])
        problem = "is not there" if live is None else measure(live)
        if problem:
            found.append(f"{kind} {meta.get('namespace', '')}/{meta['name']} did not come up: {problem}")
    return found


def _replicas(live: Object) -> str:
    wanted = live["spec"].get("replicas", 1)
    return _compare(live, int(live.get("status", {}).get("availableReplicas", 0)), int(wanted))


def _ready_replicas(live: Object) -> str:
    wanted = live["spec"].get("replicas", 1)
    return _compare(live, int(live.get("status", {}).get("readyReplicas", 0)), int(wanted))


def _daemons(live: Object) -> str:
    status = live.get("status", {})
    return _compare(live, int(status.get("numberAvailable", 0)), int(status.get("desiredNumberScheduled", 0)))


def _compare(live: Object, there: int, wanted: int) -> str:
    if live.get("status", {}).get("observedGeneration", 0) < live["metadata"].get("generation", 0):
        return "its controller has not seen it yet"
    return "" if there >= wanted else f"{there} of {wanted} pods are available"


def _pod(live: Object) -> str:
    status = live.get("status", {})
    # One that is to run to its end need not be ready: parts of it may have ended.
    runs_to_its_end = live["spec"].get("restartPolicy", "Always") != "Always"
    if status.get("phase") == "Succeeded" or (status.get("phase") == "Running" and runs_to_its_end):
        return ""
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ())
    return "" if ready else f"phase {status.get('phase', 'Pending')}, not ready"


_MEASURES: dict[str, tuple[str, Callable[[Object], str]]] = {
    "Deployment": ("deployments.apps", _replicas),
    "ReplicaSet": ("replicasets.apps", _replicas),
    "StatefulSet": ("statefulsets.apps", _ready_replicas),
    "DaemonSet": ("daemonsets.apps", _daemons),
    "Pod": ("pods", _pod),
}
