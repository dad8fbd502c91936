"""Evictions: a pod goes only if its disruption budgets allow it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from healing.sandbox.api import errors
from healing.sandbox.api.deletes import DeleteOptions
from healing.sandbox.api.meta import labels_of, timestamp
from healing.sandbox.api.selectors import selector_matches
from healing.sandbox.ports import ApiError, Object, User

if TYPE_CHECKING:
    from healing.sandbox.api.cluster import ApiServer

_BUDGETS = "poddisruptionbudgets.policy"
_EVICTOR = User("system:apiserver", ("system:masters",), field_manager="kube-apiserver")


def evict(
    server: ApiServer, namespace: str, name: str, *, user: User, grace_seconds: int | None, dry_run: bool, uid: str
) -> None:
    """429 `ApiError` if a budget says no; the budget's allowance shrinks at once, before its controller looks."""
    pod = server.get("pods", namespace, name)
    if pod is None:
        raise errors.not_found("pods", "", name)
    if not _ignores_budgets(pod):
        _ask_budgets(server, namespace, pod, dry_run=dry_run)
    if not dry_run and not pod["metadata"].get("deletionTimestamp"):
        _mark(server, namespace, name)
    options = DeleteOptions(user, dry_run=dry_run, grace_seconds=grace_seconds, propagation="Background", uid=uid)
    server.delete_with("pods", namespace, name, options)


def _mark(server: ApiServer, namespace: str, name: str) -> None:
    """The pod's condition DisruptionTarget says why it goes."""
    entry = {
        "type": "DisruptionTarget", "status": "True", "lastProbeTime": None,
        "lastTransitionTime": timestamp(server.clock()), "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }  # fmt: skip

    def add(pod: Object) -> None:
        status = pod.setdefault("status", {})
        others = [item for item in status.get("conditions") or () if item.get("type") != "DisruptionTarget"]
        status["conditions"] = [*others, entry]

    server.mutate("pods", namespace, name, add, user=_EVICTOR, subresource="status")


def _ignores_budgets(pod: Object) -> bool:
    """Pods that serve nobody: finished, not started, or already going."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


def _is_ready(pod: Object) -> bool:
    return any(
        item.get("type") == "Ready" and item.get("status") == "True"
        for item in (pod.get("status") or {}).get("conditions") or ()
    )


def _blocked(message: str) -> ApiError:
    return errors.failure(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
        details={"causes": [{"reason": "DisruptionBudget", "message": message}]},
    )


def _ask_budgets(server: ApiServer, namespace: str, pod: Object, *, dry_run: bool) -> None:
    budgets = [
        budget
        for budget in server.list(_BUDGETS, namespace)
        if (selector := (budget.get("spec") or {}).get("selector")) is not None
        and selector_matches(selector, labels_of(pod))
    ]
    if not budgets:
        return
    if len(budgets) > 1:
        raise errors.failure(
            500, "", "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    budget = budgets[0]
    spec, status = budget.get("spec") or {}, budget.get("status") or {}
    name = budget["metadata"]["name"]
    if not _is_ready(pod):
        healthy_enough = status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) > 0
        if spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow" or healthy_enough:
            return
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        raise _blocked(f"The disruption budget {name} is still being processed by the server.")
    if status.get("disruptionsAllowed", 0) <= 0:
        raise _blocked(
            f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} healthy pods and has "
            f"{status.get('currentHealthy', 0)} currently"
        )
    if dry_run:
        return

    def shrink(changed: Object) -> None:
        changed["status"]["disruptionsAllowed"] = status["disruptionsAllowed"] - 1
        disrupted = dict(changed["status"].get("disruptedPods") or {})
        disrupted[pod["metadata"]["name"]] = timestamp(server.clock())
        changed["status"]["disruptedPods"] = disrupted

    server.mutate(_BUDGETS, namespace, name, shrink, user=_EVICTOR, subresource="status")
