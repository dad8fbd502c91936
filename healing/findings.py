"""What a diagnosis is: evidence, findings, a causal graph. Plain data; `Diagnosis.as_json` is what the event keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from healing.ports.cluster import ObjectRef

#: Fact of a finding that a language model thinks otherwise about: what it thinks. A person is asked then.
DOUBTED = "doubted"
#: Key of a forecast's signal data: the finding of what has not happened yet.
FORESEEN = "foreseen"

EvidenceKind = Literal["status", "event", "log", "metric", "change", "spec", "alert", "memory"]
NodeKind = Literal["symptom", "error", "warning", "metric", "event", "change", "rootCause"]
EdgeKind = Literal["causes", "precedes", "correlates", "triggers", "dependsOn"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observation. ``text`` is what a person reads (already redacted), ``link`` a URL or empty."""

    id: str
    kind: EvidenceKind
    source: str  # kubernetes, prometheus, loki, memory
    title: str
    text: str = ""
    object: ObjectRef | None = None
    at: str = ""  # ISO 8601, UTC
    link: str = ""
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause with the object that has it. ``cause`` is a code of the catalogue; ``confidence`` 0..1.

    ``facts`` are what a fix needs and the analyzer has read (e.g. ``{"container": "api", "revision": 3}``)."""

    cause: str
    object: ObjectRef
    confidence: float
    explanation: str
    evidence: tuple[str, ...] = ()
    suggested_actions: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    #: what would make it sure, for people; empty where it is
    would_settle: tuple[str, ...] = ()


def foreseen_in(signals: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What a forecast has put into an event's signals; empty: the event is about something that has happened."""
    for signal in signals:
        found = (signal.get("data") or {}).get(FORESEEN)
        if isinstance(found, dict):
            return found
    return {}


@dataclass(frozen=True, slots=True)
class GraphNode:
    id: str
    kind: NodeKind
    label: str
    object: ObjectRef | None = None
    evidence: tuple[str, ...] = ()
    at: str = ""


@dataclass(frozen=True, slots=True)
class GraphEdge:
    source: str
    target: str
    kind: EdgeKind


@dataclass(frozen=True, slots=True)
class CausalGraph:
    nodes: tuple[GraphNode, ...] = ()
    edges: tuple[GraphEdge, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``findings`` best first; empty: nothing is wrong that we know of. ``missing_sources``: {source: why}."""

    findings: tuple[Finding, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    graph: CausalGraph = CausalGraph()
    missing_sources: dict[str, str] = field(default_factory=dict)

    @property
    def best(self) -> Finding | None:
        """The first finding."""
        return self.findings[0] if self.findings else None

    def as_json(self) -> dict[str, Any]:
        """JSON for the event's row; keys are the field names."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Diagnosis:
        """The inverse of `as_json`; an empty mapping is an empty diagnosis."""

        def ref(raw: Mapping[str, Any] | None) -> ObjectRef | None:
            return ObjectRef.from_json(raw) if raw else None

        graph = value.get("graph") or {}
        return cls(
            findings=tuple(
                Finding(
                    **{
                        **f,
                        "object": ObjectRef.from_json(f["object"]),
                        "evidence": tuple(f["evidence"]),
                        "suggested_actions": tuple(f["suggested_actions"]),
                        "would_settle": tuple(f.get("would_settle", ())),
                    }
                )
                for f in value.get("findings", ())
            ),
            evidence=tuple(Evidence(**{**e, "object": ref(e["object"])}) for e in value.get("evidence", ())),
            graph=CausalGraph(
                nodes=tuple(
                    GraphNode(**{**n, "object": ref(n["object"]), "evidence": tuple(n["evidence"])})
                    for n in graph.get("nodes", ())
                ),
                edges=tuple(GraphEdge(**e) for e in graph.get("edges", ())),
            ),
            missing_sources=dict(value.get("missing_sources", {})),
        )
