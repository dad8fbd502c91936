"""Workloads as a whole: scaled to zero, stuck or paused rollouts, autoscalers, budgets, failed Jobs, missing pods."""

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


def analyze(scene: Scene) -> Iterator[Hypothesis]:  # noqa: PLR0912 - one branch a kind
    """ScaledToZero, RolloutStuck, RolloutPaused, PodsUnavailable, JobFailed, AutoscalerAtMaximum and others."""
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
        elif ref.kind == "Job":
            yield from _job(scene, workload)
    for cronjob in scene.snapshot.of_kind("CronJob"):
        jobs = sorted(scene.snapshot.owned(cronjob, "Job"), key=lambda j: r.text(j, "metadata", "creationTimestamp"))
        if jobs and scene.covers(r.text(cronjob, "metadata", "namespace")):
            yield from _job(scene, jobs[-1])
    for autoscaler in scene.snapshot.of_kind("HorizontalPodAutoscaler"):
        if scene.covers(r.text(autoscaler, "metadata", "namespace")):
            yield from _autoscaler(scene, autoscaler)
    for budget in scene.snapshot.of_kind("PodDisruptionBudget"):
        if scene.covers(r.text(budget, "metadata", "namespace")):
            yield from _budget(scene, budget)


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
        behind = past is None or past.current.pods == 0
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


def _job(scene: Scene, job: Object) -> Iterator[Hypothesis]:
    failed = r.condition(job, "Failed")
    if failed.get("status") != "True":
        return
    ref = ObjectRef.of(job, "Job")
    top = bare(scene.snapshot.workload_of(job))
    containers = [c for c in scene.containers.get(top, ()) if c.exit_code not in (0, None)]
    proof = [
        evidence(
            "status",
            f"Job {ref.name} has failed",
            f"{r.text(failed, 'reason')}: {r.text(failed, 'message')}",
            obj=bare(ref),
        )
    ]
    facts: dict[str, Any] = {"reason": r.text(failed, "reason")}
    words = f"Job {ref.name} has given up: {r.text(failed, 'message') or r.text(failed, 'reason')}."
    if containers:
        last = max(containers, key=lambda c: (c.finished_at is not None, c.finished_at or scene.now))
        lines = scene.log_evidence(last)
        proof += [status_evidence(last), *lines]
        facts |= {"exit_code": last.exit_code, "container": last.name, "error": lines[0].text[-300:] if lines else ""}
        words += f" Its container {last.name} ends with exit code {last.exit_code}."
    yield Hypothesis("JobFailed", ref, 0.86, words, proof, facts, affected={top})


def _autoscaler(scene: Scene, autoscaler: Object) -> Iterator[Hypothesis]:
    ref = ObjectRef.of(autoscaler, "HorizontalPodAutoscaler")
    target = ObjectRef(
        r.text(autoscaler, "spec", "scaleTargetRef", "kind"),
        ref.namespace,
        r.text(autoscaler, "spec", "scaleTargetRef", "name"),
    )
    limited = r.condition(autoscaler, "ScalingLimited")
    if limited.get("status") == "True" and r.text(limited, "reason") == "TooManyReplicas":
        maximum = r.number(autoscaler, "spec", "maxReplicas")
        proof = [
            evidence(
                "status",
                f"HorizontalPodAutoscaler {ref.name} is at its maximum",
                r.text(limited, "message"),
                obj=bare(ref),
            )
        ]
        yield Hypothesis(
            "AutoscalerAtMaximum",
            ref,
            0.7,
            f"HorizontalPodAutoscaler {ref.name} wants more than its maximum of {maximum} replicas.",
            proof,
            {"maximum": maximum},
            affected=scene.around(target),
        )
    active = r.condition(autoscaler, "ScalingActive")
    since = r.moment(active, "lastTransitionTime")
    if (
        active.get("status") == "False"
        and r.text(active, "reason").startswith("FailedGet")
        and not recent(since, scene.now, timedelta(minutes=2))
    ):
        proof = [
            evidence(
                "status",
                f"HorizontalPodAutoscaler {ref.name} gets no metrics",
                r.text(active, "message"),
                obj=bare(ref),
            )
        ]
        yield Hypothesis(
            "AutoscalerNoMetrics",
            ref,
            0.55,
            f"HorizontalPodAutoscaler {ref.name} gets no metrics: {r.text(active, 'message')[:200]}",
            proof,
        )


def _budget(scene: Scene, budget: Object) -> Iterator[Hypothesis]:
    """Only where a drain is under way: a budget of zero by itself is a decision, not a fault."""
    if r.at(budget, "status", "disruptionsAllowed") != 0 or r.number(budget, "status", "expectedPods") == 0:
        return
    ref = ObjectRef.of(budget, "PodDisruptionBudget")
    selector = r.labels(budget, "spec", "selector", "matchLabels")
    cordoned = {
        r.text(n, "metadata", "name")
        for n in scene.snapshot.of_kind("Node")
        if r.at(n, "spec", "unschedulable") is True
    }
    held = [
        p
        for p in scene.snapshot.of_kind("Pod", ref.namespace)
        if selector
        and selector.items() <= r.labels(p, "metadata", "labels").items()
        and r.text(p, "spec", "nodeName") in cordoned
    ]
    if held and all(is_ready(p) for p in held):
        node = r.text(held[0], "spec", "nodeName")
        proof = [
            evidence(
                "status",
                f"PodDisruptionBudget {ref.name} allows no disruption",
                f"{len(held)} pods on the cordoned node {node}",
                obj=bare(ref),
            )
        ]
        yield Hypothesis(
            "DisruptionBudgetBlocksEviction",
            ref,
            0.6,
            f"PodDisruptionBudget {ref.name} keeps node {node} from being drained.",
            proof,
            {"allowed": 0, "node": node},
        )
