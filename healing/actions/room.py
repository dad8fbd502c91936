"""What is free on nodes, by what pods ask for: whether those that move, or wait, find a place."""

from __future__ import annotations

from decimal import Decimal

from healing.actions import capacity, quantities
from healing.actions.reading import controller_of, list_if_allowed, unfit
from healing.ports.cluster import Cluster, Object, ObjectRef

#: Node -> what is free there, in cores, bytes and pods
Free = dict[str, dict[str, Decimal]]


def free_of_nodes(cluster: Cluster, *, without: set[str], timeout_seconds: float) -> Free | None:
    """Node -> what is not requested there yet, in cores, bytes and pods; of those that take pods. A node that pods
    have to leave is none. None: we may not look."""
    nodes = list_if_allowed(cluster, "Node", "", timeout_seconds=timeout_seconds)
    pods = list_if_allowed(cluster, "Pod", "", timeout_seconds=timeout_seconds)
    if nodes is None or pods is None:
        return None
    free = {
        node["metadata"]["name"]: {
            resource: quantities.parse((node.get("status") or {}).get("allocatable", {}).get(resource, "0"))
            for resource in ("cpu", "memory", "pods")
        }
        for node in nodes
        if not unfit(node) and not node["spec"].get("unschedulable") and not keeps_away(node)
    }
    for pod in pods:
        here = free.get(str(pod["spec"].get("nodeName", "")))
        if here is not None and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            _take(pod, here)
    return {name: left for name, left in free.items() if name not in without}


def keeps_away(node: Object) -> bool:
    return any(taint.get("effect") in ("NoSchedule", "NoExecute") for taint in node["spec"].get("taints") or ())


def _needs(pod: Object) -> dict[str, Decimal]:
    needs = capacity.pod_needs(pod["spec"])
    zero = Decimal(0)
    return {
        "cpu": needs.get("requests.cpu", zero),
        "memory": needs.get("requests.memory", zero),
        "pods": Decimal(1),
    }


def _take(pod: Object, left: dict[str, Decimal]) -> None:
    for resource, amount in _needs(pod).items():
        left[resource] -= amount


def place(pod: Object, free: Free) -> bool:
    """First fit: good enough for an argument; the scheduler decides."""
    needs = _needs(pod)
    for left in free.values():
        if all(left[resource] >= amount for resource, amount in needs.items()):
            _take(pod, left)
            return True
    return False


def after_cordon(cluster: Cluster, node: ObjectRef, *, timeout_seconds: float) -> str:
    """Which pods would have no place if nothing new came to this node any more, in words; empty: none, as far as we may
    see. By what pods ask for only; where else a pod may run is the scheduler's to say."""
    live = cluster.get("Node", "", node.name, timeout_seconds=timeout_seconds)
    if unfit(live) or keeps_away(live):
        return ""  # nothing new comes there now
    free = free_of_nodes(cluster, without=set(), timeout_seconds=timeout_seconds)
    pods = list_if_allowed(cluster, "Pod", "", timeout_seconds=timeout_seconds)
    if free is None or pods is None or node.name not in free:
        return ""
    here = {node.name: free.pop(node.name)}
    alive = [pod for pod in pods if _is_alive(pod)]
    waiting = [pod for pod in alive if not pod["spec"].get("nodeName")]
    kept_waiting = [pod for pod in waiting if not place(pod, free) and place(pod, here)]
    if kept_waiting:
        names = ", ".join(pod["metadata"]["name"] for pod in kept_waiting[:3])
        return f"{len(kept_waiting)} pod(s) that wait for a place would find none ({names})"
    there = [pod for pod in alive if pod["spec"].get("nodeName") == node.name and not _is_bound(pod)]
    if there and not any(place(pod, {name: dict(left) for name, left in free.items()}) for pod in there):
        return f"none of the {len(there)} pod(s) that run there would find a place when it is made anew"
    return ""


def _is_alive(pod: Object) -> bool:
    is_done = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not is_done and "deletionTimestamp" not in pod["metadata"]


def _is_bound(pod: Object) -> bool:
    """Whether it lives on its node only, so that it has no place to look for."""
    owner = controller_of(pod)
    return owner is None or owner.kind in ("DaemonSet", "Node")
