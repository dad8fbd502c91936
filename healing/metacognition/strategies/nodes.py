"""Strategies about nodes."""

from __future__ import annotations

from healing.actions import restarts
from healing.actions.base import CannotPlan
from healing.actions.delete_stuck_pod import is_stuck
from healing.actions.drain import in_words
from healing.actions.reading import controller_of, is_ready, workload_of_pod
from healing.actions.restart import stamp
from healing.metacognition.case import Case
from healing.metacognition.node_health import takes_pods
from healing.metacognition.strategies.blueprint import Blueprint, Step
from healing.policies.spec import ActionName
from healing.ports.cluster import Object, ObjectRef

#: Moving more at once would be a storm of its own; the next attempt moves the rest.
_MOVED_AT_MOST = 20


def _node(case: Case) -> ObjectRef:
    for ref in (case.finding.object, case.target):
        if ref.kind == "Node":
            return ref
    raise CannotPlan("No node is at fault.")


def _pods_on(case: Case, node: ObjectRef) -> list[Object]:
    """Those that could live elsewhere, in the policy's namespaces."""
    return [
        pod
        for namespace in case.policy.target_namespaces
        for pod in case.cluster.list(
            "Pod", namespace, field_selector=f"spec.nodeName={node.name}", timeout_seconds=case.seconds
        ).items
        if _is_movable(pod)
    ]


def move_pods(case: Case) -> Blueprint:
    node = _node(case)
    pods = _pods_on(case, node)
    if not pods:
        raise CannotPlan(f"No pod that could be moved runs on {node.name}.")
    if takes_pods(case.cluster.get("Node", "", node.name, timeout_seconds=case.seconds)):
        raise CannotPlan(f"Node {node.name} takes new pods: they could come right back. To drain it is better.")
    pods, kept = _that_come_back(case, pods)
    if not pods:
        raise CannotPlan(f"No pod on {node.name} could be made anew elsewhere: {kept}.")
    # Those that do not serve go first: nothing is lost by moving them.
    pods.sort(key=lambda pod: (is_ready(pod), pod["metadata"]["namespace"], pod["metadata"]["name"]))
    return Blueprint(
        f"Move {len(pods)} pod(s) away from node {node.name}",
        f"Node {node.name} is not fit to run them; their controllers make new ones elsewhere."
        + (f" What serves there and would not come back stays: {kept}." if kept else ""),
        tuple(Step(ActionName.EVICT, ObjectRef.of(pod, "Pod"), {}) for pod in pods[:_MOVED_AT_MOST]),
        restores=False,
        seconds=20,
    )


def _that_come_back(case: Case, pods: list[Object]) -> tuple[list[Object], str]:
    """Without those that serve and whose controller could make no other one now; and what keeps these, in words."""
    problems: dict[ObjectRef, list[str]] = {}
    kept: list[Object] = []
    for pod in pods:
        workload = workload_of_pod(case.cluster, pod, timeout_seconds=case.seconds) if is_ready(pod) else None
        if workload is not None and workload.ref not in problems:
            problems[workload.ref] = restarts.why_not_again(
                case.cluster, workload, freed_first=True, timeout_seconds=case.seconds
            )
        if workload is None or not problems[workload.ref]:
            kept.append(pod)
    words = [f"{ref}: {found[0]}" for ref, found in problems.items() if found]
    return kept, "; ".join(words)


def drain(case: Case) -> Blueprint:
    node = _node(case)
    pods, kept = _that_come_back(case, _pods_on(case, node))
    pods = pods[:_MOVED_AT_MOST]
    if not pods:
        why = f"No pod on {node.name} could be made anew elsewhere: {kept}" if kept else ""
        raise CannotPlan(f"{why or f'No pod that could be moved runs on {node.name}'}.")
    return Blueprint(
        f"Drain node {node.name}: {len(pods)} pod(s)",
        f"Node {node.name} is not fit to run pods: no new ones on it, and those there move as their budgets allow.",
        (Step(ActionName.DRAIN, node, {"event": case.event.name, "pods": [in_words(pod) for pod in pods]}),),
        restores=False,
        seconds=20,
    )


def delete_stuck_pods(case: Case) -> Blueprint:
    """Pods of what is ill that should have ended long ago: as long as they are there, nothing takes their place."""
    namespaces = case.policy.target_namespaces if case.finding.object.kind == "Node" else [case.target.namespace]
    now = case.now
    stuck = [
        pod
        for namespace in namespaces
        for pod in case.cluster.list("Pod", namespace, timeout_seconds=case.seconds).items
        if is_stuck(pod, now) and (case.finding.object.kind != "Node" or _is_on(pod, case.finding.object.name))
    ]
    if not stuck:
        raise CannotPlan("No pod is stuck while it is being deleted.")
    names = ", ".join(pod["metadata"]["name"] for pod in stuck[:3])
    return Blueprint(
        f"Delete {len(stuck)} stuck pod(s): {names}",
        "They should have ended long ago; their node does not say that they have.",
        tuple(Step(ActionName.DELETE_STUCK_POD, ObjectRef.of(pod, "Pod"), {}) for pod in stuck[:_MOVED_AT_MOST]),
        restores=False,
        seconds=20,
    )


def _is_on(pod: Object, node: str) -> bool:
    return bool(pod["spec"].get("nodeName") == node)


def restart_on_node(case: Case) -> Blueprint:
    """All pods of the workloads that have one there; those elsewhere are replaced in vain."""
    node = _node(case)
    found = [workload_of_pod(case.cluster, pod, timeout_seconds=case.seconds) for pod in _pods_on(case, node)]
    refs = sorted({workload.ref for workload in found if workload is not None})[:_MOVED_AT_MOST]
    if not refs:
        raise CannotPlan(f"No workload of the policy runs on {node.name}.")
    at = stamp()
    return Blueprint(
        f"Restart the {len(refs)} workload(s) that run on node {node.name}",
        f"Node {node.name} is cordoned, so new pods go elsewhere; but pods on other nodes are replaced too.",
        tuple(Step(ActionName.RESTART, ref, {"at": at}) for ref in refs),
        restores=False,
        seconds=40,
    )


def _is_movable(pod: Object) -> bool:
    owner = controller_of(pod)
    done = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return (
        not done
        and "deletionTimestamp" not in pod["metadata"]
        and owner is not None
        and owner.kind
        not in (
            "DaemonSet",
            "Node",
            "Job",
        )
    )


def uncordon(case: Case) -> Blueprint:
    name = case.finding.object.name if case.finding.object.kind == "Node" else case.fact("node")
    if not name:
        raise CannotPlan("The finding names no node.")
    return Blueprint(
        f"Uncordon node {name}",
        "Pods find no place because the node is cordoned.",
        (Step(ActionName.UNCORDON, ObjectRef("Node", "", str(name)), {}),),
        restores=True,
        seconds=5,
    )
