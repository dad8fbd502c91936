"""What controllers ask about pods, and how a controller makes one from its template."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from decimal import Decimal

from healing.sandbox.ports import Object
from healing.sandbox.world import quantities
from healing.sandbox.world.context import parse_time

#: the annotation of a pod that a kubelet runs from a file of its own
MIRROR = "kubernetes.io/config.mirror"


def condition(item: Object, type_: str) -> Object | None:
    for entry in (item.get("status") or {}).get("conditions") or ():
        if entry["type"] == type_:
            found: Object = entry
            return found
    return None


def is_ready(pod: Object) -> bool:
    ready = condition(pod, "Ready")
    return ready is not None and ready["status"] == "True"


def is_available(pod: Object, min_ready_seconds: int, now: float) -> bool:
    ready = condition(pod, "Ready")
    if ready is None or ready["status"] != "True":
        return False
    return not min_ready_seconds or now - parse_time(ready["lastTransitionTime"]) >= min_ready_seconds


def phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def is_terminal(pod: Object) -> bool:
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    return not is_terminal(pod) and not pod["metadata"].get("deletionTimestamp")


def is_terminating(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp")) and not is_terminal(pod)


def from_template(template: Object, *, generate_name: str, owner: Object) -> Object:
    """The pod a controller creates: its template's metadata and spec, and the owner's reference."""
    metadata = template.get("metadata") or {}
    body: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": generate_name, "ownerReferences": [owner]},
        "spec": copy.deepcopy(template["spec"]),
    }
    for field in ("labels", "annotations", "finalizers"):
        if metadata.get(field):
            body["metadata"][field] = copy.deepcopy(metadata[field])
    return body


def resource_total(pod: Object, kind: str, resource: str) -> Decimal:
    """What a pod requests (``kind="requests"``) or may use (``"limits"``), with init containers and overhead.

    Init containers run one after the other, sidecars (``restartPolicy: Always``) stay: the larger of the sum of the
    long-running ones and each init container on top of the sidecars before it.
    """
    spec = pod["spec"]
    running = quantities.add_all(_amount(c, kind, resource) for c in spec["containers"])
    sidecars = Decimal(0)
    peak = Decimal(0)
    for container in spec.get("initContainers") or ():
        amount = _amount(container, kind, resource)
        if container.get("restartPolicy") == "Always":
            sidecars += amount
            peak = max(peak, sidecars)
        else:
            peak = max(peak, sidecars + amount)
    total = max(running + sidecars, peak)
    return (
        total + quantities.parse((spec.get("overhead") or {}).get(resource)) if total or kind == "requests" else total
    )


def _amount(container: Object, kind: str, resource: str) -> Decimal:
    resources = container.get("resources") or {}
    value = (resources.get(kind) or {}).get(resource)
    if value is None and kind == "requests":
        value = (resources.get("limits") or {}).get(resource)
    return quantities.parse(value)


def deletion_order(pods: Sequence[Object], siblings: Iterable[Object], now: float) -> list[Object]:
    """The pods a ReplicaSet gives up first come first (Kubernetes' ActivePodsWithRanks)."""
    per_node: dict[str, int] = {}
    for pod in siblings:
        node = pod["spec"].get("nodeName")
        if node:
            per_node[node] = per_node.get(node, 0) + 1

    def rank(pod: Object) -> tuple[float, ...]:
        ready = condition(pod, "Ready")
        is_up = ready is not None and ready["status"] == "True"
        cost = (pod["metadata"].get("annotations") or {}).get("controller.kubernetes.io/pod-deletion-cost", "0")
        restarts = max((s.get("restartCount", 0) for s in (pod["status"].get("containerStatuses") or ())), default=0)
        created = parse_time(pod["metadata"].get("creationTimestamp"))
        return (
            1 if pod["spec"].get("nodeName") else 0,
            {"Pending": 0, "Unknown": 1}.get(phase(pod), 2),
            1 if is_up else 0,
            float(cost) if cost.lstrip("-").isdigit() else 0.0,
            -per_node.get(pod["spec"].get("nodeName") or "", 0),
            -parse_time(ready["lastTransitionTime"]) if is_up and ready else 0.0,
            -restarts,
            -created,
        )

    return sorted(pods, key=rank)
