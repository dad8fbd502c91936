"""The scheduler's filters in their plugin order, with Kubernetes' own words for each refusal. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from healing.sandbox.ports import Object
from healing.sandbox.world.scheduler.state import ClusterState, NodeInfo, PodInfo
from healing.sandbox.world.scheduler.volumes import VolumeVerdict
from healing.sandbox.world.selectors import matches, matches_node, untolerated

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node does not take a pod. ``resolvable``: it could, if other pods went away."""

    reasons: tuple[str, ...]
    resolvable: bool = False


@dataclass(slots=True)
class Attempt:
    """One pod being placed, and what the filters need to know of the cluster."""

    info: PodInfo
    state: ClusterState
    #: labels of namespaces by name, for affinity terms with a namespaceSelector
    namespace_labels: Callable[[], Mapping[str, Mapping[str, str]]]
    volumes: VolumeVerdict = field(default_factory=VolumeVerdict)

    @property
    def pod(self) -> Object:
        return self.info.pod


def refusal(attempt: Attempt, node: NodeInfo) -> Refusal | None:
    """The first filter's refusal, as only that one is reported for a node.

    Equal or more important pods that were promised the node count as if they were there already.
    """
    expected = attempt.state.expected_on(node.name, attempt.info)
    if expected:
        crowded = node.changed(plus=expected)
        found = _refusal_by(replace(attempt, state=attempt.state.with_node(crowded)), crowded)
        if found is not None:
            return found
    # Without them too: they may never come, and nothing may depend on their company.
    return _refusal_by(attempt, node)


def _refusal_by(attempt: Attempt, node: NodeInfo) -> Refusal | None:
    for check in _FILTERS:
        found = check(attempt, node)
        if found is not None:
            return found
    return None


def _unschedulable(attempt: Attempt, node: NodeInfo) -> Refusal | None:
    if not node.node["spec"].get("unschedulable"):
        return None
    if untolerated([_UNSCHEDULABLE], attempt.pod["spec"].get("tolerations") or [], ("NoSchedule",)) is None:
        return None
    return Refusal(("node(s) were unschedulable",))


def _taints(attempt: Attempt, node: NodeInfo) -> Refusal | None:
    taints = node.node["spec"].get("taints") or []
    tolerations = attempt.pod["spec"].get("tolerations") or []
    if untolerated(taints, tolerations, ("NoSchedule", "NoExecute")) is None:
        return None
    return Refusal(("node(s) had untolerated taint(s)",))


def _node_affinity(attempt: Attempt, node: NodeInfo) -> Refusal | None:
    if node_selected(attempt.pod, node.node):
        return None
    return Refusal(("node(s) didn't match Pod's node affinity/selector",))


def node_selected(pod: Object, node: Object) -> bool:
    """The pod's nodeSelector and required node affinity accept this node."""
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(k) != v for k, v in (pod["spec"].get("nodeSelector") or {}).items()):
        return False
    required = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED)
    return not required or any(matches_node(term, node) for term in required.get("nodeSelectorTerms") or ())


def _ports(attempt: Attempt, node: NodeInfo) -> Refusal | None:
    wanted = attempt.info.host_ports
    if wanted and any(wanted & other.host_ports for other in node.pods.values()):
        return Refusal(("node(s) didn't have free ports for the requested pod ports",), resolvable=True)
    return None


def _resources(attempt: Attempt, node: NodeInfo) -> Refusal | None:
    reasons: list[str] = []
    resolvable = True
    limit = node.allocatable.get("pods", Decimal(110))
    if len(node.pods) + 1 > limit:
        reasons.append("Too many pods")
    for resource in sorted(attempt.info.requests, key=_resource_order):
        amount = attempt.info.requests[resource]
        allocatable = node.allocatable.get(resource, Decimal(0))
        if amount > allocatable - node.used.get(resource, Decimal(0)):
            reasons.append(f"Insufficient {resource}")
            resolvable = resolvable and amount <= allocatable
    return Refusal(tuple(reasons), resolvable) if reasons else None


def _resource_order(resource: str) -> tuple[int, str]:
    return (
        (("cpu", "memory", "ephemeral-storage").index(resource), "")
        if resource
        in (
            "cpu",
            "memory",
            "ephemeral-storage",
        )
        else (3, resource)
    )


def _volumes(attempt: Attempt, node: NodeInfo) -> Refusal | None:
    volumes = attempt.volumes
    if volumes.taken:
        problem = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
        return Refusal((problem,), resolvable=True)
    if volumes.nodes is not None and node.name not in volumes.nodes:
        return Refusal(("node(s) didn't match PersistentVolume's node affinity",))
    if volumes.bindable is not None and node.name not in volumes.bindable:
        return Refusal(("node(s) didn't find available persistent volumes to bind",))
    return None


def _topology_spread(attempt: Attempt, node: NodeInfo) -> Refusal | None:
    for constraint in attempt.pod["spec"].get("topologySpreadConstraints") or ():
        if constraint.get("whenUnsatisfiable", "DoNotSchedule") != "DoNotSchedule":
            continue
        key = constraint["topologyKey"]
        domain = _label(node, key)
        if domain is None:
            return Refusal(("node(s) didn't match pod topology spread constraints (missing required label)",))
        counts: dict[str, int] = {}
        for other in attempt.state.nodes.values():
            value = _label(other, key)
            if value is None or not node_selected(attempt.pod, other.node):
                continue
            counts.setdefault(value, 0)
            counts[value] += sum(
                _same_namespace(attempt.pod, p.pod)
                and not p.pod["metadata"].get("deletionTimestamp")
                and matches(constraint.get("labelSelector"), p.pod["metadata"].get("labels") or {})
                for p in other.pods.values()
            )
        own = 1 if matches(constraint.get("labelSelector"), attempt.pod["metadata"].get("labels") or {}) else 0
        if counts.get(domain, 0) + own - min(counts.values(), default=0) > constraint.get("maxSkew", 1):
            return Refusal(("node(s) didn't match pod topology spread constraints",), resolvable=True)
    return None


def _pod_affinity(attempt: Attempt, node: NodeInfo) -> Refusal | None:
    affinity = attempt.pod["spec"].get("affinity") or {}
    for term in (affinity.get("podAffinity") or {}).get(_REQUIRED) or ():
        if not _affinity_holds(attempt, node, term):
            return Refusal(("node(s) didn't match pod affinity rules",))
    for term in (affinity.get("podAntiAffinity") or {}).get(_REQUIRED) or ():
        domain = _label(node, term["topologyKey"])
        if domain is not None and any(
            _term_matches(attempt, term, attempt.pod, other.pod)
            for other in _pods_in(attempt.state, term["topologyKey"], domain)
        ):
            return Refusal(("node(s) didn't match pod anti-affinity rules",), resolvable=True)
    for other_node in attempt.state.nodes.values():
        for other in other_node.repelling.values():
            for term in other.anti_affinity:
                domain = _label(other_node, term["topologyKey"])
                same_domain = domain is not None and domain == _label(node, term["topologyKey"])
                if same_domain and _term_matches(attempt, term, other.pod, attempt.pod):
                    return Refusal(("node(s) didn't satisfy existing pods anti-affinity rules",), resolvable=True)
    return None


def _affinity_holds(attempt: Attempt, node: NodeInfo, term: Object) -> bool:
    domain = _label(node, term["topologyKey"])
    if domain is None:
        return False
    if any(
        _term_matches(attempt, term, attempt.pod, o.pod) for o in _pods_in(attempt.state, term["topologyKey"], domain)
    ):
        return True
    # The first pod of a group that attracts itself may start anywhere.
    exists = any(
        _term_matches(attempt, term, attempt.pod, other.pod)
        for info in attempt.state.nodes.values()
        for other in info.pods.values()
    )
    return not exists and _term_matches(attempt, term, attempt.pod, attempt.pod)


def _pods_in(state: ClusterState, key: str, domain: str) -> Iterable[PodInfo]:
    for node in state.nodes.values():
        if _label(node, key) == domain:
            yield from node.pods.values()


def _term_matches(attempt: Attempt, term: Object, owner: Object, other: Object) -> bool:
    namespace = other["metadata"]["namespace"]
    names = term.get("namespaces") or []
    selector = term.get("namespaceSelector")
    if selector is not None:
        inside = namespace in names or matches(selector, attempt.namespace_labels().get(namespace, {}))
    elif names:
        inside = namespace in names
    else:
        inside = namespace == owner["metadata"]["namespace"]
    return inside and matches(term.get("labelSelector"), other["metadata"].get("labels") or {})


def _label(node: NodeInfo, key: str) -> str | None:
    labels = node.node["metadata"].get("labels") or {}
    value = labels.get(key)
    return str(value) if value is not None else None


def _same_namespace(one: Object, other: Object) -> bool:
    return bool(one["metadata"]["namespace"] == other["metadata"]["namespace"])


_FILTERS: tuple[Callable[[Attempt, NodeInfo], Refusal | None], ...] = (
    _unschedulable, _taints, _node_affinity, _ports, _resources, _volumes, _topology_spread, _pod_affinity,
)  # fmt: skip


def explain(refusals: Mapping[str, Refusal], *, preempting: bool = False) -> str:
    """``0/3 nodes are available: 2 Insufficient cpu, 1 node(s) were unschedulable. ...`` as in a pod's condition."""
    total = len(refusals)
    if not total:
        return "no nodes available to schedule pods"
    counts: dict[str, int] = {}
    for found in refusals.values():
        for reason in found.reasons:
            counts[reason] = counts.get(reason, 0) + 1
    if preempting:
        return f"0/{total} nodes are available: {_listing(counts)}."
    after: dict[str, int] = {}
    for found in refusals.values():
        text = (
            "No preemption victims found for incoming pod"
            if found.resolvable
            else ("Preemption is not helpful for scheduling")
        )
        after[text] = after.get(text, 0) + 1
    return (
        f"0/{total} nodes are available: {_listing(counts)}. no new claims to deallocate, "
        f"preemption: 0/{total} nodes are available: {_listing(after)}."
    )


def _listing(counts: Mapping[str, int]) -> str:
    return ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
