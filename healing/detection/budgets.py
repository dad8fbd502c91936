"""Drains that do not get on, because a PodDisruptionBudget demands every one of its pods."""

from __future__ import annotations

from datetime import datetime

from healing.actions.labels import matches
from healing.detection.cache import ObjectCache
from healing.detection.containers import condition
from healing.detection.owners import Target, controller_of
from healing.detection.sighting import Sighting
from healing.faults import Severity
from healing.policies.select import labels_of
from healing.ports.cluster import Object, ObjectRef

#: A drain tries again every five seconds; what it waits for may only be another pod that comes up.
GRACE_SECONDS = 25.0


def budget_sightings(budget: Object, cache: ObjectCache, now: datetime) -> list[Sighting]:
    """A budget that will never let the last pods leave a node that is being emptied.

    A cordoned node alone is no fault, nor is a budget that allows nothing: only when nothing is left on the node that
    could be evicted but the budget's pods, all of them well, and the budget can never allow one to go.
    """
    meta, status = budget.get("metadata") or {}, budget.get("status") or {}
    cordoned = {
        str(node["metadata"].get("name"))
        for node in cache.list("Node")
        if (node.get("spec") or {}).get("unschedulable")
        # a node that is lost is not drained but lost
        and condition(node, "Ready").get("status") == "True"
    }
    if not cordoned or meta.get("deletionTimestamp") or not _allows_none_for_good(budget):
        return []
    left: dict[str, list[Object]] = {name: [] for name in cordoned}
    for pod in cache.list("Pod"):
        node = str((pod.get("spec") or {}).get("nodeName") or "")
        if node in left and _is_evictable(pod):
            left[node].append(pod)
    blocking = _blocking_budgets(cache)
    selector, namespace = (budget.get("spec") or {}).get("selector"), str(meta.get("namespace") or "")
    for node, pods in sorted(left.items()):
        held = [
            pod for pod in pods if pod["metadata"].get("namespace") == namespace and matches(selector, _labels(pod))
        ]
        if not held or not all(condition(pod, "Ready").get("status") == "True" for pod in held):
            continue
        if any(not _is_covered(pod, blocking) for pod in pods):
            continue  # nobody drains it, or the drain has not come to an end yet
        ref = ObjectRef.of(budget, "PodDisruptionBudget")
        names = sorted(str(pod["metadata"].get("name")) for pod in held)
        return [
            Sighting(
                target=Target(
                    ref, int(meta.get("generation") or 0), {**labels_of(held[0]), **labels_of(budget)}, budget
                ),
                subject=ref,
                symptom="EvictionBlocked",
                message=f"Node {node} is cordoned and cannot be drained: PodDisruptionBudget {ref.name} demands all "
                f"{status.get('expectedPods')} of its pods, and {', '.join(names)} would have to go.",
                severity=Severity.MEDIUM,
                grace_seconds=GRACE_SECONDS,
                data={"node": node, "pods": names, "expectedPods": status.get("expectedPods")},
            )
        ]
    return []


def _allows_none_for_good(budget: Object) -> bool:
    """All pods are there and well, and the budget demands as many. (One that waits for pods to get well only waits.)"""
    meta, status = budget.get("metadata") or {}, budget.get("status") or {}
    observed, generation = status.get("observedGeneration"), meta.get("generation")
    if isinstance(observed, int) and isinstance(generation, int) and observed < generation:
        return False
    expected = int(status.get("expectedPods") or 0)
    return (
        expected > 0
        and int(status.get("disruptionsAllowed") or 0) == 0
        and int(status.get("desiredHealthy") or 0) >= expected
        and int(status.get("currentHealthy") or 0) >= expected
    )


def _blocking_budgets(cache: ObjectCache) -> list[Object]:
    return [budget for budget in cache.list("PodDisruptionBudget") if _allows_none_for_good(budget)]


def _is_covered(pod: Object, budgets: list[Object]) -> bool:
    return any(
        budget["metadata"].get("namespace") == pod["metadata"].get("namespace")
        and matches((budget.get("spec") or {}).get("selector"), _labels(pod))
        for budget in budgets
    )


def _is_evictable(pod: Object) -> bool:
    """Whether a drain would take it away: not what a DaemonSet or the kubelet puts back, is done, or goes already."""
    meta, status = pod.get("metadata") or {}, pod.get("status") or {}
    owner = controller_of(pod) or {}
    is_over = status.get("phase") in ("Succeeded", "Failed") or meta.get("deletionTimestamp")
    return not is_over and owner.get("kind") not in ("DaemonSet", "Node")


def _labels(pod: Object) -> dict[str, str]:
    return dict((pod.get("metadata") or {}).get("labels") or {})
