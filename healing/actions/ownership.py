"""Who else has a say in an object: autoscalers, disruption budgets, GitOps tools, operators."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from healing.actions import labels
from healing.actions.base import BlastRadius
from healing.actions.reading import Workload, controller_of, list_if_allowed
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
_STEPS = re.compile(r"([^.\[\]]+)|\[([^\]]*)\]")


def is_gitops(owner: str) -> bool:
    """Whether what `managed_by` says is a tool that keeps objects as a repository says (an operator does not)."""
    return owner.startswith(_GITOPS)


def has_taken_back(obj: Mapping[str, Any], paths: Iterable[str], at: datetime) -> bool:
    """Whether such a tool has written one of these fields (see `Change.path`) since somebody else did at ``at``, by the
    object's managed fields: whoever writes a field owns it. Where nobody owns them any more: whether the tool has
    written anything since (in whole seconds, which is all that managed fields know)."""
    owners = {manager for path in paths for manager in _managers_of(obj, path)}
    if owners:
        return bool(owners & _RECONCILERS.keys())
    return any(
        entry.get("manager") in _RECONCILERS
        and not entry.get("subresource")
        and bool(entry.get("time"))
        and datetime.fromisoformat(entry["time"]) >= at.replace(microsecond=0)
        for entry in obj["metadata"].get("managedFields") or ()
    )


def _managers_of(obj: Mapping[str, Any], path: str) -> Iterator[str]:
    for entry in obj["metadata"].get("managedFields") or ():
        fields: Any = entry.get("fieldsV1") or None  # an entry without fields owns none
        for name, key in _STEPS.findall(path):
            fields = _inner(fields, name, key)
        if fields is not None and not entry.get("subresource"):
            yield str(entry.get("manager", ""))


def _inner(fields: Any, name: str, key: str) -> Any:
    """The set of fields below a name, or below an item of a list (``k:{"name":"web"}``) or map; None: not in it. An
    empty set owns all that is below it."""
    if not isinstance(fields, Mapping) or not fields:
        return fields
    if name or f"f:{key}" in fields:
        return fields.get(f"f:{name or key}")
    for found, inner in fields.items():
        if found.startswith("k:") and key in map(str, json.loads(found[2:]).values()):
            return inner
    return None


def managed_by(obj: Mapping[str, Any]) -> str:
    """Who would put a change back: ``Argo CD application shop``, ``Flux kustomize shop``, ``operator X name``; or
    empty. Helm alone is not named: it does nothing until somebody runs it."""
    meta = obj["metadata"]
    marks = {**(meta.get("labels") or {}), **(meta.get("annotations") or {})}
    for key, tool in _MARKS.items():
        if key in marks:
            return f"{tool} {str(marks[key]).split(':', 1)[0]}"
    for entry in meta.get("managedFields") or ():
        if entry.get("manager") in _RECONCILERS and not entry.get("subresource"):
            return _RECONCILERS[entry["manager"]]
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
