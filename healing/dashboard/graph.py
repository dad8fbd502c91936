"""The causal graph as a layered drawing from root cause to symptom, laid out here and drawn as SVG: from left to right
while it is short, from top to bottom where it would become wider than a page's column.

Layers are longest paths from the roots; within a layer nodes stand near their neighbours (barycentres, two sweeps).
Edges that would close a cycle are drawn but do not count for the layers.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import pgettext_lazy

from healing.dashboard import words

NODE_WIDTH = 232
LINE_HEIGHT = 17
NODE_PADDING = 12
KIND_HEIGHT = 18
LAYER_GAP = 84
ROW_GAP = 22
MARGIN = 8
_WRAP = 28
_MAX_LINES = 4
_MAX_LAYERS_SIDEWAYS = 3
#: Room for the arrow's tip between a line's end and its node.
_TIP = 6

_KINDS: Mapping[str, Promise] = {
    "symptom": pgettext_lazy("node of a graph", "symptom"),
    "error": pgettext_lazy("node of a graph", "error"),
    "warning": pgettext_lazy("node of a graph", "warning"),
    "metric": pgettext_lazy("node of a graph", "metric"),
    "event": pgettext_lazy("node of a graph", "event"),
    "change": pgettext_lazy("node of a graph", "change"),
    "rootCause": pgettext_lazy("node of a graph", "root cause"),
}
_EDGES: Mapping[str, Promise] = {
    "causes": pgettext_lazy("between two nodes of a graph", "causes"),
    "precedes": pgettext_lazy("between two nodes of a graph", "comes before"),
    "correlates": pgettext_lazy("between two nodes of a graph", "goes along with"),
    "triggers": pgettext_lazy("between two nodes of a graph", "triggers"),
    "dependsOn": pgettext_lazy("between two nodes of a graph", "is needed by"),
}


@dataclass(frozen=True, slots=True)
class Node:
    """A placed node; ``y`` and ``x`` are its upper left corner."""

    id: str
    kind: str
    kind_words: str
    label: str
    object: str
    lines: list[str]
    x: int
    y: int
    height: int
    #: ids of what it was seen in
    evidence: tuple[str, ...] = ()

    @property
    def line_positions(self) -> list[tuple[int, str]]:
        """(baseline, text) of each line."""
        top = self.y + NODE_PADDING + KIND_HEIGHT
        return [(top + 13 + index * LINE_HEIGHT, line) for index, line in enumerate(self.lines)]

    @property
    def text_x(self) -> int:
        return self.x + NODE_PADDING

    @property
    def kind_y(self) -> int:
        return self.y + NODE_PADDING + 9


@dataclass(frozen=True, slots=True)
class Edge:
    """A placed edge as an SVG path, with its words for the text alternative."""

    kind: str
    words: str
    source: str
    target: str
    path: str
    label_x: int
    label_y: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The drawing; sizes in user units of the SVG."""

    width: int
    height: int
    nodes: list[Node]
    edges: list[Edge]
    node_width: int = NODE_WIDTH


def layout(graph: Mapping[str, Any]) -> Layout | None:
    """Place a graph (`healing.findings.CausalGraph` as JSON); None where there are no nodes."""
    raw_nodes = {str(n["id"]): n for n in graph.get("nodes") or () if n.get("id")}
    if not raw_nodes:
        return None
    raw_edges = [
        (str(e.get("source")), str(e.get("target")), str(e.get("kind", "causes")))
        for e in graph.get("edges") or ()
        if e.get("source") in raw_nodes and e.get("target") in raw_nodes and e.get("source") != e.get("target")
    ]
    forward = _without_cycles(list(raw_nodes), raw_edges)
    layers = _order(_layers(list(raw_nodes), forward), forward)
    sideways = len(layers) <= _MAX_LAYERS_SIDEWAYS
    nodes = _place_sideways(layers, raw_nodes) if sideways else _place_downwards(layers, raw_nodes)
    draw = _edge_sideways if sideways else _edge_downwards
    edges = [draw(nodes[source], nodes[target], kind) for source, target, kind in raw_edges]
    width = MARGIN + max(node.x + NODE_WIDTH for node in nodes.values())
    if any(not _is_forward(nodes[s], nodes[t], sideways=sideways) for s, t, _ in raw_edges):
        width += LAYER_GAP // 2
    height = MARGIN + max(node.y + node.height for node in nodes.values())
    return Layout(width, height, list(nodes.values()), edges)


def _without_cycles(ids: list[str], edges: list[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Edges less those that lead back onto the path of a depth-first walk."""
    following: dict[str, list[str]] = {node: [] for node in ids}
    for source, target, _ in edges:
        following[source].append(target)
    kept: list[tuple[str, str]] = []
    done: set[str] = set()
    for start in ids:
        if start in done:
            continue
        on_path = {start}
        stack = [(start, iter(following[start]))]
        while stack:
            node, rest = stack[-1]
            following_node = next(rest, None)
            if following_node is None:
                stack.pop()
                on_path.discard(node)
                done.add(node)
            elif following_node not in on_path:
                kept.append((node, following_node))
                if following_node not in done:
                    on_path.add(following_node)
                    stack.append((following_node, iter(following[following_node])))
    return kept


def _layers(ids: list[str], edges: list[tuple[str, str]]) -> list[list[str]]:
    depth = dict.fromkeys(ids, 0)
    for _ in ids:  # longest paths: as many rounds as the longest path has edges, at most
        changed = False
        for source, target in edges:
            if depth[target] < depth[source] + 1:
                depth[target] = depth[source] + 1
                changed = True
        if not changed:
            break
    layers: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for node in ids:
        layers[depth[node]].append(node)
    return layers


def _order(layers: list[list[str]], edges: list[tuple[str, str]]) -> list[list[str]]:
    neighbours: dict[str, list[str]] = {node: [] for layer in layers for node in layer}
    for source, target in edges:
        neighbours[source].append(target)
        neighbours[target].append(source)
    for _ in range(2):
        for layer in layers:
            place = {node: index for other in layers for index, node in enumerate(other)}
            layer.sort(key=lambda node: _mean([place[n] for n in neighbours[node]], place[node]))
    return layers


def _mean(values: list[int], default: int) -> float:
    return sum(values) / len(values) if values else float(default)


def _place_sideways(layers: list[list[str]], raw: Mapping[str, Mapping[str, Any]]) -> dict[str, Node]:
    heights = {name: _height(raw[name]) for layer in layers for name in layer}
    totals = [sum(heights[n] for n in layer) + ROW_GAP * (len(layer) - 1) for layer in layers]
    nodes: dict[str, Node] = {}
    for index, layer in enumerate(layers):
        y = MARGIN + (max(totals) - totals[index]) // 2
        for name in layer:
            nodes[name] = _node(name, raw[name], MARGIN + index * (NODE_WIDTH + LAYER_GAP), y)
            y += heights[name] + ROW_GAP
    return nodes


def _place_downwards(layers: list[list[str]], raw: Mapping[str, Mapping[str, Any]]) -> dict[str, Node]:
    step = NODE_WIDTH + ROW_GAP
    widest = max(len(layer) for layer in layers)
    nodes: dict[str, Node] = {}
    y = MARGIN
    for layer in layers:
        x = MARGIN + (widest - len(layer)) * step // 2
        for name in layer:
            nodes[name] = _node(name, raw[name], x, y)
            x += step
        y += max(nodes[name].height for name in layer) + LAYER_GAP // 2
    return nodes


def _height(raw: Mapping[str, Any]) -> int:
    return NODE_PADDING * 2 + KIND_HEIGHT + LINE_HEIGHT * len(_wrap(str(raw.get("label", ""))))


def _node(name: str, raw: Mapping[str, Any], x: int, y: int) -> Node:
    kind = str(raw.get("kind", ""))
    return Node(
        id=name,
        kind=kind if kind in _KINDS else "event",
        kind_words=str(_KINDS.get(kind, kind)),
        label=str(raw.get("label", "")),
        object=words.reference_words(raw.get("object")),
        lines=_wrap(str(raw.get("label", ""))),
        x=x,
        y=y,
        height=_height(raw),
        evidence=tuple(str(key) for key in raw.get("evidence") or ()),
    )


def _wrap(label: str) -> list[str]:
    return textwrap.wrap(label, _WRAP, max_lines=_MAX_LINES, placeholder=" …", break_on_hyphens=False) or [""]


def _is_forward(source: Node, target: Node, *, sideways: bool) -> bool:
    return target.x > source.x if sideways else target.y > source.y


def _edge_sideways(source: Node, target: Node, kind: str) -> Edge:
    if not _is_forward(source, target, sideways=True):
        return _edge_around(source, target, kind)
    x1, y1 = source.x + NODE_WIDTH, source.y + source.height // 2
    x2, y2 = target.x - _TIP, target.y + target.height // 2
    bend = max(36, (x2 - x1) // 2)
    path = f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
    return Edge(kind, str(_EDGES.get(kind, kind)), source.label, target.label, path, x1 + 8, (y1 + y2) // 2 - 7)


def _edge_downwards(source: Node, target: Node, kind: str) -> Edge:
    if not _is_forward(source, target, sideways=False):
        return _edge_around(source, target, kind)
    x1, y1 = source.x + NODE_WIDTH // 2, source.y + source.height
    x2, y2 = target.x + NODE_WIDTH // 2, target.y - _TIP
    bend = max(16, (y2 - y1) // 2)
    path = f"M{x1} {y1}C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2}"
    return Edge(
        kind, str(_EDGES.get(kind, kind)), source.label, target.label, path, (x1 + x2) // 2 + 8, (y1 + y2) // 2 + 6
    )


def _edge_around(source: Node, target: Node, kind: str) -> Edge:
    """Back, or within a layer: around the right side."""
    y1, y2 = source.y + source.height // 2, target.y + target.height // 2
    x1, x2 = source.x + NODE_WIDTH, target.x + NODE_WIDTH + _TIP
    bend = max(x1, x2) + LAYER_GAP // 2
    path = f"M{x1} {y1}C{bend} {y1} {bend} {y2} {x2} {y2}"
    return Edge(kind, str(_EDGES.get(kind, kind)), source.label, target.label, path, max(x1, x2) + 8, (y1 + y2) // 2)
