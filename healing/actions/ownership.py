"""Who else has a say in an object: autoscalers, disruption budgets, GitOps tools, operators."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from healing.actions import labels
from healing.actions.base import BlastRadius
from healing.actions.reading import Workload, controller_of, is_ready, list_if_allowed
from healing.managed_fields import own_entries, owns
from healing.ports.cluster import Cluster, Object

#: Tools that put back what they manage, soon after anyone changes it.
_RECONCILERS = {
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
}
_MARKS = {
    "argocd.argoproj.io/instance": "Argo CD",
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
}
_GITOPS = ("Argo CD", "Flux")
#: ``spec.containers[web].image``: names, and the keys of items in brackets.
_STEP = re.compile(r"(?<=\[)[^\]]*(?=\])|[^.\[\]]+")


def is_gitops(owner: str) -> bool:
    """Whether what `managed_by` says is a tool that keeps objects as a repository says (an operator does not)."""
    return owner.startswith(_GITOPS)


def has_taken_back(obj: Mapping[str, Any], paths: Iterable[str], at: datetime) -> bool:
    """Whether such a tool has written one of these fields (see `Change.path`) since somebody else did at ``at``, by the
    object's managed fields: whoever writes a field owns it. Where nobody owns them any more: whether the tool has
    written anything since (in whole seconds, which is all that managed fields know)."""
    entries, steps = own_entries(obj), [_STEP.findall(path) for path in paths]
    owners = {entry.manager for entry in entries if any(owns(entry.fields, path) for path in steps)}
    if owners:
        return bool(owners & _RECONCILERS.keys())
    since = at.replace(microsecond=0)
    return any(entry.manager in _RECONCILERS and entry.at is not None and entry.at >= since for entry in entries)


def managed_by(obj: Mapping[str, Any]) -> str:
    """Who would put a change back: ``Argo CD application shop``, ``Flux kustomize shop``, ``operator X name``; or
    empty. Helm alone is not named: it does nothing until somebody runs it."""
    meta = obj["metadata"]
    marks = {**(meta.get("labels") or {}), **(meta.get("annotations") or {})}
    for key, tool in _MARKS.items():
        if key in marks:
            return f"{tool} {str(marks[key]).split(':', 1)[0]}"
    for entry in own_entries(obj):
        if entry.manager in _RECONCILERS:
            return _RECONCILERS[entry.manager]
    owner = controller_of(obj)
    if owner is not None and owner.kind not in ("ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job", "Node"):
        return f"operator of {owner.kind} {owner.name}"
    return ""


def autoscaler_of(cluster: Cluster, workload: Workload, *, timeout_seconds: float) -> str:
    """The HorizontalPodAutoscaler that owns the replicas; empty: none. Where we may not look: says so."""
    found = list_if_allowed(cluster, "HorizontalPodAutoscaler", workload.ref.namespace, timeout_seconds=timeout_seconds)
    if found is None:
        return "unknown: listing HorizontalPodAutoscalers is forbidden to us"
    for scaler in found:
        target = scaler["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) == (workload.ref.kind, workload.ref.name):
            return str(scaler["metadata"]["name"])
    return ""


def budgets_of(
    cluster: Cluster, namespace: str, pod_labels: Mapping[str, str], *, timeout_seconds: float
) -> list[Object]:
    """The PodDisruptionBudgets that select pods with these labels."""
    found = list_if_allowed(cluster, "PodDisruptionBudget", namespace, timeout_seconds=timeout_seconds)
    return [b for b in found or () if labels.matches(b["spec"].get("selector"), pod_labels)]


def in_words(budgets: list[Object]) -> str:
    """``web-pdb allows 1 disruption``."""
    parts = []
    for budget in budgets:
        allowed = int((budget.get("status") or {}).get("disruptionsAllowed", 0))
        parts.append(f"{budget['metadata']['name']} allows {allowed} disruption{'' if allowed == 1 else 's'}")
    return "; ".join(parts)


def allowed(budgets: list[Object]) -> int | None:
    """How many disruptions the strictest budget allows; None without a budget."""
    return min((int((b.get("status") or {}).get("disruptionsAllowed", 0)) for b in budgets), default=None)


def blast_radius(
    cluster: Cluster, workload: Workload, *, remaining_ready: int, pods: int | None = None, timeout_seconds: float
) -> BlastRadius:
    """What an action on this workload touches. ``pods``: how many are replaced or moved (default: all)."""
    template_labels = workload.template["metadata"].get("labels") or {}
    budgets = budgets_of(cluster, workload.ref.namespace, template_labels, timeout_seconds=timeout_seconds)
    return BlastRadius(
        pods=workload.desired if pods is None else pods,
        ready_replicas=workload.ready,
        desired_replicas=workload.desired,
        remaining_ready=remaining_ready,
        disruption_budget=in_words(budgets),
        disruptions_allowed=allowed(budgets),
        autoscaler=autoscaler_of(cluster, workload, timeout_seconds=timeout_seconds),
        managed_by=managed_by(workload.obj),
    )


def blast_radius_of_pod(
    cluster: Cluster, pod: Object, workload: Workload | None, *, ready: int | None, timeout_seconds: float
) -> BlastRadius:
    """What taking this pod alone out of service touches. ``ready``: how many replicas of its workload serve now."""
    meta = pod["metadata"]
    budgets = budgets_of(cluster, meta["namespace"], meta.get("labels") or {}, timeout_seconds=timeout_seconds)
    return BlastRadius(
        pods=1,
        ready_replicas=ready,
        desired_replicas=workload.desired if workload else None,
        remaining_ready=None if ready is None else max(0, ready - int(is_ready(pod))),
        disruption_budget=in_words(budgets),
        disruptions_allowed=allowed(budgets),
        managed_by=managed_by(workload.obj) if workload else "",
    )
