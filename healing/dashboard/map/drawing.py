"""Who calls whom, as a drawing from left to right: a caller stands left of what it calls.

Layers are longest paths along calls; calls that would close a circle are drawn, but do not count. Within a layer a
workload stands near those it has to do with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from healing.dashboard.map import reading
from healing.dashboard.map.reading import Reading
from healing.dashboard.map.tiles import Level, Tile
from healing.detection.inventory import Workload

#: More are no drawing any more.
MOST_NODES = 60
NODE_WIDTH, NODE_HEIGHT = 168, 44
LAYER_GAP, ROW_GAP, MARGIN, PILL_STEP_GAP = 72, 14, 6, 16
_SWEEPS = 4
_LABEL = 22
#: Who calls nobody and is not called stands in so many columns at least.
_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Spot:
    """A workload in the drawing; ``tile`` is None for one of another namespace. ``x``, ``y``: its upper left corner."""

    workload: Workload
    tile: Tile | None
    x: int
    y: int
    label: str
    below: str

    @property
    def level(self) -> str:
        return self.tile.level.word if self.tile else "away"

    @property
    def tile_id(self) -> str:
        return self.tile.id if self.tile else ""

    @property
    def middle(self) -> int:
        return self.y + NODE_HEIGHT // 2


@dataclass(frozen=True, slots=True)
class Line:
    """A call. ``is_ill``: what is called is."""

    path: str
    caller: str
    callee: str
    is_ill: bool


@dataclass(frozen=True, slots=True)
class CallGraph:
    spots: Sequence[Spot]
    lines: Sequence[Line]
    width: int
    height: int
    reading: Reading
    node_width: int = NODE_WIDTH
    node_height: int = NODE_HEIGHT


def draw(cluster: str, found: Sequence[Tile], everything: Sequence[Workload], visible: set[int]) -> CallGraph | None:
    """Of one namespace's workloads, with those of others that they call or are called by and with the ConfigMaps and
    Secrets they read; None: there is nothing to draw, or too much."""
    mine = {tile.workload.key: tile for tile in found}
    place_of = {workload.key: place for place, workload in enumerate(everything)}
    edges = set()
    for tile in found:
        here = place_of[tile.workload.key]
        edges |= {(here, place) for place in tile.workload.calls if place in visible}
        edges |= {(place, here) for place in tile.workload.callers if place in visible}
    nodes = sorted({place for edge in edges for place in edge})
    alone = sorted({place_of[key] for key, tile in mine.items() if tile.workload.reads} - set(nodes))
    if not (nodes or alone) or len(nodes) + len(alone) > MOST_NODES:
        return None
    layers = _beside(order(_layers(nodes, edges), edges) if nodes else [], alone)
    tallest = max(map(len, layers))
    height = tallest * (NODE_HEIGHT + ROW_GAP) - ROW_GAP + 2 * MARGIN
    spots: dict[int, Spot] = {}
    for index, layer in enumerate(layers):
        top = (height - len(layer) * (NODE_HEIGHT + ROW_GAP) + ROW_GAP) // 2
        for row, place in enumerate(layer):
            workload = everything[place]
            own = mine.get(workload.key)
            ready = f"{workload.ready}/{workload.desired} ready" if own else f"in {workload.namespace}"
            spots[place] = Spot(
                workload,
                own,
                MARGIN + index * (NODE_WIDTH + LAYER_GAP),
                top + row * (NODE_HEIGHT + ROW_GAP),
                workload.name if len(workload.name) <= _LABEL else f"{workload.name[: _LABEL - 1]}…",
                ready,
            )
    width = len(layers) * (NODE_WIDTH + LAYER_GAP) - LAYER_GAP + 2 * MARGIN
    lines = [_line(spots[caller], spots[callee]) for caller, callee in sorted(edges)]
    read = reading.lay_out(
        cluster,
        [(tile.id, tile.workload) for tile in found],
        {s.tile_id: (s.x + NODE_WIDTH // 2, s.y + NODE_HEIGHT) for s in spots.values() if s.tile},
        left=MARGIN,
        top=height,
        columns=max(len(layers), min(_COLUMNS, len(nodes) + len(alone))),
        step=NODE_WIDTH + PILL_STEP_GAP,
        width=NODE_WIDTH,
    )
    width = max([width, *(pill.x + NODE_WIDTH + MARGIN for pill in read.pills)])
    height = max(height, reading.height_of(read) + MARGIN)
    return CallGraph([spots[place] for layer in layers for place in layer], lines, width, height, read)


def _beside(layers: list[list[int]], alone: Sequence[int]) -> list[list[int]]:
    """With those that only read something, where there is room."""
    columns = layers + [[] for _ in range(min(_COLUMNS, len(alone)) - len(layers))]
    for place in alone:
        min(columns, key=len).append(place)
    return columns


def _layers(nodes: Sequence[int], edges: set[tuple[int, int]]) -> list[list[int]]:
    """Longest paths from whoever is called by nobody; an edge back to somebody on the way does not count."""
    out: dict[int, list[int]] = defaultdict(list)
    into = {callee for _, callee in edges}
    for caller, callee in sorted(edges):
        out[caller].append(callee)
    done: list[int] = []
    state: dict[int, int] = {}
    back: set[tuple[int, int]] = set()
    for root in sorted(nodes, key=lambda node: (node in into, node)):
        if root in state:
            continue
        state[root] = 1
        stack = [(root, iter(out[root]))]
        while stack:
            node, following = stack[-1]
            child = next(following, None)
            if child is None:
                state[node] = 2
                done.append(node)
                stack.pop()
            elif child not in state:
                state[child] = 1
                stack.append((child, iter(out[child])))
            elif state[child] == 1:
                back.add((node, child))
    depth = dict.fromkeys(nodes, 0)
    for node in reversed(done):
        for callee in out[node]:
            if (node, callee) not in back:
                depth[callee] = max(depth[callee], depth[node] + 1)
    layers: list[list[int]] = [[] for _ in range(max(depth.values()) + 1)]
    for node in nodes:
        layers[depth[node]].append(node)
    return layers


def order(layers: list[list[int]], edges: set[tuple[int, int]]) -> list[list[int]]:
    """Each layer by the mean place of its neighbours, forth and back a few times."""
    near: dict[int, list[int]] = defaultdict(list)
    for caller, callee in edges:
        near[caller].append(callee)
        near[callee].append(caller)
    for sweep in range(_SWEEPS):
        place = {node: row / max(1, len(layer) - 1) for layer in layers for row, node in enumerate(layer)}
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            middle = {node: sum(place[n] for n in near[node]) / len(near[node]) for node in layer}
            layer.sort(key=lambda node: (middle[node], node))
            place |= {node: row / max(1, len(layer) - 1) for row, node in enumerate(layer)}
    return layers


def _line(caller: Spot, callee: Spot) -> Line:
    start, end = caller.x + NODE_WIDTH, callee.x
    if end > start:
        bend = (end - start) // 2
        path = f"M{start} {caller.middle}C{start + bend} {caller.middle} {end - bend} {callee.middle}"
        path += f" {end} {callee.middle}"
    else:  # back, or within a layer: around below
        low = max(caller.y, callee.y) + NODE_HEIGHT + ROW_GAP // 2
        path = f"M{start} {caller.middle}C{start + 40} {low} {end - 40} {low} {end} {callee.middle}"
    is_ill = callee.tile is not None and callee.tile.level >= Level.ILL
    return Line(path, caller.workload.name, callee.workload.name, is_ill)
