"""Nodes: not ready, under pressure, or the only place where pods fail."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from healing.diagnosis import reading as r
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence, of_event
from healing.diagnosis.reading import Object
from healing.diagnosis.revisions import made_from
from healing.diagnosis.scene import Scene, is_ready, node_of
from healing.ports.cluster import ObjectRef

_PRESSURES = {
    "MemoryPressure": "NodeMemoryPressure",
    "DiskPressure": "NodeDiskPressure",
    "PIDPressure": "NodePIDPressure",
    "NetworkUnavailable": "NodeNetworkUnavailable",
}
_NEWS = tuple(
    "NodeNotReady SystemOOM OOMKilling EvictionThresholdMet FreeDiskSpaceFailed ContainerGCFailed"
    " KubeletNotReady NodeHasDiskPressure NodeHasInsufficientMemory NodeHasInsufficientPID Rebooted".split()
)


_RUNTIME = re.compile(
    r"container runtime is down|PLEG is not healthy|RuntimeReady=false|runtime not ready: RuntimeReady"
    r"|container runtime status check|failed to connect to containerd|cannot connect to the Docker daemon"
    r"|(?:containerd|crio|docker|cri-dockerd)\.sock\b[^\n]*(?:refused|no such file)",
    re.IGNORECASE,
)
_NETWORK = re.compile(
    r"NetworkReady=false|NetworkPluginNotReady|cni (?:plugin|config) (?:not |un)initialized", re.IGNORECASE
)
#: conditions that node-problem-detector adds -> cause
_DETECTED = {
    "NTPProblem": "ClockSkew",
    "ContainerRuntimeUnhealthy": "ContainerRuntimeDown",
    "ContainerRuntimeProblem": "ContainerRuntimeDown",
    "FrequentContainerdRestart": "ContainerRuntimeDown",
    "FrequentDockerRestart": "ContainerRuntimeDown",
    "CorruptDockerOverlay2": "ContainerRuntimeDown",
    "KubeletUnhealthy": "NodeNotReady",
    "KubeletProblem": "NodeNotReady",
    "FrequentKubeletRestart": "NodeNotReady",
    "NetworkUnavailable": "NodeNetworkUnavailable",
    "ReadonlyFilesystem": "FaultyNode",
    "KernelDeadlock": "FaultyNode",
    "XfsShutdown": "FaultyNode",
    "GPUProblem": "FaultyNode",
}


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """NodeNotReady, ContainerRuntimeDown, the pressures, NodeNetworkUnavailable, PodNetworkSetupFailed, FaultyNode."""
    on_node: dict[str, list[Object]] = defaultdict(list)
    for pod in scene.snapshot.of_kind("Pod"):
        if node_of(pod) and r.text(pod, "status", "phase") not in ("Succeeded", "Failed"):
            on_node[node_of(pod)].append(pod)
    ill = set()
    for node in scene.snapshot.of_kind("Node"):
        for found in _conditions(scene, node, on_node[r.text(node, "metadata", "name")]):
            ill.add(found.object.name)
            yield found
        yield from _detected(scene, node)
    yield from _sandbox(scene)
    yield from _only_here(scene, on_node, ill)


def _conditions(scene: Scene, node: Object, pods: list[Object]) -> Iterator[Hypothesis]:
    ref = ObjectRef.of(node, "Node")
    affected = {bare(ObjectRef.of(pod, "Pod")) for pod in pods}
    affected |= {bare(scene.snapshot.workload_of(pod)) for pod in pods if not is_ready(pod)}
    news = [of_event(e) for e in scene.snapshot.events(ObjectRef("Node", "", ref.name), *_NEWS)[-3:]]
    ready = r.condition(node, "Ready")
    if ready and ready.get("status") in ("False", "Unknown"):
        reason, message = r.text(ready, "reason"), r.text(ready, "message")
        since = r.moment(ready, "lastTransitionTime")
        why = "its kubelet stopped posting its status" if ready.get("status") == "Unknown" else message or reason
        cause = "NodeNotReady"
        if ready.get("status") == "False" and _RUNTIME.search(message):
            cause = "ContainerRuntimeDown"
        elif ready.get("status") == "False" and _NETWORK.search(message):
            cause = "NodeNetworkUnavailable"
        yield Hypothesis(
            cause,
            ref,
            0.96,
            f"Node {ref.name} is not ready: {why}.",
            [
                evidence(
                    "status",
                    f"Node {ref.name}: Ready={ready.get('status')}",
                    f"{reason}: {message}",
                    obj=bare(ref),
                    at=since,
                ),
                *news,
            ],
            {
                "node": ref.name,
                "reason": reason,
                "message": message,
                "pods": sorted(f"{p.namespace}/{p.name}" for p in affected if p.kind == "Pod")[:50],
            },
            affected=affected,
            since=since,
        )
    for kind, cause in _PRESSURES.items():
        condition = r.condition(node, kind)
        if condition.get("status") != "True":
            continue
        since, message = r.moment(condition, "lastTransitionTime"), r.text(condition, "message")
        evicted = [
            p
            for p in scene.snapshot.of_kind("Pod")
            if node_of(p) == ref.name and r.text(p, "status", "reason") == "Evicted"
        ]
        proof = [
            evidence(
                "status",
                f"Node {ref.name}: {kind}=True",
                f"{r.text(condition, 'reason')}: {message}",
                obj=bare(ref),
                at=since,
            )
        ]
        proof += [
            evidence(
                "status",
                f"Pod {r.text(p, 'metadata', 'name')} was evicted",
                r.text(p, "status", "message"),
                obj=bare(ObjectRef.of(p, "Pod")),
            )
            for p in evicted[:3]
        ]
        yield Hypothesis(
            cause,
            ref,
            0.93,
            f"Node {ref.name} reports {kind}: {message or r.text(condition, 'reason')}."
            + (f" {len(evicted)} pods were evicted." if evicted else ""),
            [*proof, *news],
            {"node": ref.name, "pods": [r.text(p, "metadata", "name") for p in evicted][:50]},
            affected=affected | {bare(scene.snapshot.workload_of(p)) for p in evicted},
            since=since,
        )


def _detected(scene: Scene, node: Object) -> Iterator[Hypothesis]:
    """What node-problem-detector found on the node."""
    ref = ObjectRef.of(node, "Node")
    for condition in r.dicts(node, "status", "conditions"):
        kind, cause = r.text(condition, "type"), _DETECTED.get(r.text(condition, "type"), "")
        if not cause or kind in _PRESSURES or condition.get("status") != "True":
            continue
        reason, message = r.text(condition, "reason"), r.text(condition, "message")
        since = r.moment(condition, "lastTransitionTime")
        proof = [evidence("status", f"Node {ref.name}: {kind}=True", f"{reason}: {message}", obj=bare(ref), at=since)]
        on_it = {bare(ObjectRef.of(p, "Pod")) for p in scene.snapshot.of_kind("Pod") if node_of(p) == ref.name}
        words = f"Node {ref.name} reports {kind}: {message or reason}."
        yield Hypothesis(cause, ref, 0.88, words, proof, {"node": ref.name, "reason": reason}, on_it, since=since)


def _sandbox(scene: Scene) -> Iterator[Hypothesis]:
    """Pods whose network cannot be set up."""
    groups: dict[str, list[Object]] = defaultdict(list)
    messages: dict[str, str] = {}
    for pods in scene.pods.values():
        for pod in pods:
            if r.text(pod, "status", "phase") != "Pending":
                continue
            events = scene.snapshot.events(pod, "FailedCreatePodSandBox", "NetworkNotReady")
            if events and sum(e.count for e in events) >= 2:
                groups[node_of(pod)].append(pod)
                messages[node_of(pod)] = events[-1].message
    for node, pods in groups.items():
        workload = scene.snapshot.workload_of(pods[0])
        about = ObjectRef("Node", "", node) if node else workload
        proof = [of_event(e) for pod in pods[:3] for e in scene.snapshot.events(pod, "FailedCreatePodSandBox")[-1:]]
        runtime = bool(node) and _RUNTIME.search(messages[node]) is not None
        what = "cannot be started, for the container runtime does not answer" if runtime else "get no network"
        yield Hypothesis(
            "ContainerRuntimeDown" if runtime else "PodNetworkSetupFailed",
            about,
            0.86,
            f"Pods on node {node} {what}: {messages[node][:200]}",
            proof,
            {"node": node, "pods": [r.text(p, "metadata", "name") for p in pods]},
            affected={bare(ObjectRef.of(p, "Pod")) for p in pods} | {bare(scene.snapshot.workload_of(p)) for p in pods},
        )


def _only_here(scene: Scene, on_node: dict[str, list[Object]], ill: set[str]) -> Iterator[Hypothesis]:
    """Several workloads fail on one node while their siblings elsewhere are well; those of another revision prove
    nothing: what is new fails wherever the scheduler has put it."""
    good_elsewhere: dict[tuple[ObjectRef, str], set[str]] = defaultdict(set)
    bad: dict[str, set[tuple[ObjectRef, str]]] = defaultdict(set)
    for workload, pods in scene.pods.items():
        for pod in pods:
            node, alike = node_of(pod), (workload, made_from(pod))
            if node and is_ready(pod):
                good_elsewhere[alike].add(node)
            elif node and not _young(scene, pod):
                bad[node].add(alike)
    for node, groups in bad.items():
        lonely = {g[0] for g in groups if good_elsewhere[g] - {node} and node not in good_elsewhere[g]}
        fine_here = {g[0] for g in good_elsewhere if node in good_elsewhere[g]}
        if node in ill or len(lonely) < 2 or len(fine_here) > len(lonely):
            continue
        names = ", ".join(sorted(w.name for w in lonely))
        pods_here = [p for p in on_node[node] if bare(scene.snapshot.workload_of(p)) in lonely]
        yield Hypothesis(
            "FaultyNode",
            ObjectRef("Node", "", node),
            0.72 + min(0.16, 0.04 * len(lonely)),
            f"Pods of {names} fail on node {node} only; their siblings on other nodes are ready.",
            [
                evidence(
                    "status",
                    f"Pod {r.text(p, 'metadata', 'name')} on {node} is not ready",
                    r.text(r.condition(p, "Ready"), "message"),
                    obj=bare(ObjectRef.of(p, "Pod")),
                )
                for p in pods_here[:4]
            ],
            {"node": node, "pods": [r.text(p, "metadata", "name") for p in pods_here]},
            affected={bare(ObjectRef.of(p, "Pod")) for p in pods_here} | lonely,
        )


def _young(scene: Scene, pod: Object) -> bool:
    started: datetime | None = r.moment(pod, "status", "startTime")
    return started is not None and (scene.now - started).total_seconds() < 60
