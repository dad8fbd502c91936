"""Slow and failing services: along the calls, the last one that is slow or fails is where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from healing.diagnosis import reading as r, series as s
from healing.diagnosis.analyzers.common import change_evidence, workload_ref
from healing.diagnosis.analyzers.pods import well_siblings
from healing.diagnosis.hypothesis import Hypothesis, evidence
from healing.diagnosis.latencies import SLOW_RATIO, SLOW_SECONDS, is_slow
from healing.diagnosis.reading import Object
from healing.diagnosis.requests import Requests, served
from healing.diagnosis.revisions import History, pods_of_revision
from healing.diagnosis.scene import Scene
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

#: So many times the requests, and so many more a second, are a spike.
_SURGE, _SURGE_RATE = 2.0, 2.0
#: Pods that did well for so long, this long after they got ready, were not bad from the start.
_SETTLED_SECONDS, _WELL_SECONDS = 10.0, 15.0
_FAILING, _FAILING_RATIO = 0.05, 2.0


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """SlowDependency and FailingDependency; BadRollout where a new revision brought it."""
    if not scene.snapshot.series:
        return
    requests = {w: found for w, found in served(scene).items() if scene.covers(w.namespace)}
    yield from _regressions(scene, requests)
    yield from _surges(scene, requests)
    slow = {w: shift for w, found in requests.items() if (shift := is_slow(found.latency)) is not None}
    for workload, shift in slow.items():
        yield _hypothesis(scene, workload, requests[workload], shift, slow, about_latency=True)
    failing = {w: shift for w, found in requests.items() if (shift := _failing(found)) is not None}
    for workload, shift in failing.items():
        yield _hypothesis(scene, workload, requests[workload], shift, failing, about_latency=False)


def _surges(scene: Scene, requests: dict[ObjectRef, Requests]) -> Iterator[Hypothesis]:
    """Workloads that suffer since they get many more requests than before."""
    surging = {}
    for workload, found in requests.items():
        more, suffers = s.shift(found.rate), is_slow(found.latency) or _failing(found)
        if more is None or suffers is None or more.ratio < _SURGE or more.after - more.before < _SURGE_RATE:
            continue
        if more.at <= suffers.at + 60 and (s.latest(found.rate) or 0.0) >= 0.6 * more.after:
            surging[workload] = more
    for workload, more in surging.items():
        below = sorted(_reachable(scene, workload) & surging.keys())
        replicas = max(1, len(scene.pods.get(workload, ())))
        words = f"{workload.kind} {workload.name} gets {more.after:.1f} requests a second instead of {more.before:.1f}"
        data = {"unit": "1/s", "threshold": round(more.before * _SURGE, 3)}
        data["points"] = [[t, round(v, 3)] for t, v in requests[workload].rate[-120:]]
        text = f"{more.before:.1f} → {more.after:.1f} requests a second"
        proof = evidence("metric", f"Requests of {workload.name}", text, obj=workload, source="prometheus", data=data)
        yield Hypothesis(
            "TrafficSpike",
            workload_ref(scene, workload),
            0.86,
            words + (f", and so does {below[0].name} below it." if below else ", and suffers from it."),
            [proof],
            {
                "request_rate": round(more.after, 2),
                "baseline_request_rate": round(more.before, 2),
                "suggested_replicas": min(replicas * 4, round(replicas * max(1.5, more.ratio))),
            },
            affected=scene.around(workload),
            blames={ref for callee in below for ref in (callee, *scene.services_of(callee))},
        )


def _regressions(scene: Scene, requests: dict[ObjectRef, Requests]) -> Iterator[Hypothesis]:
    """A new program or new settings since which the workload is slow or fails, while what it calls is well."""
    shifts = {
        w: shift for w, found in requests.items() if (shift := _failing(found) or is_slow(found.latency)) is not None
    }
    for workload, shift in shifts.items():
        found = requests[workload]
        past = scene.history(workload)
        if (
            past is None
            or past.good is None
            or not _began_with(
                scene, past, found.error_fraction if _failing(found) is not None else found.latency, shift
            )
            or _reachable(scene, workload) & shifts.keys()
        ):
            continue
        changed = past.changed(".image", ".env", ".command", ".args")
        if not changed:
            continue
        failing = _failing(requests[workload]) is not None
        if any(_was_ready(pod, shift.at) for pod in well_siblings(scene, workload, is_slow=not failing)):
            continue  # the same program has done well elsewhere all the time: it is the pod, not the revision
        what = f"fails {shift.after:.0%} of its requests" if failing else f"answers in {shift.after * 1000:.0f} ms"
        yield Hypothesis(
            "BadRollout",
            workload_ref(scene, workload),
            0.9,
            f"{workload.kind} {workload.name} {what} since revision {past.current.number} was rolled out"
            f" ({changed[0].path} changed).",
            [_metric(workload, requests[workload], about_latency=not failing), *change_evidence(past)],
            past.facts() | {"container": changed[0].path.partition("[")[2].partition("]")[0]},
            affected=scene.around(workload),
            since=past.started,
        )


def _began_with(scene: Scene, past: History, points: s.Points, shift: s.Shift) -> bool:
    """Soon after the revision was rolled out, and not after its pods had done well for a while."""
    if past.started is None or shift.before == shift.after or not -30 <= shift.at - past.started.timestamp() <= 90:
        return False
    pods = pods_of_revision(scene.snapshot, past.workload, past.current)
    ready = [
        t
        for p in pods
        if (t := r.moment(r.condition(p, "Ready"), "lastTransitionTime")) is not None
        # made since, in the place of a pod that was deleted or isolated: it says nothing of how it began
        and ((made := r.moment(p, "metadata", "creationTimestamp")) is None or made.timestamp() <= shift.at)
    ]
    if not ready:
        return True
    well_from = max(ready).timestamp() + _SETTLED_SECONDS
    level = (shift.before + shift.after) / 2
    well = [t for t, v in points if well_from < t < shift.at and v < level]
    return not well or well[-1] - well[0] < _WELL_SECONDS


def _was_ready(pod: Object, at: float) -> bool:
    """Ready by then, and since."""
    ready = r.condition(pod, "Ready")
    since = r.moment(ready, "lastTransitionTime")
    return ready.get("status") == "True" and since is not None and since.timestamp() <= at


def _failing(found: Requests) -> s.Shift | None:
    fraction = found.error_fraction
    now = s.latest(fraction)
    if now is None or now < _FAILING:
        return None
    jump = s.shift(fraction)
    if jump is not None and jump.ratio >= _FAILING_RATIO and jump.after >= _FAILING:
        return jump
    return s.Shift(now, now, fraction[0][0]) if now >= 0.2 else None


def _hypothesis(
    scene: Scene,
    workload: ObjectRef,
    found: Requests,
    shift: s.Shift,
    others: dict[ObjectRef, s.Shift],
    *,
    about_latency: bool,
) -> Hypothesis:
    callees = _reachable(scene, workload)
    guilty = sorted(callees & others.keys())
    callers = sorted(scene.calls.callers_of(workload) & others.keys())
    compared = shift.ratio >= SLOW_RATIO if about_latency else shift.ratio >= _FAILING_RATIO
    strength = (0.8 if compared else 0.55) + (0.08 if callers else 0.0)
    if about_latency:
        cause = "SlowDependency"
        words = f"{workload.kind} {workload.name} answers in {shift.after * 1000:.0f} ms"
        words += f" instead of {shift.before * 1000:.0f} ms" if compared else ""
        facts: dict[str, Any] = {
            "latency_seconds": round(shift.after, 4),
            "baseline_latency_seconds": round(shift.before, 4),
        }
    else:
        cause = "FailingDependency"
        words = f"{workload.kind} {workload.name} fails {shift.after:.0%} of its requests"
        words += f" instead of {shift.before:.0%}" if compared else ""
        facts = {"error_rate": round(shift.after, 4), "baseline_error_rate": round(shift.before, 4)}
    if guilty:
        words += f"; so does {guilty[0].name}, which it calls"
    elif callers:
        words += f"; its callers {', '.join(c.name for c in callers)} suffer, nothing it calls does"
    facts["callers"] = [c.as_json() for c in callers]
    facts["calls"] = [ref.as_json() for ref in sorted(callees | {s for c in callees for s in scene.services_of(c)})]
    proof = [_metric(workload, found, about_latency=about_latency)]
    past = scene.history(workload)
    if (
        past is not None
        and past.good is not None
        and _began_with(scene, past, found.latency if about_latency else found.error_fraction, shift)
    ):
        facts |= past.facts()
        proof += change_evidence(past)
        words += f". It began with revision {past.current.number}"
    return Hypothesis(
        cause,
        workload_ref(scene, workload),
        strength,
        words + ".",
        proof,
        facts,
        affected=scene.around(workload),
        blames={ref for callee in guilty for ref in (callee, *scene.services_of(callee))},
    )


def _reachable(scene: Scene, workload: ObjectRef) -> set[ObjectRef]:
    """Everything it calls, directly or not."""
    seen: set[ObjectRef] = set()
    waiting = [workload]
    while waiting:
        for callee in scene.calls.callees(waiting.pop()):
            if callee not in seen and callee != workload:
                seen.add(callee)
                waiting.append(callee)
    return seen


def _metric(workload: ObjectRef, found: Requests, *, about_latency: bool) -> Evidence:
    points = found.latency if about_latency else found.error_fraction
    unit = "seconds" if about_latency else "fraction"
    title = f"{'Mean latency' if about_latency else 'Failed requests'} of {workload.name}"
    text = f"{points[0][1]:.3g} → {points[-1][1]:.3g} {unit}" if points else ""
    threshold = SLOW_SECONDS if about_latency else _FAILING
    data = {
        "unit": unit,
        "threshold": threshold,
        "points": [[t, round(v, 5)] for t, v in points[-120:]],
        "metrics": sorted(found.metrics),
    }
    return evidence("metric", title, text, obj=workload, source="prometheus", data=data)
