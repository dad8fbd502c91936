"""Which policy governs a target. Pure: whoever calls has read the enabled policies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set as AbstractSet
from typing import Any, TypeVar

from healing.policies.spec import PolicySpec

T = TypeVar("T")


def specificity(spec: PolicySpec) -> tuple[int, int]:
    """More labels beat fewer; then fewer namespaces beat more."""
    return len(spec.target_labels), -len(spec.target_namespaces)


def select(policies: Iterable[tuple[T, PolicySpec]], namespace: str, labels: Mapping[str, str]) -> T | None:
    """The most specific policy that covers a workload; of equals the first. None: nothing may be done about it.

    A policy covers the namespaces it names and no others, so those of the cluster itself are out unless named.
    """
    return _most_specific((policy, spec) for policy, spec in policies if spec.covers(namespace, dict(labels)))


def select_for_node(policies: Sequence[tuple[T, PolicySpec]], namespaces_on_node: AbstractSet[str]) -> T | None:
    """The policy for a node, which has no namespace: one that may cordon and whose namespaces have pods on it."""
    return _most_specific(
        (policy, spec)
        for policy, spec in policies
        if spec.containment.cordon_nodes and not spec.target_labels and namespaces_on_node & set(spec.target_namespaces)
    ) or _most_specific(
        (policy, spec)
        for policy, spec in policies
        if spec.containment.cordon_nodes and namespaces_on_node & set(spec.target_namespaces)
    )


def _most_specific(policies: Iterable[tuple[T, PolicySpec]]) -> T | None:
    best: tuple[T, PolicySpec] | None = None
    for policy, spec in policies:
        if best is None or specificity(spec) > specificity(best[1]):
            best = policy, spec
    return best[0] if best else None


def labels_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """Labels a policy may select by: the workload's own, and those of its pods where it does not say otherwise."""
    spec = obj.get("spec") or {}
    template = (spec.get("template") or {}).get("metadata") or {}
    return {**(template.get("labels") or {}), **((obj.get("metadata") or {}).get("labels") or {})}
