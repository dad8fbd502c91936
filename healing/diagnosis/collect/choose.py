"""Which logs and neighbours are worth reading for a target."""

from __future__ import annotations

import re
from collections.abc import Iterable

from healing.diagnosis import reading as r
from healing.diagnosis.calls import is_cluster_name
from healing.diagnosis.hypothesis import bare
from healing.diagnosis.scene import Container, Scene, containers_of, is_ready, node_of
from healing.diagnosis.snapshot import LogKey
from healing.ports.cluster import ObjectRef

_PODS_OF_TARGET, _PODS_OF_OTHERS, _MOST_OTHERS = 3, 2, 5
MOST_LOGS = 24
_MOST_NODES = 30
_WEBHOOK = re.compile(r"failed calling webhook[^\n]*?https?://[\w\-]+\.([\w\-]+)\.svc")


def logs(scene: Scene, target: ObjectRef) -> list[LogKey]:
    """Containers' logs in the order of what they may tell: the target's, those it calls, those that call it, others in
    trouble. Failing pods come before healthy ones."""
    own = scene.calls.backends.get(target, set()) if target.kind == "Service" else {target}
    groups: list[tuple[Iterable[ObjectRef], int]] = [(sorted(own), _PODS_OF_TARGET)]
    called = {c for w in own for c in _callees(scene, w)} - own
    groups.append((sorted(called), _PODS_OF_OTHERS))
    calling = {c for w in own for c in scene.calls.callers_of(w)}
    calling |= scene.calls.callers(target) if target.kind == "Service" else set()
    groups.append((sorted(calling - called - own)[:_MOST_OTHERS], 1))
    groups.append((sorted(scene.troubled)[:_MOST_OTHERS], 1))
    if target.kind == "Node":
        groups = [
            (sorted(w for w, pods in scene.pods.items() if any(_on(p, target.name) for p in pods))[:_MOST_OTHERS], 1)
        ]
    keys: dict[LogKey, None] = {}
    for workloads, pods_each in groups:
        for workload in workloads:
            pods = sorted(scene.pods.get(workload, ()), key=lambda p: (is_ready(p), r.text(p, "metadata", "name")))
            for pod in pods[:pods_each]:
                for container in containers_of(pod):
                    keys.update(dict.fromkeys(_of(container)))
    return list(keys)[:MOST_LOGS]


def _of(container: Container) -> list[LogKey]:
    if not container.status:
        return []
    ref = ObjectRef.of(container.pod)
    key = LogKey(ref.namespace, ref.name, container.name)
    found = []
    if container.restarts:
        found.append(LogKey(ref.namespace, ref.name, container.name, previous=True))
    if container.is_running or container.ended:
        found.append(key)
    return found


def other_namespaces(scene: Scene, target: ObjectRef) -> list[str]:
    """Namespaces the target's workloads call into, and those of webhooks that the API server could not reach."""
    found = {m[1] for e in scene.snapshot.all_events() for m in _WEBHOOK.finditer(e.message)}
    found -= {target.namespace, "kube-system"}
    for workload, addresses in scene.calls.addresses.items():
        for address in addresses:
            parts = address.host.split(".")
            if len(parts) >= 2 and (is_cluster_name(address.host) or (len(parts) == 2 and not parts[1].isdigit())):
                namespace = parts[1]
                known = scene.snapshot.get("Namespace", "", namespace) is not None
                if known and namespace not in (workload.namespace, target.namespace, "kube-system"):
                    found.add(namespace)
    return sorted(found)


def pod_pattern(scene: Scene, target: ObjectRef) -> str:
    """A regular expression for the names of the target's pods, also of those that have gone."""
    if target.kind == "Service":
        names = sorted(b.name for b in scene.calls.backends.get(target, ())) or [target.name]
    else:
        names = [target.name]
    return "|".join(f"{name}(-.*)?" for name in names)


def nodes(scene: Scene, target: ObjectRef) -> str:
    """A regular expression for names and addresses of the nodes that the target, what it calls and who calls it run on,
    or are to be compared with; empty: none is known."""
    own = scene.calls.backends.get(target, set()) if target.kind == "Service" else {target}
    near = [*own, *(c for w in own for c in (*_callees(scene, w), *scene.calls.callers_of(w)))]
    wanted = [target.name] if target.kind == "Node" else [node_of(p) for w in near for p in scene.pods.get(bare(w), ())]
    wanted += [
        r.text(node, "metadata", "name") for node in scene.snapshot.of_kind("Node")
    ]  # peers, while there is room
    found: list[str] = []
    for name in list(dict.fromkeys(n for n in wanted if n))[:_MOST_NODES]:
        node = scene.snapshot.get("Node", "", name)
        found.append(name)
        found += [r.text(a, "address") for a in r.dicts(node or {}, "status", "addresses")]
    return "|".join(re.escape(n).replace("\\", "\\\\") for n in dict.fromkeys(found) if n)


def _callees(scene: Scene, workload: ObjectRef) -> set[ObjectRef]:
    seen: set[ObjectRef] = set()
    waiting = [workload]
    while waiting and len(seen) < 2 * _MOST_OTHERS:
        for callee in scene.calls.callees(waiting.pop(0)):
            if bare(callee) not in seen:
                seen.add(bare(callee))
                waiting.append(callee)
    return seen


def _on(pod: r.Object, node: str) -> bool:
    return r.text(pod, "spec", "nodeName") == node
