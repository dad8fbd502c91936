"""What an action of ours has to be allowed, asked before anything is done, and said in words that an admin can act on.

The dry run asks for everything that an action sends; what its undo needs is asked for here: what cannot be taken back
for want of a permission is not begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from healing.actions import operations
from healing.actions.base import Plan
from healing.actions.operations import Operation
from healing.ports.cluster import Cluster
from healing.ports.errors import Forbidden

#: operation -> (verb, subresource) as RBAC names it
_VERBS = {
    "patch": ("patch", ""),
    "create": ("create", ""),
    "delete": ("delete", ""),
    "forceDelete": ("delete", ""),
    "evict": ("create", "eviction"),
}
#: (verb, kind, namespace, subresource)
Need = tuple[str, str, str, str]


def needs_of(steps: Iterable[Operation]) -> list[Need]:
    """What sending them takes, each once."""
    found = []
    for step in steps:
        ref = operations.object_of(step)
        verb, subresource = _VERBS[step["verb"]]
        found.append((verb, ref.kind, ref.namespace, subresource))
    return list(dict.fromkeys(found))


def check_undo(cluster: Cluster, plan: Plan, *, timeout_seconds: float) -> None:
    """Raise `Forbidden` where the plan could be carried out and not be undone; or `healing.ports.errors`."""
    tried_anyway = set(needs_of(plan.operations))
    lacking = [
        need
        for need in needs_of(plan.undo_operations)
        if need not in tried_anyway and not _may(cluster, need, timeout_seconds)
    ]
    if lacking:
        raise Forbidden(
            f"It could not be undone: {'; '.join(in_words(need) for need in lacking)}. Nothing was done.", status=403
        )


def check_whole(cluster: Cluster, plans: Sequence[Plan], *, timeout_seconds: float) -> None:
    """Raise `Forbidden` where a step of a strategy, or putting one back, would be denied: what cannot be carried out
    and taken back as a whole is not begun. Or raises `healing.ports.errors`."""
    if len(plans) < 2:
        return  # its dry run and `check_undo` come right before it is sent
    wanted = [need for plan in plans for need in needs_of((*plan.operations, *plan.undo_operations))]
    lacking = [need for need in dict.fromkeys(wanted) if not _may(cluster, need, timeout_seconds)]
    if lacking:
        raise Forbidden(
            f"Its steps could not all be carried out and undone: {'; '.join(in_words(need) for need in lacking)}. "
            "Nothing was done.",
            status=403,
        )


def in_words(need: Need) -> str:
    """``we may not delete NetworkPolicies in namespace shop: add the verb delete on them to a Role of ours there``."""
    verb, kind, namespace, subresource = need
    what = f"{kind} {subresource}" if subresource else kind
    where, role = (f"in namespace {namespace}", "Role") if namespace else ("in the cluster", "ClusterRole")
    return f"we may not {verb} a {what} {where}; add that verb to a {role} of ours"


def _may(cluster: Cluster, need: Need, timeout_seconds: float) -> bool:
    verb, kind, namespace, subresource = need
    return cluster.can_i(verb, kind, namespace, subresource=subresource, timeout_seconds=timeout_seconds)
