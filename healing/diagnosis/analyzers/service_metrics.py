"""Services ranked by what has moved in their series, where nothing better explains the trouble."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from healing.diagnosis.alerts import firing
from healing.diagnosis.analyzers.common import workload_ref
from healing.diagnosis.generic import Anomaly, anomalies, by_service, workload_named
from healing.diagnosis.hypothesis import Hypothesis, evidence
from healing.diagnosis.scene import Scene
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

#: measures that users feel
_FELT = ("latency", "errors")
#: what a service's own resource says of the cause, the most telling first
_OWN = {
    "loss": "PacketLoss",
    "memory": "MemoryLeak",
    "disk": "DiskFull",
    "cpu": "CPUHog",
}
_UNITS = {"latency": "seconds", "errors": "1/s", "cpu": "cores", "memory": "bytes", "disk": "1/s", "network": "1/s"}


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """CPUHog, MemoryLeak, SlowDependency and others, by series of any naming; the service that moved first and most."""
    if not scene.snapshot.series or len(scene.snapshot.series) > 20_000:
        return
    found = by_service(anomalies(scene))
    felt = {service for service, many in found.items() if any(a.measure in _FELT and not a.is_judged for a in many)}
    if not felt and any(alert.is_felt for alert in firing(scene)):
        felt = {service for service, many in found.items() if any(a.measure in _FELT for a in many)} or set(found)
    ranked = sorted(found, key=lambda service: -_weight(found[service], felt))
    if not ranked:
        return
    top = _weight(found[ranked[0]], felt)
    onset = min((a.since for many in found.values() for a in many if a.measure in _FELT), default=None)
    for position, service in enumerate(ranked[:4]):
        many = found[service]
        weight = _weight(many, felt)
        if not felt and not _is_extreme(many):
            continue  # numbers moved, but nobody felt it
        about = workload_named(scene, service, many[0].series)
        if about is None and scene.snapshot.workloads():
            continue  # a name of something else
        if about is None:
            about = ObjectRef("Service", many[0].series.labels.get("namespace", ""), service)
        elif not scene.covers(about.namespace):
            continue
        share = weight / top if top else 0.0
        strength = (0.56 if position == 0 else 0.4) * (0.5 + 0.5 * share)
        if onset is not None and min(a.since for a in many) <= onset + 60:
            strength += 0.04
        cause, telling = _cause(many)
        facts: dict[str, Any] = {"measure": telling.measure, "before": telling.before, "after": telling.after}
        facts["moved"] = [f"{a.measure} {a.before:.4g} → {a.after:.4g}" for a in many[:6]]
        words = f"{about.name}: " + "; ".join(f"{a.measure} {a.before:.4g} → {a.after:.4g}" for a in many[:3])
        yield Hypothesis(
            cause,
            workload_ref(scene, about),
            strength,
            f"Of all services {words}.",
            [_evidence(about, a) for a in many[:3]],
            facts,
            affected=scene.around(about),
            since=datetime.fromtimestamp(min(a.since for a in many), UTC),
        )


def _weight(many: list[Anomaly], felt: set[str]) -> float:
    """Deviations of the service's own resources count more than what it may only pass on."""
    own = max((min(a.score, 200.0) for a in many if a.measure in _OWN), default=0.0)
    passed_on = max((min(a.score, 200.0) for a in many if a.measure in _FELT), default=0.0)
    other = max((min(a.score, 200.0) for a in many if a.measure not in _OWN and a.measure not in _FELT), default=0.0)
    both = 1.3 if own and passed_on else 1.0
    return (1.2 * own + passed_on + 0.3 * other) * both * (1.0 if not felt or many[0].service in felt or own else 0.6)


def _is_extreme(many: list[Anomaly]) -> bool:
    return any(
        a.measure in _OWN and not a.is_judged and a.score >= 30 and a.after > 3 * max(a.before, 1e-12) for a in many
    )


def _cause(many: list[Anomaly]) -> tuple[str, Anomaly]:
    own = [a for a in many if a.measure in _OWN]
    if own:
        best = max(own, key=lambda a: (a.score, list(_OWN).index(a.measure)))
        return _OWN[best.measure], best
    failing = next((a for a in many if a.measure == "errors"), None)
    slow = next((a for a in many if a.measure == "latency"), None)
    if slow is not None and (failing is None or slow.score >= failing.score):
        # slow without any use of its own: its program waits, or its network does
        return "SlowDependency", slow
    if failing is not None:
        return "FailingDependency", failing
    load = next((a for a in many if a.measure == "load"), many[0])
    return ("TrafficSpike" if load.after > load.before else "FailingDependency"), load


def _evidence(about: ObjectRef, one: Anomaly) -> Evidence:
    unit = _UNITS.get(one.measure, "")
    data = {
        "unit": unit,
        "threshold": round(one.before * 1.5, 6),
        "points": [[t, round(v, 6)] for t, v in one.points[-120:]],
        "score": round(one.score, 1),
    }
    name = one.series.labels.get("__name__", one.measure)
    text = f"{one.before:.4g} → {one.after:.4g}, {one.score:.0f} usual deviations"
    at = datetime.fromtimestamp(one.since, UTC)
    return evidence("metric", f"{name} of {about.name}", text, obj=about, source="prometheus", at=at, data=data)
