"""Autoscalers at their maximum, without metrics, or written so that they cannot work; budgets that block a drain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from healing.diagnosis import reading as r, series as s
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence, of_event
from healing.diagnosis.reading import Object
from healing.diagnosis.requests import request_rate
from healing.diagnosis.revisions import last_change
from healing.diagnosis.scene import Scene, is_over, is_ready
from healing.diagnosis.selectors import matches
from healing.diagnosis.snapshot import recent
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

#: What the metrics API itself lacks, as opposed to one metric somebody named.
_NO_API = re.compile(
    r"(?:resource metrics API|metrics\.k8s\.io|server is currently unable|could not find the requested resource)"
    r"|unable to fetch metrics|no metrics (?:returned|known)",
    re.IGNORECASE,
)
_NO_REQUEST = re.compile(r"missing request for (?P<resource>\S+)(?: in container (?P<container>[\w\-]+))?")
_WHILE_STARTING = timedelta(minutes=2)
#: So many times the requests, and an autoscaler may well have reached an honest maximum.
_SURGE = 1.5


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """AutoscalerAtMaximum, AutoscalerNoMetrics, AutoscalerMisconfigured, DisruptionBudgetBlocksEviction."""
    for autoscaler in scene.snapshot.of_kind("HorizontalPodAutoscaler"):
        if scene.covers(r.text(autoscaler, "metadata", "namespace")):
            found = _target(scene, autoscaler) or _metrics(scene, autoscaler) or _limited(scene, autoscaler)
            if found is not None:
                yield found
    for budget in scene.snapshot.of_kind("PodDisruptionBudget"):
        if scene.covers(r.text(budget, "metadata", "namespace")):
            yield from _budget(scene, budget)


def _target(scene: Scene, autoscaler: Object) -> Hypothesis | None:
    """It scales something that does not exist, or that another autoscaler scales, too."""
    ref, target = ObjectRef.of(autoscaler, "HorizontalPodAutoscaler"), _scaled(autoscaler)
    able = r.condition(autoscaler, "AbleToScale")
    if able.get("status") == "False" and r.text(able, "reason") in ("FailedGetScale", "FailedUpdateScale"):
        return _wrong(scene, autoscaler, 0.95, f"{r.text(able, 'reason')}: {r.text(able, 'message')[:200]}", able)
    known = target.kind in ("Deployment", "StatefulSet", "ReplicaSet")
    if known and scene.snapshot.find(target) is None and scene.snapshot.knows_all(target.kind, target.namespace):
        words = f"it scales {target.kind} {target.name}, which does not exist"
        return _wrong(scene, autoscaler, 0.9, words, {})
    active = r.condition(autoscaler, "ScalingActive")
    if active.get("status") == "False" and r.text(active, "reason") == "AmbiguousSelector":
        return _wrong(scene, autoscaler, 0.93, r.text(active, "message")[:200], active)
    others = [
        other
        for other in scene.snapshot.of_kind("HorizontalPodAutoscaler", ref.namespace)
        if other is not autoscaler and _scaled(other) == target and target.name
    ]
    newer = all(
        r.text(autoscaler, "metadata", "creationTimestamp") >= r.text(o, "metadata", "creationTimestamp")
        for o in others
    )
    if others and newer:
        names = ", ".join(r.text(o, "metadata", "name") for o in others)
        return _wrong(scene, autoscaler, 0.8, f"{names} scales {target.kind} {target.name}, too", {})
    return None


def _metrics(scene: Scene, autoscaler: Object) -> Hypothesis | None:
    active = r.condition(autoscaler, "ScalingActive")
    reason, message = r.text(active, "reason"), r.text(active, "message")
    if active.get("status") != "False" or recent(r.moment(active, "lastTransitionTime"), scene.now, _WHILE_STARTING):
        return None
    ref, target = ObjectRef.of(autoscaler, "HorizontalPodAutoscaler"), _scaled(autoscaler)
    if reason in ("InvalidMetricSourceType", "InvalidSelector"):
        return _wrong(scene, autoscaler, 0.93, f"{reason}: {message[:200]}", active)
    if not reason.startswith("FailedGet"):
        return None
    lacking = _NO_REQUEST.search(message)
    if lacking:
        words = f"it scales by the use of {lacking['resource']}, of which a container of {target.name} requests nothing"
        found = _wrong(scene, autoscaler, 0.88, words, active)
        found.facts |= {"resource": lacking["resource"], "container": lacking["container"] or ""}
        return found
    if reason in ("FailedGetExternalMetric", "FailedGetObjectMetric", "FailedGetPodsMetric"):
        return _wrong(scene, autoscaler, 0.82, f"nobody offers its metric: {message[:200]}", active)
    if not scene.ready_pods(target):
        return None  # pods that do not run have no metrics: that is no fault of the autoscaler
    proof = [evidence("status", f"HorizontalPodAutoscaler {ref.name} gets no metrics", message, obj=bare(ref))]
    words = f"HorizontalPodAutoscaler {ref.name} gets no metrics: {message[:200]}"
    strength = 0.7 if _NO_API.search(message) else 0.55
    return Hypothesis("AutoscalerNoMetrics", ref, strength, words, proof, {"target": target.as_json()})


def _limited(scene: Scene, autoscaler: Object) -> Hypothesis | None:
    limited = r.condition(autoscaler, "ScalingLimited")
    if limited.get("status") != "True" or r.text(limited, "reason") != "TooManyReplicas":
        return None
    ref, target = ObjectRef.of(autoscaler, "HorizontalPodAutoscaler"), _scaled(autoscaler)
    maximum, minimum = (
        r.number(autoscaler, "spec", "maxReplicas"),
        r.number(autoscaler, "spec", "minReplicas", default=1),
    )
    message = r.text(limited, "message")
    proof = [evidence("status", f"HorizontalPodAutoscaler {ref.name} is at its maximum", message, obj=bare(ref))]
    affected = scene.around(target) | {target}
    before = _maximum_before(scene, autoscaler)
    when, who = last_change(autoscaler, fields="f:spec")
    created = r.moment(autoscaler, "metadata", "creationTimestamp")
    is_changed = (
        when is not None and created is not None and when > created and recent(when, scene.now, timedelta(hours=2))
    )
    if before is not None and before > maximum:
        words = f"its maximum was lowered from {before} to {maximum} replicas{f' by {who}' if who else ''}"
        found = _wrong(scene, autoscaler, 0.92, words, limited)
        found.facts |= {"before": before}
        return found
    if (is_changed and who) or maximum <= minimum:
        told = f", changed by {who} at {r.iso(when)}" if is_changed and who else ""
        room = f"; its minimum is {minimum}" if maximum <= minimum else ""
        return _wrong(scene, autoscaler, 0.8, f"its maximum of {maximum} replicas{told} leaves no room{room}", limited)
    words = f"HorizontalPodAutoscaler {ref.name} wants more than its maximum of {maximum} replicas."
    facts = {"maximum": maximum, "target": target.as_json()}
    surge = s.shift(request_rate(scene, target))
    if surge is not None and surge.ratio >= _SURGE and surge.after - surge.before > 1.0:
        words += f" {target.name} gets {surge.after:.1f} requests a second instead of {surge.before:.1f}."
        facts |= {"request_rate": round(surge.after, 2), "baseline_request_rate": round(surge.before, 2)}
        return Hypothesis("AutoscalerAtMaximum", ref, 0.88, words, proof, facts, affected=affected)
    return Hypothesis("AutoscalerAtMaximum", ref, 0.7, words, proof, facts, affected=affected)


def _maximum_before(scene: Scene, autoscaler: Object) -> int | None:
    """More replicas than the maximum, as its target had them before: somebody lowered it."""
    ref = _scaled(autoscaler)
    target, maximum = scene.snapshot.find(ref), r.number(autoscaler, "spec", "maxReplicas")
    had = []
    for event in scene.snapshot.events(autoscaler, "SuccessfulRescale"):
        size = re.search(r"New size: (\d{1,5})", event.message)
        if size:
            had.append(int(size[1]))
    for event in scene.snapshot.events(target, "ScalingReplicaSet") if target is not None else ():
        had += [int(n) for n in re.findall(r"(?:from|to) (\d{1,5})\b", event.message)]
    most = max(had, default=0)
    return most if maximum and most > maximum else None


def _scaled(autoscaler: Object) -> ObjectRef:
    reference = r.mapping(autoscaler, "spec", "scaleTargetRef")
    namespace = r.text(autoscaler, "metadata", "namespace")
    return ObjectRef(r.text(reference, "kind"), namespace, r.text(reference, "name"))


def _wrong(scene: Scene, autoscaler: Object, strength: float, why: str, condition: Object) -> Hypothesis:
    ref, target = ObjectRef.of(autoscaler, "HorizontalPodAutoscaler"), _scaled(autoscaler)
    names = [r.text(w, "metadata", "name") for w in scene.snapshot.of_kind(target.kind, ref.namespace)]
    facts: dict[str, Any] = {
        "reason": r.text(condition, "reason"),
        "target": target.as_json(),
        "minimum": r.number(autoscaler, "spec", "minReplicas", default=1),
        "maximum": r.number(autoscaler, "spec", "maxReplicas"),
    }
    if target.name not in names:
        facts["suggested_target"] = r.closest(target.name, names, 0.6)
    proof: list[Evidence] = [
        evidence("status", f"HorizontalPodAutoscaler {ref.name}", r.text(condition, "message") or why, obj=bare(ref))
    ]
    proof += [of_event(e) for e in scene.snapshot.events(autoscaler) if e.type == "Warning"][-1:]
    when, who = last_change(autoscaler, fields="f:spec")
    if who:
        title = f"HorizontalPodAutoscaler {ref.name} was changed"
        proof.append(evidence("change", title, f"by {who}", obj=bare(ref), at=when))
    words = f"HorizontalPodAutoscaler {ref.name} cannot do its work: {why}."
    affected = scene.around(target) | {target}
    return Hypothesis("AutoscalerMisconfigured", ref, strength, words, proof, facts, affected=affected, since=when)


def _budget(scene: Scene, budget: Object) -> Iterator[Hypothesis]:
    """Only where a drain is under way: a budget of zero by itself is a decision, not a fault."""
    if r.at(budget, "status", "disruptionsAllowed") != 0 or r.number(budget, "status", "expectedPods") == 0:
        return
    ref = ObjectRef.of(budget, "PodDisruptionBudget")
    selector = r.mapping(budget, "spec", "selector")
    cordoned = {
        r.text(n, "metadata", "name")
        for n in scene.snapshot.of_kind("Node")
        if r.at(n, "spec", "unschedulable") is True
    }
    held = [
        p
        for p in (scene.snapshot.of_kind("Pod", ref.namespace) if selector and cordoned else ())
        if matches(selector, r.labels(p, "metadata", "labels")) and r.text(p, "spec", "nodeName") in cordoned
    ]
    held = [p for p in held if not is_over(p)]
    if not held or not all(is_ready(p) for p in held):
        return
    node = r.text(held[0], "spec", "nodeName")
    title = f"PodDisruptionBudget {ref.name} allows no disruption"
    proof = [evidence("status", title, f"{len(held)} pods on the cordoned node {node}", obj=bare(ref))]
    expected, healthy = r.number(budget, "status", "expectedPods"), r.number(budget, "status", "currentHealthy")
    never = healthy >= expected and r.number(budget, "status", "desiredHealthy") >= expected
    words = f"PodDisruptionBudget {ref.name} keeps node {node} from being drained"
    words += ": it demands every one of its pods." if never else f": {healthy} of {expected} pods are healthy."
    facts = {"allowed": 0, "node": node, "workload": bare(scene.snapshot.workload_of(held[0])).as_json()}
    when, _ = last_change(budget, fields="f:spec")
    yield Hypothesis("DisruptionBudgetBlocksEviction", ref, 0.75 if never else 0.6, words, proof, facts, since=when)
