"""Whether a node is well, or at least nothing suffers from it any more."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from healing.actions.reading import Workload, controller_of, list_if_allowed, unfit
from healing.metacognition import metrics
from healing.models import HealingEvent
from healing.ports import Ports
from healing.ports.cluster import Object, ObjectRef

#: Pods of these stay where they are, or end by themselves.
_STAY = frozenset({"DaemonSet", "Node", "Job"})
#: What begins to fail so soon after a node's fault was seen began with it.
_TOGETHER = timedelta(seconds=60)
#: Taints by which the cluster itself keeps pods from a node; others are for those who tolerate them.
_OF_THE_CLUSTER, _KEEPS_AWAY = "node.kubernetes.io/", frozenset({"NoSchedule", "NoExecute"})


class Look(NamedTuple):
    """What is wrong with a node and what is good; ``is_fit``: it could run pods now."""

    problems: list[str]
    good: list[str]
    is_fit: bool = False


def look(ref: ObjectRef, event: HealingEvent, ports: Ports, timeout_seconds: float, *, moved_is_enough: bool) -> Look:
    """Raises `healing.ports.errors`.

    ``moved_is_enough``: it was treated (cordoned, drained), so it is enough that its pods have found another place and
    that it takes no new ones: then nothing suffers from it, and it stays cordoned until it is back."""
    node = ports.cluster.get("Node", "", ref.name, timeout_seconds=timeout_seconds)
    why = unfit(node)
    if not why:
        return Look([], [f"{ref} is ready"], is_fit=True)
    if not moved_is_enough:
        return Look([f"{ref} {_in_words(why)}"], [])
    if takes_pods(node):
        return Look([f"{ref} {_in_words(why)}, and takes new pods"], [])
    left = _pods_left(ref, event, ports, timeout_seconds)
    if left:
        return Look([f"{left} pod(s) are still on {ref.name}"], [])
    suffering = [*_suffering(event, ports, timeout_seconds), *_still_failing(event)]
    if suffering:
        suffering += _outside(ref, event, ports, timeout_seconds)
    return Look(suffering, [] if suffering else [f"no pod suffers from node {ref.name} any more"])


def takes_pods(node: Object) -> bool:
    """Whether new pods may be put on it, as far as its cordon and its taints say."""
    taints = node["spec"].get("taints") or ()
    return not node["spec"].get("unschedulable") and not any(
        t.get("effect") in ("NoSchedule", "NoExecute") for t in taints
    )


def _in_words(why: list[str]) -> str:
    return "is not ready" if why == ["not ready"] else f"has {', '.join(why)}"


def _pods_left(ref: ObjectRef, event: HealingEvent, ports: Ports, timeout_seconds: float) -> int:
    """Those that could live elsewhere. What the kubelet has evicted stays on its node as a record, and runs no more."""
    left = 0
    for namespace in event.policy_spec.target_namespaces:
        pods = ports.cluster.list(
            "Pod", namespace, field_selector=f"spec.nodeName={ref.name}", timeout_seconds=timeout_seconds
        ).items
        left += sum(_could_move(pod) for pod in pods)
    return left


def _suffering(event: HealingEvent, ports: Ports, timeout_seconds: float) -> list[str]:
    """Workloads of the policy that lack replicas; one with an event of its own is that event's business."""
    found = []
    for namespace in event.policy_spec.target_namespaces:
        for kind in ("Deployment", "StatefulSet"):
            for obj in ports.cluster.list(kind, namespace, timeout_seconds=timeout_seconds).items:
                workload = Workload.of(obj, kind)
                if workload.ready < workload.desired and not _has_own_event(event, workload.ref):
                    found.append(f"{workload.ref}: {workload.ready} of {workload.desired} replicas ready")
    return found


def _still_failing(event: HealingEvent) -> list[str]:
    """What has begun to answer badly with the node's fault, and does still: then something suffers from it yet."""
    began = HealingEvent.objects.filter(
        cluster=event.cluster,
        finished_at=None,
        target_namespace__in=event.policy_spec.target_namespaces,
        symptom__in=metrics.METRIC_SYMPTOMS,
        detected_at__range=(event.detected_at - _TOGETHER / 4, event.detected_at + _TOGETHER),
    ).exclude(pk=event.pk)
    return [f"{other.target_kind} {other.target_name} has begun to fail with it ({other.name})" for other in began]


def _outside(ref: ObjectRef, event: HealingEvent, ports: Ports, timeout_seconds: float) -> list[str]:
    """Pods on it that the policy does not let us move."""
    found = list_if_allowed(
        ports.cluster, "Pod", "", field_selector=f"spec.nodeName={ref.name}", timeout_seconds=timeout_seconds
    )
    names = [
        f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for pod in found or ()
        if pod["metadata"]["namespace"] not in event.policy_spec.target_namespaces and _could_move(pod)
    ]
    return [f"the policy does not cover what still runs on it: {', '.join(sorted(names)[:5])}"] if names else []


def _could_move(pod: Object) -> bool:
    owner, phase = controller_of(pod), (pod.get("status") or {}).get("phase")
    is_over = "deletionTimestamp" in pod["metadata"] or phase in ("Succeeded", "Failed")
    return not is_over and owner is not None and owner.kind not in _STAY


def _has_own_event(event: HealingEvent, ref: ObjectRef) -> bool:
    return HealingEvent.objects.filter(
        cluster=event.cluster,
        target_kind=ref.kind,
        target_namespace=ref.namespace,
        target_name=ref.name,
        finished_at=None,
    ).exists()
