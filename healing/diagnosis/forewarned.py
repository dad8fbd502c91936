"""Events of what has not happened yet: nothing is wrong to be found, so the forecast's own finding is the diagnosis."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from healing.faults import SignalSource
from healing.findings import FORESEEN, CausalGraph, Diagnosis, Evidence, Finding, GraphEdge, GraphNode
from healing.models import HealingEvent
from healing.ports.cluster import ObjectRef

_EVIDENCE = "forecast"


def is_ahead(event: HealingEvent) -> bool:
    """Whether the event is about something foreseen."""
    return event.source == SignalSource.FORECAST


def with_what_was_foreseen(event: HealingEvent, diagnosis: Diagnosis) -> Diagnosis:
    """What was foreseen comes first; what was found beside it stays."""
    foreseen = _foreseen(event) if is_ahead(event) else None
    if foreseen is None:
        return diagnosis
    one = ObjectRef.from_json(foreseen["object"])
    finding = Finding(
        cause=str(foreseen["cause"]),
        object=one,
        confidence=float(foreseen["confidence"]),
        explanation=str(foreseen["explanation"]),
        evidence=(_EVIDENCE,),
        facts=dict(foreseen.get("facts") or {}),
    )
    evidence = Evidence(
        id=_EVIDENCE,
        kind="metric",
        source="prometheus",
        title=f"{one.kind} {one.name} on its way to the limit",
        text=str(foreseen["explanation"]),
        object=one,
        data={
            "points": foreseen.get("points") or [],
            "threshold": foreseen.get("limit"),
            "unit": foreseen.get("unit", ""),
        },
    )
    others = tuple(f for f in diagnosis.findings if (f.cause, f.object.name) != (finding.cause, one.name))
    graph = CausalGraph(
        (
            GraphNode("foreseen", "rootCause", finding.cause, one, (_EVIDENCE,)),
            GraphNode("ahead", "symptom", event.symptom, one, (_EVIDENCE,)),
        ),
        (GraphEdge("foreseen", "ahead", "causes"),),
    )
    return replace(diagnosis, findings=(finding, *others), evidence=(evidence, *diagnosis.evidence), graph=graph)


def _foreseen(event: HealingEvent) -> dict[str, Any] | None:
    for signal in event.signals:
        found = (signal.get("data") or {}).get(FORESEEN)
        if isinstance(found, dict):
            return found
    return None
