"""The control plane and kube-proxy: nobody schedules, nobody keeps what is wanted, nobody routes to Services."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from healing.diagnosis import reading as r
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence
from healing.diagnosis.reading import Object
from healing.diagnosis.revisions import last_change
from healing.diagnosis.scene import Scene, is_over, is_ready, node_of
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

_SYSTEM = "kube-system"
#: So long a component may take; also what a Lease may lie back.
_PATIENCE = timedelta(seconds=60)


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """SchedulerDown, ControllerManagerDown, KubeProxyDown."""
    yield from _scheduler(scene)
    yield from _controller_manager(scene)
    yield from _proxy(scene)


def _scheduler(scene: Scene) -> Iterator[Hypothesis]:
    """Pods that the scheduler has not said a word about."""
    silent = [pod for pods in scene.pods.values() for pod in pods if _is_unseen(scene, pod)]
    mine = [p for p in silent if r.text(p, "spec", "schedulerName") in ("", "default-scheduler")]
    ill = _ill(scene, "kube-scheduler")
    if ill is None and not mine:
        return
    if ill is None or not (mine or ill[1]):
        about, proof = ObjectRef("Pod", _SYSTEM, "kube-scheduler"), []
        strength = 0.8 if len(mine) > 1 else 0.7
    else:
        about, proof = ill[0], ill[1]
        strength = 0.95 if mine else 0.85
    names = [r.text(p, "metadata", "name") for p in mine]
    words = "kube-scheduler does not act"
    words += f": {len(mine)} pods wait for a node, and nobody has said why ({', '.join(names[:3])})." if mine else "."
    proof += [
        evidence("status", f"Pod {r.text(p, 'metadata', 'name')} is Pending, without a word from the scheduler", "",
                 obj=bare(ObjectRef.of(p, "Pod")))
        for p in mine[:3]
    ]  # fmt: skip
    affected = {bare(scene.snapshot.workload_of(p)) for p in mine} | {bare(ObjectRef.of(p, "Pod")) for p in mine}
    facts = {"component": "kube-scheduler", "node": _node(scene, about), "pods": names[:20]}
    yield Hypothesis("SchedulerDown", about, strength, words, proof, facts, affected=affected)


def _is_unseen(scene: Scene, pod: Object) -> bool:
    if r.text(pod, "status", "phase") not in ("Pending", "") or node_of(pod) or r.dicts(pod, "spec", "schedulingGates"):
        return False
    created = r.moment(pod, "metadata", "creationTimestamp")
    if created is None or scene.now - created < _PATIENCE:
        return False
    return not r.condition(pod, "PodScheduled") and not scene.snapshot.events(pod, "FailedScheduling", "Scheduled")


def _controller_manager(scene: Scene) -> Iterator[Hypothesis]:
    """Workloads whose last change nobody has looked at."""
    waiting = [w for w in scene.snapshot.workloads() if _is_unobserved(scene, w)]
    ill = _ill(scene, "kube-controller-manager")
    if ill is None and len(waiting) < 2:
        return
    about, proof = ill if ill is not None else (ObjectRef("Pod", _SYSTEM, "kube-controller-manager"), [])
    strength = (0.95 if waiting else 0.85) if ill is not None else 0.7
    refs = [bare(ObjectRef.of(w)) for w in waiting]
    words = "kube-controller-manager does not act"
    words += f": nobody has seen the last change of {', '.join(ref.name for ref in refs[:4])}." if refs else "."
    proof = [
        *proof,
        *(
            evidence("status", f"{ref.kind} {ref.name} is not observed", _generations(w), obj=ref)
            for ref, w in zip(refs[:3], waiting, strict=False)
        ),
    ]
    affected = {*refs, *(near for ref in refs for near in scene.around(ref))}
    facts = {
        "component": "kube-controller-manager",
        "node": _node(scene, about),
        "workloads": [x.as_json() for x in refs],
    }
    yield Hypothesis("ControllerManagerDown", about, strength, words, proof, facts, affected=affected)


def _is_unobserved(scene: Scene, workload: Object) -> bool:
    if workload.get("kind") not in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"):
        return False
    generation = r.number(workload, "metadata", "generation")
    seen = r.number(workload, "status", "observedGeneration")
    when, _ = last_change(workload, fields="f:spec")
    is_old = when is not None and scene.now - when > _PATIENCE
    return bool(generation and "status" in workload and seen < generation and is_old)


def _generations(workload: Object) -> str:
    seen, wanted = r.number(workload, "status", "observedGeneration"), r.number(workload, "metadata", "generation")
    return f"observed generation {seen} of {wanted}"


def _ill(scene: Scene, component: str) -> tuple[ObjectRef, list[Evidence]] | None:
    """(pod or Lease, evidence) where the component does not run: no other of its replicas does."""
    pods = [p for p in _component_pods(scene, component) if not is_over(p)]
    bad = [p for p in pods if not is_ready(p)]
    if pods and len(bad) == len(pods):
        ref = ObjectRef.of(bad[0], "Pod")
        said = r.text(r.condition(bad[0], "Ready"), "message") or r.text(bad[0], "status", "phase")
        return ref, [evidence("status", f"Pod {ref.name} is not ready", said, obj=bare(ref))]
    lease = scene.snapshot.get("Lease", _SYSTEM, component)
    if lease is None:
        return None
    renewed = r.moment(lease, "spec", "renewTime")
    if renewed is None or scene.now - renewed <= _PATIENCE or not _others_renew(scene, component):
        return None
    ref = ObjectRef.of(lease, "Lease")
    silent = f"last renewed {r.iso(renewed)}, {(scene.now - renewed).total_seconds():.0f} s ago"
    proof = [evidence("status", f"Lease {ref.name} is not renewed", silent, obj=bare(ref), at=renewed)]
    return (ObjectRef.of(pods[0], "Pod") if pods else ref), proof


def _others_renew(scene: Scene, component: str) -> bool:
    """Whether another Lease was renewed lately: then the snapshot's clock is right, and this one is behind."""
    leases = [x for x in scene.snapshot.of_kind("Lease") if r.text(x, "metadata", "name") != component]
    times = [t for x in leases if (t := r.moment(x, "spec", "renewTime")) is not None]
    return not leases or any(scene.now - t <= _PATIENCE for t in times)


def _component_pods(scene: Scene, component: str) -> list[Object]:
    return [
        p
        for p in scene.snapshot.of_kind("Pod", _SYSTEM)
        if r.text(p, "metadata", "labels", "component") == component
        or r.text(p, "metadata", "labels", "k8s-app") == component
        or r.text(p, "metadata", "name").startswith(f"{component}-")
    ]


def _node(scene: Scene, about: ObjectRef) -> str:
    return node_of(scene.snapshot.find(bare(about)) or {})


def _proxy(scene: Scene) -> Iterator[Hypothesis]:
    pods = [p for p in _component_pods(scene, "kube-proxy") if not is_over(p)]
    ill_nodes = {
        r.text(n, "metadata", "name")
        for n in scene.snapshot.of_kind("Node")
        if r.condition(n, "Ready").get("status") in ("False", "Unknown")
    }
    bad = [p for p in pods if not is_ready(p) and node_of(p) not in ill_nodes and _is_lasting(scene, p)]
    workloads = {bare(scene.snapshot.workload_of(p)) for p in pods}
    missing = _nodes_without(scene, pods, ill_nodes)
    nodes = sorted({*(node_of(p) for p in bad), *missing} - {""})
    if not nodes:
        return
    everywhere = len(nodes) > 1 and len(nodes) * 2 > len(pods) + len(missing)
    daemonset = next((w for w in sorted(workloads) if w.kind == "DaemonSet"), None)
    about = daemonset if everywhere and daemonset is not None else ObjectRef("Node", "", nodes[0])
    proof = [
        evidence("status", f"Pod {r.text(p, 'metadata', 'name')} on {node_of(p)} is not ready",
                 r.text(r.condition(p, "Ready"), "message"), obj=bare(ObjectRef.of(p, "Pod")))
        for p in bad[:3]
    ]  # fmt: skip
    proof += [
        evidence("status", f"No kube-proxy on node {n}", "", obj=ObjectRef("Node", "", n)) for n in sorted(missing)[:3]
    ]
    on_them = [p for p in scene.snapshot.of_kind("Pod") if node_of(p) in nodes]
    affected = {bare(scene.snapshot.workload_of(p)) for p in on_them} | {bare(ObjectRef.of(p, "Pod")) for p in on_them}
    words = f"kube-proxy does not run on {', '.join(nodes[:4])}: Services cannot be reached from there."
    facts = {"node": nodes[0], "nodes": nodes}
    yield Hypothesis("KubeProxyDown", about, 0.92, words, proof, facts, affected={*affected, *workloads})


def _nodes_without(scene: Scene, pods: list[Object], ill: set[str]) -> set[str]:
    """Ready nodes on which others of its pods' siblings have one."""
    if not pods:
        return set()
    have = {node_of(p) for p in pods}
    nodes = {r.text(n, "metadata", "name") for n in scene.snapshot.of_kind("Node") if not r.dicts(n, "spec", "taints")}
    return nodes - have - ill if len(have) >= 1 else set()


def _is_lasting(scene: Scene, pod: Object) -> bool:
    since = r.moment(r.condition(pod, "Ready"), "lastTransitionTime")
    return since is None or (scene.now - since).total_seconds() >= 15
