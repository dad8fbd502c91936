"""Workloads as a whole: scaled to zero, stuck or paused rollouts, missing pods."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from healing.diagnosis import reading as r
from healing.diagnosis.analyzers.common import change_evidence, status_evidence
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence, of_event
from healing.diagnosis.reading import Object
from healing.diagnosis.revisions import last_change
from healing.diagnosis.scene import Scene, is_ready
from healing.diagnosis.snapshot import recent
from healing.ports.cluster import ObjectRef

#: set by ReCiSt's own containment; a pause of ours is no cause
_OUR_PAUSE = "recist.io/paused-by"
_ZERO_IS_FINE = ("scaledobject.keda.sh", "serving.knative.dev", "autoscaling.keda.sh")


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """ScaledToZero, RolloutStuck, RolloutPaused, PodsUnavailable."""
    for workload in scene.snapshot.workloads():
        ref = ObjectRef.of(workload)
        if not scene.covers(ref.namespace):
            continue
        if ref.kind in ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"):
            if r.at(workload, "spec", "replicas") == 0:
                yield from _zero(scene, workload)
            else:
                yield from _unavailable(scene, workload)
        elif ref.kind == "DaemonSet":
            yield from _unavailable(scene, workload)


def _zero(scene: Scene, workload: Object) -> Iterator[Hypothesis]:
    ref = ObjectRef.of(workload)
    marks = {*r.mapping(workload, "metadata", "annotations"), *r.mapping(workload, "metadata", "labels")}
    if any(mark.startswith(prefix) for mark in marks for prefix in _ZERO_IS_FINE):
        return
    callers = sorted(c for c in scene.calls.callers_of(bare(ref)) if scene.pods.get(c))
    services = scene.services_of(ref)
    routed = any(
        bare(ObjectRef("Service", ref.namespace, r.text(path, "backend", "service", "name"))) in services
        for ingress in scene.snapshot.of_kind("Ingress", ref.namespace)
        for rule in r.dicts(ingress, "spec", "rules")
        for path in r.dicts(rule, "http", "paths")
    )
    downs = [
        e
        for e in scene.snapshot.events(workload, "ScalingReplicaSet", "SuccessfulDelete")
        if "Scaled down" in e.message and " to 0" in e.message
    ]
    lately = [e for e in downs if recent(e.last, scene.now, timedelta(hours=1))]
    replaced = _replaced(scene, workload)
    wanted = scene.target in (bare(ref), *services)
    if replaced or not (callers or routed or wanted or (lately and services)):
        return
    strength = 0.94 if callers and lately else 0.88 if callers or routed or wanted else 0.6
    when, who = last_change(workload, fields="f:spec")
    before = max((int(n) for e in downs if (n := _from_count(e.message))), default=1)
    facts: dict[str, Any] = {"replicas": 0, "suggested_replicas": before, "callers": [c.as_json() for c in callers]}
    words = f"{ref.kind} {ref.name} is scaled to zero"
    words += (
        f", and {', '.join(c.name for c in callers)} call{'s' if len(callers) == 1 else ''} it." if callers else "."
    )
    proof = [
        evidence(
            "spec",
            f"{ref.kind} {ref.name}: replicas 0",
            f"last changed by {who}" if who else "",
            obj=bare(ref),
            at=when,
        )
    ]
    proof += [of_event(e) for e in downs[-1:]]
    yield Hypothesis("ScaledToZero", ref, strength, words, proof, facts, affected=scene.around(ref), since=when)


def _from_count(message: str) -> str:
    """Scaled down replica set web-1 from 3 to 0"""
    _, _, rest = message.partition(" from ")
    number = rest.split(" ", 1)[0]
    return number if number.isdigit() else ""


def _replaced(scene: Scene, workload: Object) -> bool:
    """Another workload stands behind the same Services: blue/green."""
    ref = bare(ObjectRef.of(workload))
    services = scene.services_of(ref)
    others = {b for s in services for b in scene.calls.backends.get(s, ()) if b != ref}
    return any(scene.ready_pods(other) for other in others)


def _unavailable(scene: Scene, workload: Object) -> Iterator[Hypothesis]:
    ref = ObjectRef.of(workload)
    past = scene.history(ref)
    progressing = r.condition(workload, "Progressing")
    facts: dict[str, Any] = past.facts() if past is not None and past.good is not None else {}
    if r.at(workload, "spec", "paused") is True and not r.text(workload, "metadata", "annotations", _OUR_PAUSE):
        # No ReplicaSet is made for a template that comes while it is paused: then the newest one is not its own.
        behind = past is None or past.current.pods == 0 or r.number(workload, "status", "updatedReplicas") == 0
        if (
            behind
            and r.text(progressing, "reason") == "DeploymentPaused"
            and r.number(workload, "status", "updatedReplicas") < r.number(workload, "spec", "replicas", default=1)
        ):
            proof = [
                evidence("spec", f"{ref.kind} {ref.name} is paused", r.text(progressing, "message"), obj=bare(ref))
            ]
            yield Hypothesis(
                "RolloutPaused", ref, 0.6, f"The rollout of {ref.name} is paused before it is complete.", proof, facts
            )
    if progressing.get("status") == "False" and r.text(progressing, "reason") == "ProgressDeadlineExceeded":
        proof = [
            evidence(
                "status",
                f"{ref.kind} {ref.name}: ProgressDeadlineExceeded",
                r.text(progressing, "message"),
                obj=bare(ref),
            )
        ]
        if past is not None:
            proof += change_evidence(past)
        number = f"of revision {past.current.number} " if past is not None and past.current.number else ""
        yield Hypothesis(
            "RolloutStuck",
            ref,
            0.6,
            f"The rollout {number}of {ref.name} makes no progress.",
            proof,
            facts,
            affected=scene.around(ref),
        )
    wanted = r.number(workload, "spec", "replicas", default=1)
    if ref.kind == "DaemonSet":
        wanted = r.number(workload, "status", "desiredNumberScheduled")
    pods = scene.pods.get(bare(ref), [])
    unready = [p for p in pods if not is_ready(p)]
    if len(pods) - len(unready) >= wanted or not unready or not any(_lasting(scene, p) for p in unready):
        return
    worst = next(p for p in unready if _lasting(scene, p))
    containers = [c for c in scene.containers.get(bare(ref), ()) if c.pod is worst and not c.is_ready]
    proof = [status_evidence(c) for c in containers[:2]]
    proof += [of_event(e) for e in scene.snapshot.events(worst) if e.type == "Warning"][-2:]
    yield Hypothesis(
        "PodsUnavailable",
        ref,
        0.45,
        f"{len(pods) - len(unready)} of {wanted} pods of {ref.kind} {ref.name} are ready.",
        proof
        or [
            evidence(
                "status",
                f"Pod {r.text(worst, 'metadata', 'name')} is not ready",
                r.text(r.condition(worst, "Ready"), "message"),
                obj=bare(ObjectRef.of(worst, "Pod")),
            )
        ],
        facts | {"ready": len(pods) - len(unready), "wanted": wanted},
        affected=scene.around(ref),
    )


def _lasting(scene: Scene, pod: Object) -> bool:
    """Not ready for longer than a start takes."""
    since = r.moment(r.condition(pod, "Ready"), "lastTransitionTime") or r.moment(pod, "metadata", "creationTimestamp")
    return since is None or (scene.now - since).total_seconds() >= 60
