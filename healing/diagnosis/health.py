"""Whether a target is clearly well again, judged by its own state and by what raised the alarm."""

from __future__ import annotations

from healing.actions.labels import QUARANTINE
from healing.diagnosis import reading as r, series as s
from healing.diagnosis.analyzers import memory
from healing.diagnosis.hypothesis import bare
from healing.diagnosis.requests import served
from healing.diagnosis.scene import Scene, is_ready
from healing.policies.spec import Thresholds
from healing.ports.cluster import ObjectRef

#: Symptoms that only metrics can take back.
OF_METRICS = frozenset({"HighCpu", "HighMemory", "HighLatency", "HighErrorRate"})
#: So long nothing may have ended before a workload counts as well.
_QUIET_SECONDS = 60.0


def doubts(scene: Scene, target: ObjectRef, symptoms: frozenset[str], thresholds: Thresholds) -> list[str]:
    """Reasons not to believe that the target is well; empty: it clearly is."""
    found = _state(scene, bare(target))
    if symptoms & OF_METRICS:
        found += _metrics(scene, bare(target), symptoms, thresholds)
    return found


def _state(scene: Scene, target: ObjectRef) -> list[str]:
    obj = scene.snapshot.find(target)
    if obj is None:
        return [f"{target} is not there"]
    if target.kind == "Node":
        ready = r.condition(obj, "Ready").get("status") == "True"
        return (
            [] if ready and r.at(obj, "spec", "unschedulable") is not True else [f"{target} is not ready or cordoned"]
        )
    if target.kind == "Service":
        backends = scene.calls.backends.get(target, set())
        if not any(scene.ready_pods(b) for b in backends):
            return [f"{target} has no ready pod"]
        return [doubt for backend in backends for doubt in _state(scene, backend)]
    if target.kind == "Job":
        return [] if r.condition(obj, "Complete").get("status") == "True" else [f"{target} is not complete"]
    found = []
    wanted = r.number(obj, "spec", "replicas", default=1)
    if target.kind == "DaemonSet":
        wanted = r.number(obj, "status", "desiredNumberScheduled")
    pods = scene.pods.get(target, [])
    ready_pods = [p for p in pods if is_ready(p)]
    if not wanted or len(ready_pods) < wanted or len(ready_pods) < len(pods):
        found.append(f"{len(ready_pods)} of {wanted} pods of {target.name} are ready")
    if r.number(obj, "status", "observedGeneration") < r.number(obj, "metadata", "generation"):
        found.append(f"the controller has not seen the last change of {target.name}")
    # A number of zero is left out of the status.
    if target.kind == "Deployment" and r.number(obj, "status", "updatedReplicas") < wanted:
        found.append(f"the rollout of {target.name} is not complete")
    if any(QUARANTINE in r.mapping(p, "metadata", "labels") for p in pods):
        found.append(f"a pod of {target.name} is still isolated")
    for container in scene.containers.get(target, ()):
        ended = container.finished_at
        if ended is not None and container.exit_code != 0 and (scene.now - ended).total_seconds() < _QUIET_SECONDS:
            found.append(f"container {container.name} ended moments ago")
            break
    return found


def _metrics(scene: Scene, target: ObjectRef, symptoms: frozenset[str], thresholds: Thresholds) -> list[str]:
    found = []
    backends = scene.calls.backends.get(target, set()) if target.kind == "Service" else {target}
    for workload in backends:
        requests = served(scene).get(workload)
        if "HighLatency" in symptoms and thresholds.latency_ms is not None:
            found += _below("latency", s.latest(requests.latency) if requests else None, thresholds.latency_ms / 2000)
        if "HighErrorRate" in symptoms and thresholds.error_rate is not None:
            now = s.latest(requests.error_fraction) if requests and requests.error_fraction else None
            now = 0.0 if now is None and requests and requests.rate else now
            found += _below("error rate", now, thresholds.error_rate)
        if "HighMemory" in symptoms and thresholds.memory is not None:
            found += _below("memory", _memory_fraction(scene, workload), thresholds.memory)
        if "HighCpu" in symptoms:
            found.append("nothing shows that the CPU use is low again")
    return found or ([] if backends else ["nothing is known of its metrics"])


def _below(what: str, now: float | None, threshold: float) -> list[str]:
    if now is None:
        return [f"nothing is known of its {what}"]
    return [f"its {what} is still high"] if now > threshold else []


def _memory_fraction(scene: Scene, workload: ObjectRef) -> float | None:
    fractions = []
    for container in scene.containers.get(workload, ()):
        limit = r.quantity(r.at(container.spec, "resources", "limits", "memory"))
        now = s.latest(memory.memory_of(scene, container))
        if limit and now is not None:
            fractions.append(now / limit)
    return max(fractions, default=None)
