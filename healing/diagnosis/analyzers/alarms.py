"""Alerts about workloads of which nothing else is known: better named with little confidence than kept quiet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from healing.diagnosis import alerts
from healing.diagnosis.alerts import Alert
from healing.diagnosis.analyzers.common import workload_ref
from healing.diagnosis.hypothesis import Hypothesis
from healing.diagnosis.scene import Scene
from healing.ports.cluster import ObjectRef

#: words of an alert's name -> (cause, strength)
_SAYS: tuple[tuple[tuple[str, ...], str, float], ...] = (
    (("latency", "slow", "duration", "responsetime"), "SlowDependency", 0.4),
    (("error", "5xx", "failure", "fail"), "FailingDependency", 0.42),
    (("throttl",), "CPULimitTooLow", 0.45),
    (("oom",), "MemoryLimitTooLow", 0.45),
    (("memory",), "MemoryLeak", 0.36),
    (("cpu",), "CPUHog", 0.36),
    (("filesystem", "disk", "volumefillingup"), "DiskFull", 0.5),
    (("clock",), "ClockSkew", 0.6),
)


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """SlowDependency, FailingDependency and others that an alert speaks of, with little confidence."""
    by_cause: dict[tuple[str, ObjectRef], list[tuple[Alert, float]]] = defaultdict(list)
    for alert in alerts.firing(scene):
        if alert.about is None or not scene.covers(alert.about.namespace):
            continue
        lowered = alert.name.lower()
        said = next(((c, strength) for words, c, strength in _SAYS if any(w in lowered for w in words)), None)
        if said is not None and (said[0] != "ClockSkew" or alert.about.kind == "Node"):
            by_cause[said[0], alert.about].append((alert, said[1]))
    for (cause, about), many in by_cause.items():
        alert, strength = many[0]
        words = f"{about.kind} {about.name}: {alert.name}. {alert.text[:160]}"
        proof = [alerts.as_evidence(a) for a, _ in many[:3]]
        ref = workload_ref(scene, about)
        yield Hypothesis(cause, ref, strength, words, proof, affected=scene.around(about), since=alert.since)
