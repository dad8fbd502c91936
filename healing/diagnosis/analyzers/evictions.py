"""Pods that the kubelet put out: for what they wrote themselves, or for what the node lacked."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from healing.diagnosis import reading as r
from healing.diagnosis.analyzers.common import workload_ref
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence, of_event
from healing.diagnosis.reading import Object
from healing.diagnosis.scene import Scene, node_of
from healing.diagnosis.snapshot import recent
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

_LATELY = timedelta(minutes=30)
_OWN_DISK = re.compile(
    r"ephemeral local storage usage exceeds|exceeded its local ephemeral storage limit|Usage of EmptyDir volume"
    r" \"(?P<volume>[^\"]+)\" exceeds",
    re.IGNORECASE,
)
_LOW = re.compile(r"low on resource: (?P<what>[\w\-]+)|The node had condition: \[(?P<condition>\w+)\]", re.IGNORECASE)
_CAUSE = {
    "memory": "NodeMemoryPressure",
    "memorypressure": "NodeMemoryPressure",
    "ephemeral-storage": "NodeDiskPressure",
    "inodes": "NodeDiskPressure",
    "diskpressure": "NodeDiskPressure",
    "pids": "NodePIDPressure",
    "pidpressure": "NodePIDPressure",
}


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """DiskFull of a pod's own storage; the pressure of a node that has passed by now."""
    own: dict[ObjectRef, list[Object]] = defaultdict(list)
    by_node: dict[tuple[str, str], list[Object]] = defaultdict(list)
    for pod in scene.snapshot.of_kind("Pod"):
        if r.text(pod, "status", "reason") != "Evicted" or not scene.covers(r.text(pod, "metadata", "namespace")):
            continue
        if not recent(_when(scene, pod), scene.now, _LATELY):
            continue
        message = r.text(pod, "status", "message")
        low = _LOW.search(message)
        if _OWN_DISK.search(message):
            own[bare(scene.snapshot.workload_of(pod))].append(pod)
        elif low and node_of(pod):
            cause = _CAUSE.get((low["what"] or low["condition"]).lower())
            if cause:
                by_node[cause, node_of(pod)].append(pod)
    for workload, pods in own.items():
        yield _own_disk(scene, workload, pods)
    for (cause, node), pods in by_node.items():
        names = ", ".join(r.text(p, "metadata", "name") for p in pods[:3])
        about = ObjectRef("Node", "", node)
        said = r.text(pods[0], "status", "message")
        yield Hypothesis(
            cause,
            about,
            0.86,
            f"Node {node} put out {names}: {said[:200]}",
            [_evidence(p) for p in pods[:3]],
            {"node": node, "pods": [r.text(p, "metadata", "name") for p in pods][:50]},
            affected={bare(scene.snapshot.workload_of(p)) for p in pods},
        )


def _when(scene: Scene, pod: Object) -> datetime | None:
    events = scene.snapshot.events(pod, "Evicted")
    if events:
        return events[-1].last
    times = [t for c in r.dicts(pod, "status", "conditions") if (t := r.moment(c, "lastTransitionTime")) is not None]
    return max(times, default=None) or r.moment(pod, "metadata", "creationTimestamp")


def _own_disk(scene: Scene, workload: ObjectRef, pods: list[Object]) -> Hypothesis:
    message = r.text(pods[-1], "status", "message")
    found = _OWN_DISK.search(message)
    return Hypothesis(
        "DiskFull",
        workload_ref(scene, workload),
        0.92,
        f"{len(pods)} pods of {workload.kind} {workload.name} were put out for what they wrote: {message[:200]}",
        [_evidence(p) for p in pods[:3]] + [of_event(e) for e in scene.snapshot.events(pods[-1], "Evicted")[-1:]],
        {"volume": (found["volume"] or "") if found else "", "error": message[:300]},
        affected={*scene.around(workload), bare(workload)},
    )


def _evidence(pod: Object) -> Evidence:
    name = r.text(pod, "metadata", "name")
    return evidence(
        "status", f"Pod {name} was evicted", r.text(pod, "status", "message"), obj=bare(ObjectRef.of(pod, "Pod"))
    )
