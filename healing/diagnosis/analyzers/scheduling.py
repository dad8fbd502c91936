"""Pods that no node takes: what the scheduler says, checked against nodes and the pod itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from healing.diagnosis import reading as r
from healing.diagnosis.analyzers.common import change_evidence, workload_ref
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence, of_event
from healing.diagnosis.placement import nodes_asked_for
from healing.diagnosis.reading import Object
from healing.diagnosis.revisions import last_change
from healing.diagnosis.scene import Scene
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

#: (pattern, cause, rank): of several reasons the one that is nearest to a mistake comes first.
_REASONS: tuple[tuple[re.Pattern[str], str, int], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), cause, rank)
    for pattern, cause, rank in (
        (r"persistentvolumeclaim \"[^\"]+\" (?:not found|is being deleted)", "", 0),  # analyzers.storage
        (
            (
                r"unbound immediate PersistentVolumeClaims|didn't find"
                r" available persistent volumes|bound to non-existent"
                r" persistentvolume|pvc\(s\) bound to non-existent"
            ),
            "",
            0,
        ),
        (r"ReadWriteOncePod access mode", "VolumeAccessModeMismatch", 1),
        (r"volume node affinity conflict", "VolumeNodeAffinityConflict", 1),
        (
            r"didn't match Pod's node affinity/selector|node affinity|didn't match node selector",
            "NodeSelectorMismatch",
            2,
        ),
        (r"pod anti-affinity|existing pods anti-affinity", "PodAntiAffinityConflict", 3),
        (r"didn't match pod affinity rules", "PodAffinityUnsatisfied", 3),
        (r"topology spread constraints", "TopologySpreadUnsatisfied", 3),
        (r"didn't have free ports", "HostPortConflict", 3),
        (r"Insufficient cpu", "InsufficientCPU", 4),
        (r"Insufficient memory", "InsufficientMemory", 4),
        (r"Too many pods", "TooManyPods", 4),
        (r"Insufficient (?P<resource>[\w.\-/]+)", "InsufficientResource", 4),
        (r"were unschedulable|node\(s\) unschedulable", "NodeCordoned", 5),
        (r"untolerated taint|had taint", "UntoleratedTaint", 5),
    )
)
_PART = re.compile(
    r"(?P<count>\d+) (?P<reason>(?:node\(s\)|Insufficient|Too many)(?:\{[^}]*\}|\.(?=\w)|[^.{])*?)"
    r"(?=, \d+ (?:node|Insuff|Too)|\. |\.$|$)"
)
_TAINT = re.compile(r"\{(?P<key>[^:}]+): ?(?P<value>[^}]*)\}")
_CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
_NODE_TROUBLE = tuple(
    f"node.kubernetes.io/{what}"
    for what in "not-ready unreachable memory-pressure disk-pressure pid-pressure network-unavailable".split()
)
#: set by ReCiSt's own containment; not a cause
_OUR_CORDON = "recist.io/cordoned-by"


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """InsufficientCPU, NodeSelectorMismatch, UntoleratedTaint and the other reasons of the scheduler."""
    for workload, pods in scene.pods.items():
        for pod in pods:
            condition = r.condition(pod, "PodScheduled")
            if condition.get("status") == "False" and r.text(condition, "reason") in ("Unschedulable", ""):
                found = _judge(scene, workload, pod, r.text(condition, "message"))
                if found is not None:
                    yield found
                    break  # its siblings say the same


def reasons(message: str) -> list[tuple[str, int, str]]:
    """(cause, number of nodes, the scheduler's words) in the message; an empty cause belongs to another analyzer."""
    body = message.partition("preemption:")[0]
    found = []
    for match in _PART.finditer(body):
        for pattern, cause, _ in _REASONS:
            if pattern.search(match["reason"]):
                found.append((cause, int(match["count"]), match["reason"].strip()))
                break
    if not found:
        found = [(cause, 0, body.strip()) for pattern, cause, _ in _REASONS if pattern.search(body)][:1]
    return found


def _judge(scene: Scene, workload: ObjectRef, pod: Object, message: str) -> Hypothesis | None:  # noqa: PLR0912
    events = scene.snapshot.events(pod, "FailedScheduling")
    if not message and events:
        message = events[-1].message
    found = reasons(message)
    if any(not cause for cause, _, _ in found):
        return None
    rank = {cause: rank for _, cause, rank in _REASONS}
    found = _told_apart(scene, pod, found)
    proof = [_status(pod, message), *(of_event(e) for e in events[-1:])]
    target = workload_ref(scene, workload)
    affected = {*scene.around(workload), bare(workload)}
    facts: dict[str, Any] = {"workload": target.as_json(), "message": message[:500]}
    if resource := re.search(r"Insufficient ([\w.\-/]+)", message):
        facts["resource"] = resource[1].rstrip(".")
    if not found:
        return Hypothesis("Unschedulable", target, 0.6, f"No node takes pod: {message[:200]}", proof, facts, affected)
    cause, _, words = min(found, key=lambda f: (rank.get(f[0], 9), -f[1]))
    about, strength, explanation = target, 0.9, f"No node takes pod {r.text(pod, 'metadata', 'name')}: {words}."
    closed = _fitting_but_cordoned(scene, pod) if cause in ("NodeSelectorMismatch", "NodeCordoned") else None
    if closed is None and cause == "NodeCordoned":
        closed = _cordoned_by_others(scene)
    if closed is not None:
        if not closed:
            return None  # it was ReCiSt itself, or the nodes are ill
        cause, about = "NodeCordoned", ObjectRef("Node", "", closed[0])
        facts |= {"node": closed[0], "nodes": closed}
        explanation += f" {', '.join(closed)} {'is' if len(closed) == 1 else 'are'} cordoned."
        proof += _who_cordoned(scene, closed)
    elif cause == "NodeSelectorMismatch":
        cause, explanation = _placement(scene, pod, facts, explanation)
    elif cause in ("InsufficientCPU", "InsufficientMemory"):
        explanation += _capacity(scene, pod, "cpu" if cause == "InsufficientCPU" else "memory", facts)
    elif cause == "UntoleratedTaint":
        node, taint = _tainted(scene, words)
        if taint.startswith(_NODE_TROUBLE):
            return None  # the node itself is ill: analyzers.nodes
        facts |= {"taint": taint, "node": node}
        if node and not _tolerated_before(scene, workload, taint):
            about = ObjectRef("Node", "", node)
        explanation += f" Taint: {taint}." if taint else ""
    elif cause == "PodAntiAffinityConflict":
        facts["suggested_replicas"] = max(1, scene.ready_pods(workload))
    found_here = Hypothesis(cause, about, strength, explanation, proof, facts, affected)
    _brought_by_rollout(scene, workload, found_here)
    return found_here


def _told_apart(scene: Scene, pod: Object, found: list[tuple[str, int, str]]) -> list[tuple[str, int, str]]:
    """Without what is as it should be: taints of control planes, and nodes that the pod does not ask for anyway."""
    found = [f for f in found if not _expected_taint(f)] or found
    if len(found) > 1 and nodes_asked_for(r.mapping(pod, "spec"), scene.snapshot.of_kind("Node")):
        # there are nodes such as it asks for: what the scheduler says of those is the reason
        found = [f for f in found if f[0] != "NodeSelectorMismatch"] or found
    return found


def _fitting_but_cordoned(scene: Scene, pod: Object) -> list[str] | None:
    """The nodes the pod asks for, where every one of them is cordoned; None: it asks for none, or for others as well.

    Those that ReCiSt cordoned are not named: an empty list if it was all of them.
    """
    spec = r.mapping(pod, "spec")
    wanted = nodes_asked_for(spec, scene.snapshot.of_kind("Node"))
    if wanted is None or not wanted or any(r.at(n, "spec", "unschedulable") is not True for n in wanted):
        return None
    return [r.text(n, "metadata", "name") for n in wanted if not r.text(n, "metadata", "annotations", _OUR_CORDON)]


def _who_cordoned(scene: Scene, nodes: list[str]) -> list[Evidence]:
    found = []
    for name in nodes[:3]:
        when, who = last_change(scene.snapshot.get("Node", "", name) or {}, fields="f:unschedulable")
        ref = ObjectRef("Node", "", name)
        text = "spec.unschedulable: true" + (f", set by {who}" if who else "")
        found.append(evidence("change", f"Node {name} is cordoned", text, obj=ref, at=when))
    return found


def _cordoned_by_others(scene: Scene) -> list[str] | None:
    """Nodes that people cordoned, empty where it was ReCiSt itself or nodes are ill; None where none is cordoned."""
    nodes = scene.snapshot.of_kind("Node")
    cordoned = [n for n in nodes if r.at(n, "spec", "unschedulable") is True]
    theirs = [r.text(n, "metadata", "name") for n in cordoned if not r.text(n, "metadata", "annotations", _OUR_CORDON)]
    ill = any(r.condition(n, "Ready").get("status") in ("False", "Unknown") for n in nodes)
    return theirs if theirs or cordoned or ill else None


def _brought_by_rollout(scene: Scene, workload: ObjectRef, found: Hypothesis) -> None:
    past = scene.history(workload)
    if past is None or past.good is None:
        return
    relevant = past.changed("affinity", "nodeSelector", "resources", "tolerations", "topologySpread")
    if relevant:
        found.facts |= past.facts()
        found.evidence += change_evidence(past, relevant)
        found.strength = 0.95
        found.explanation += f" Revision {past.current.number} changed {relevant[0].path}."


def _status(pod: Object, message: str) -> Evidence:
    ref = bare(ObjectRef.of(pod, "Pod"))
    return evidence("status", f"Pod {ref.name} is not scheduled", message, obj=ref)


def _expected_taint(found: tuple[str, int, str]) -> bool:
    """Control-plane nodes keep ordinary pods away: that is as it should be."""
    return found[0] == "UntoleratedTaint" and any(key in found[2] for key in _CONTROL_PLANE)


def _placement(scene: Scene, pod: Object, facts: dict[str, Any], explanation: str) -> tuple[str, str]:
    selector = r.labels(pod, "spec", "nodeSelector")
    has_affinity = bool(
        r.mapping(pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    )
    nodes = [r.labels(n, "metadata", "labels") for n in scene.snapshot.of_kind("Node")]
    if selector and (not has_affinity or not nodes or not any(selector.items() <= n.items() for n in nodes)):
        facts["node_selector"] = selector
        facts["requested"] = selector
        missing = [f"{k}={v}" for k, v in selector.items() if nodes and not any(n.get(k) == v for n in nodes)]
        return (
            "NodeSelectorMismatch",
            f"{explanation} It asks for {', '.join(missing or [f'{k}={v}' for k, v in selector.items()])}.",
        )
    if has_affinity:
        terms = r.at(pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
        facts["requested"] = terms
        return "NodeAffinityMismatch", explanation
    return "NodeSelectorMismatch", explanation


def _capacity(scene: Scene, pod: Object, resource: str, facts: dict[str, Any]) -> str:
    requests = {
        r.text(c, "name"): r.quantity(r.at(c, "resources", "requests", resource)) or 0.0
        for c in r.dicts(pod, "spec", "containers")
    }
    wanted = sum(requests.values())
    nodes = [r.quantity(r.at(n, "status", "allocatable", resource)) or 0.0 for n in scene.snapshot.of_kind("Node")]
    show = r.as_cpu if resource == "cpu" else r.as_memory
    facts |= {
        "resource": resource,
        "requested": wanted,
        "container": max(((value, name) for name, value in requests.items()), default=(0.0, ""))[1],
    }
    if not nodes:
        return f" It requests {show(wanted)}."
    largest = max(nodes)
    facts["largest_allocatable"] = largest
    if wanted > largest:
        return f" It requests {show(wanted)}, more than the largest node has ({show(largest)})."
    return f" It requests {show(wanted)}; the nodes are full."


def _tainted(scene: Scene, words: str) -> tuple[str, str]:
    """(node, taint) the message is about; without a taint in the message the nodes tell."""
    named = _TAINT.search(words)
    for node in scene.snapshot.of_kind("Node"):
        for taint in r.dicts(node, "spec", "taints"):
            key, value = r.text(taint, "key"), r.text(taint, "value")
            if (
                (named and named["key"].strip() != key)
                or key.startswith(_CONTROL_PLANE)
                or key == "node.kubernetes.io/unschedulable"
            ):
                continue
            if r.text(taint, "effect") in ("NoSchedule", "NoExecute"):
                shown = f"{key}={value}" if value else key
                return r.text(node, "metadata", "name"), f"{shown}:{r.text(taint, 'effect')}"
    return "", f"{named['key'].strip()}: {named['value'].strip()}" if named else ""


def _tolerated_before(scene: Scene, workload: ObjectRef, taint: str) -> bool:
    past = scene.history(workload)
    return past is not None and bool(past.changed("tolerations")) and bool(taint)
