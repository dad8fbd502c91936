"""Programs that are waited for though they answer as fast as ever: the way to them is slow."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from healing.diagnosis import series as s
from healing.diagnosis.analyzers.common import workload_ref
from healing.diagnosis.analyzers.network_quality import affected_by, mostly_in_vain
from healing.diagnosis.analyzers.responsible import backend_of, target_of
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence, of_event
from healing.diagnosis.latencies import SLOW_SECONDS, is_slow
from healing.diagnosis.reading import Object
from healing.diagnosis.requests import Requests, is_heard_of, served, served_by_pod
from healing.diagnosis.scene import Scene, is_ready
from healing.diagnosis.snapshot import recent
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

_PROBE_TIMED_OUT = re.compile(r"context deadline exceeded|Client\.Timeout|i/o timeout", re.IGNORECASE)
_NO_ANSWER = re.compile(r"timed? ?out|timeout|deadline exceeded", re.IGNORECASE)
_OF_MESHES = ("istio_", "envoy_", "linkerd_", "response_", "request_", "cilium_", "hubble_", "nginx_ingress_")
#: So many lines are no accident; so many failed requests of a caller mean that no call is answered.
_MANY_LINES, _NEARLY_ALL = 3, 0.9
_LATELY, _MOMENT_SECONDS = timedelta(minutes=2), 15.0


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """NetworkDelay; SlowDependency and DependencyUnavailable of what keeps its callers waiting."""
    yield from _unanswered(scene)
    yield from _awaited(scene)
    yield from _mute(scene)


def _unanswered(scene: Scene) -> Iterator[Hypothesis]:
    """Probes time out of programs that answer the requests that reach them as fast as before."""
    known, by_pod = served(scene), served_by_pod(scene)
    for workload, pods in scene.pods.items():
        own = known.get(workload)
        if own is None or not (_answers(scene, own) or _answered_until_now(scene, own, pods)):
            continue
        events = [
            e
            for pod in pods
            # a program that hangs answers nobody: only of one that does anything it is said
            if (its := by_pod.get(bare(ObjectRef.of(pod, "Pod")))) is not None
            for e in scene.snapshot.events(pod, "Unhealthy")
            if _PROBE_TIMED_OUT.search(e.message) and recent(e.last, scene.now, _LATELY)
            if (_answers(scene, its) and _served_at(its, e.last)) or _answered_until_now(scene, its, [pod])
        ]
        if sum(e.count for e in events) < 2 or any(c.was_oom_killed for c in scene.containers.get(workload, ())):
            continue
        now = s.latest(own.latency) or 0.0
        yield Hypothesis(
            "NetworkDelay",
            workload_ref(scene, workload),
            0.82,
            f"Probes of {workload.kind} {workload.name} time out, though the requests that reach it are answered in"
            f" {now * 1000:.0f} ms, as fast as before: the way to it is slow.",
            [*(of_event(e) for e in events[-2:]), _own_latency(workload, own)],
            {
                "latency_seconds": round(now, 4),
                "callers": [c.as_json() for c in sorted(scene.calls.callers_of(workload))],
            },
            affected={*affected_by(scene, workload), *scene.calls.callers_of(workload)},
        )


def _awaited(scene: Scene) -> Iterator[Hypothesis]:
    """All that call it have become slow, and nothing else that they call has; itself it answers as fast as before."""
    known = served(scene)
    slow = {w: shift for w, own in known.items() if (shift := is_slow(own.latency)) is not None}
    for callee, own in known.items():
        callers = scene.calls.callers_of(callee) & known.keys()
        if len(callers) < 2 or not callers <= slow.keys() or callee in slow or not _answers(scene, own):
            continue
        others = {c for caller in callers for c in scene.calls.callees(caller)} - {callee}
        shared = {c for c in others if all(c in scene.calls.callees(caller) for caller in callers)}
        if others & slow.keys() or shared:
            continue  # one of them may be what they wait for
        worst = max((slow[c] for c in callers), key=lambda shift: shift.after)
        names = ", ".join(c.name for c in sorted(callers))
        yield Hypothesis(
            "NetworkDelay",
            workload_ref(scene, callee),
            0.84,
            f"{names} answer in {worst.after * 1000:.0f} ms instead of {worst.before * 1000:.0f} ms; what they have in"
            f" common is {callee.name}, which itself answers as fast as before: the way to it is slow.",
            [_own_latency(callee, own), *(_own_latency(c, known[c]) for c in sorted(callers)[:3])],
            {
                "latency_seconds": round(worst.after, 4),
                "baseline_latency_seconds": round(worst.before, 4),
                "callers": [c.as_json() for c in sorted(callers)],
            },
            affected={*affected_by(scene, callee), *callers},
        )


def _mute(scene: Scene) -> Iterator[Hypothesis]:
    """Pods that are ready, and of which all that call them say that no answer comes in time."""
    known = served(scene)
    waiting: dict[ObjectRef, dict[ObjectRef, list[Evidence]]] = defaultdict(dict)
    lost: dict[ObjectRef, set[ObjectRef]] = defaultdict(set)
    for caller, containers in scene.containers.items():
        for container in containers:
            if scene.is_crashing(container):
                continue
            for match in scene.matches(container):
                host = match.details.get("host", "")
                if match.kind != "Unreachable" or not host or not _NO_ANSWER.search(match.record.message):
                    continue
                target = target_of(scene, caller, host)
                callee = backend_of(scene, target) if target is not None else None
                if callee is None or match.count < _MANY_LINES or scene.has_stopped(match):
                    continue
                lost[caller].add(callee)
                waiting[callee].setdefault(caller, scene.log_evidence(container, match))
    for callee, callers in waiting.items():
        own = known.get(callee)
        pods = scene.pods.get(callee, [])
        if not pods or not all(is_ready(p) for p in pods) or (own is not None and _answers(scene, own)):
            continue
        if any(len(lost[caller]) > 1 for caller in callers):
            continue  # several that it calls: it is not one of them
        if any(_is_quick(scene, known[other]) for other in lost.get(callee, ()) if other in known):
            continue  # what it waits for itself answers at once: `network_quality`
        failing = [s.latest(known[c].error_fraction) or 0.0 for c in callers if c in known]
        is_silent = own is not None and (not (s.latest(own.rate) or 0.0) or not is_heard_of(scene, own))
        is_gone = is_silent or (bool(failing) and min(failing) >= _NEARLY_ALL)
        if not is_gone and own is None and any(_is_between(scene, caller, lost) for caller in callers):
            continue  # nobody knows how it does, and who waits for it is waited for in vain as well
        others = (scene.calls.callers_of(callee) & known.keys()) - callers.keys()
        names = ", ".join(c.name for c in sorted(callers))
        yield Hypothesis(
            "DependencyUnavailable" if is_gone else "SlowDependency",
            workload_ref(scene, callee),
            0.86 if not others else 0.7,
            f"{callee.kind} {callee.name} is ready, but does not answer {names} in time.",
            [e for many in callers.values() for e in many][:4],
            {"callers": [c.as_json() for c in sorted(callers)], "dependency": callee.as_json()},
            affected={*scene.around(callee), *callers},
        )


def _is_between(scene: Scene, workload: ObjectRef, lost: dict[ObjectRef, set[ObjectRef]]) -> bool:
    return any(workload in callees and mostly_in_vain(scene, caller, workload) for caller, callees in lost.items())


def _served_at(own: Requests, at: datetime | None) -> bool:
    return at is not None and any(
        rate > 0 and -_MOMENT_SECONDS <= time - at.timestamp() <= _MOMENT_SECONDS / 3 for time, rate in own.rate
    )


def _answers(scene: Scene, own: Requests) -> bool:
    """Requests still reach it, it does not fail them, and is not slow."""
    return bool(s.latest(own.rate)) and _is_quick(scene, own)


def _is_quick(scene: Scene, own: Requests) -> bool:
    """It is heard of, and what it answers last it answers well and as fast as ever."""
    now, errors = s.latest(own.latency), s.latest(own.error_fraction) or 0.0
    is_fast = now is not None and now < SLOW_SECONDS and is_slow(own.latency) is None
    return is_fast and errors < 0.05 and is_heard_of(scene, own)


def _answered_until_now(scene: Scene, own: Requests, pods: list[Object]) -> bool:
    """None of its pods is ready, so nothing is sent to it any more; but it tells how it is doing, and did well. Of a
    mesh it is the proxy that tells, whatever the program behind it does."""
    by_itself = not any(name.startswith(_OF_MESHES) for name in own.metrics)
    return by_itself and not any(is_ready(pod) for pod in pods) and not s.latest(own.rate) and _is_quick(scene, own)


def _own_latency(workload: ObjectRef, own: Requests) -> Evidence:
    points = own.latency[-120:]
    text = f"now {s.latest(points) or 0.0:.3g} seconds"
    data = {"unit": "seconds", "threshold": SLOW_SECONDS, "points": [[t, round(v, 5)] for t, v in points]}
    return evidence("metric", f"Mean latency of {workload.name}", text, obj=workload, source="prometheus", data=data)
