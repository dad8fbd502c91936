"""Events of what has not happened yet: nothing is wrong to be found, so the forecast's own finding is the diagnosis."""

from __future__ import annotations

from dataclasses import replace

from healing.faults import SignalSource
from healing.findings import CausalGraph, Diagnosis, Evidence, Finding, GraphEdge, GraphNode, foreseen_in
from healing.models import HealingEvent
from healing.ports.cluster import ObjectRef

_EVIDENCE = "forecast"


def is_ahead(event: HealingEvent) -> bool:
    """Whether the event is about something foreseen."""
    return event.source == SignalSource.FORECAST


def with_what_was_foreseen(event: HealingEvent, diagnosis: Diagnosis) -> Diagnosis:
    """What was foreseen comes first; what was found beside it stays."""
    foreseen = foreseen_in(event.signals) if is_ahead(event) else {}
    if not foreseen:
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
