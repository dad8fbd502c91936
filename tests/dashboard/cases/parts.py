"""What a case is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from healing.actions.base import Change, Plan
from healing.findings import Diagnosis, Evidence
from healing.ports.cluster import ObjectRef


@dataclass(frozen=True)
class Option:
    """A strategy to be."""

    key: str
    title: str
    rationale: str
    score: float
    confidence: float
    plan: Plan
    arguments: tuple[tuple[str, str, float], ...]
    origin: str = "causes"
    refused: str = ""


@dataclass(frozen=True)
class Case:
    """One fault and everything the phases will find and propose; the first option is the one that is chosen."""

    target: ObjectRef
    subject: ObjectRef
    symptom: str
    message: str
    severity: str
    contained: str
    diagnosis: Diagnosis
    options: tuple[Option, ...]
    ask: str = ""


def deployment(namespace: str, workload: str) -> ObjectRef:
    return ObjectRef("Deployment", namespace, workload, uid=f"uid-{namespace}-{workload}")


def restarted(target: ObjectRef) -> Change:
    return Change(
        target,
        "spec.template.metadata.annotations[kubectl.kubernetes.io/restartedAt]",
        None,
        "2031-05-04T12:00:00Z",
    )


def measured(
    key: str,
    title: str,
    of: ObjectRef,
    now: datetime,
    values: Sequence[float],
    *,
    ahead: int,
    threshold: float,
    unit: str,
) -> Evidence:
    """A metric every 15 s, in ``unit``; ``ahead``: how many of its values come after ``now``."""
    step = 15.0
    start = now.timestamp() - step * (len(values) - 1 - ahead)
    points = [[start + step * index, value] for index, value in enumerate(values)]
    data = {"values": points, "threshold": threshold, "unit": unit}
    return Evidence(key, "metric", "prometheus", title, "", of, now.isoformat(), data=data)
