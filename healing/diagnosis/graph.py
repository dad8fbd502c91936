"""The causal graph people see: the root, what made it happen, what it brought about, and the observations."""

from __future__ import annotations

from healing.diagnosis.hypothesis import Hypothesis, bare
from healing.diagnosis.rank import subject
from healing.diagnosis.scene import Scene
from healing.findings import CausalGraph, EdgeKind, Evidence, GraphEdge, GraphNode, NodeKind
from healing.ports.cluster import ObjectRef

_MOST_HYPOTHESES = 8
_MOST_OBSERVATIONS = 5
_NODE_KINDS: dict[str, NodeKind] = {"change": "change", "event": "event", "metric": "metric", "log": "error"}


def build(scene: Scene, ranked: list[Hypothesis], target: ObjectRef | None = None, symptom: str = "") -> CausalGraph:
    """The graph of the ranked hypotheses; ``symptom`` is what was detected on ``target``."""
    if not ranked:
        return CausalGraph()
    shown = ranked[:_MOST_HYPOTHESES]
    nodes: dict[str, GraphNode] = {}
    edges: dict[tuple[str, str], GraphEdge] = {}

    def connect(source: str, target_id: str, kind: EdgeKind) -> None:
        if source != target_id and (target_id, source) not in edges:
            edges.setdefault((source, target_id), GraphEdge(source, target_id, kind))

    for position, one in enumerate(shown):
        kind: NodeKind = "rootCause" if position == 0 else "warning" if not one.explained_by else "symptom"
        label = f"{one.cause}: {one.object.kind} {one.object.name}"
        proof = tuple(e.id for e in one.evidence)
        nodes[_id(one)] = GraphNode(_id(one), kind, label, bare(one.object), proof, _at(one))
    for one in shown:
        for cause in one.explained_by:
            if _id(cause) in nodes:
                connect(_id(cause), _id(one), "dependsOn" if one.blames else "causes")
    _observations(shown[0], nodes, connect_to=_id(shown[0]), edges=edges)
    if target is not None and symptom:
        seen = f"symptom:{symptom}"
        nodes[seen] = GraphNode(seen, "symptom", f"{symptom}: {target.kind} {target.name}", bare(target))
        on_target = [h for h in shown if subject(scene, h) == bare(target)]
        sources = on_target or shown[:1]
        for one in sources:
            connect(_id(one), seen, "causes" if one is shown[0] or one.explained_by else "correlates")
        if (
            not any(edge.target == seen and edge.source == _id(shown[0]) for edge in edges.values())
            and shown[0] not in sources
        ):
            reached = any(shown[0] in one.explained_by for one in sources)
            if not reached:
                connect(_id(shown[0]), seen, "causes")
    return CausalGraph(tuple(nodes.values()), tuple(edges.values()))


def _observations(
    root: Hypothesis, nodes: dict[str, GraphNode], *, connect_to: str, edges: dict[tuple[str, str], GraphEdge]
) -> None:
    """Changes trigger the root; events, metrics and log lines are what it causes."""
    for item in [e for e in root.evidence if e.kind in _NODE_KINDS][:_MOST_OBSERVATIONS]:
        nodes[item.id] = GraphNode(item.id, _NODE_KINDS[item.kind], _label(item), item.object, (item.id,), item.at)
        if item.kind == "change":
            edges[item.id, connect_to] = GraphEdge(item.id, connect_to, "triggers")
        else:
            edges[connect_to, item.id] = GraphEdge(
                connect_to, item.id, "causes" if item.kind != "metric" else "correlates"
            )


def _id(hypothesis: Hypothesis) -> str:
    ref = hypothesis.object
    return f"{hypothesis.cause}:{ref.kind}/{ref.namespace}/{ref.name}"


def _label(item: Evidence) -> str:
    first = item.text.strip().splitlines()[0] if item.text.strip() else ""
    return f"{item.title}: {first}"[:140] if first else item.title[:140]


def _at(hypothesis: Hypothesis) -> str:
    times = [e.at for e in hypothesis.evidence if e.at]
    return min(times, default="")
