"""Who calls whom, as a drawing from left to right: a caller stands left of what it calls.

Layers are longest paths along calls; calls that would close a circle are drawn, but do not count. Within a layer a
workload stands near those it has to do with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _, ngettext

from healing.dashboard.map import reading
from healing.dashboard.map.choice import Choice, TileOf, Why, group_name, level_of_group
from healing.dashboard.map.folding import Group, Side
from healing.dashboard.map.reading import Reading
from healing.dashboard.map.tiles import Level, Tile
from healing.detection.inventory import Workload

NODE_WIDTH, NODE_HEIGHT = 168, 44
LAYER_GAP, ROW_GAP, MARGIN, PILL_STEP_GAP = 72, 14, 6, 16
_SWEEPS = 4
_LABEL, _SUB_LABEL = 22, 21
#: Who calls nobody and is not called stands in so many columns at least.
_COLUMNS = 4
#: A layer with more stands in several columns.
_TALLEST = 14


@dataclass(frozen=True, slots=True)
class Spot:
    """A workload in the drawing. ``x``, ``y``: its upper left corner; ``is_away``: of another namespace."""

    workload: Workload
    tile: Tile
    x: int
    y: int
    label: str
    below: str
    is_away: bool
    is_centre: bool

    @property
    def level(self) -> Level:
        return self.tile.level

    @property
    def tile_id(self) -> str:
        return "" if self.is_away else self.tile.id

    @property
    def name(self) -> str:
        return self.workload.name


@dataclass(frozen=True, slots=True)
class Crowd:
    """A group in the drawing. ``opens``: what opens it, in addresses; empty: there is no room for more of it."""

    id: str
    x: int
    y: int
    level: Level
    label: str
    below: str
    #: what it is, and of what it consists, in a sentence and a list
    name: str
    members: Sequence[Workload]
    opens: str
    tile_id: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A call. ``is_ill``: what is called is; ``is_many``: of or to a group; ``is_far``: of none of those that the
    drawing is about; ``ends``: ids of the tiles of caller and callee."""

    path: str
    caller: str
    callee: str
    is_ill: bool
    is_many: bool
    is_far: bool
    ends: tuple[str, str]


@dataclass(frozen=True, slots=True)
class CallGraph:
    """``says`` what is drawn, where that is not everything; ``more_wrong``: so many could be begun with, too."""

    spots: Sequence[Spot]
    crowds: Sequence[Crowd]
    lines: Sequence[Line]
    width: int
    height: int
    reading: Reading
    says: str = ""
    more_wrong: int = 0
    is_whole: bool = True
    is_focus: bool = False
    node_width: int = NODE_WIDTH
    node_height: int = NODE_HEIGHT


def draw(
    cluster: str,
    found: Sequence[Tile],
    everything: Sequence[Workload],
    choice: Choice,
    tile_of: TileOf,
) -> CallGraph:
    """What was chosen of one namespace's workloads (``found``), with those of others that they call or are called by
    and with the ConfigMaps and Secrets they read."""
    mine = {tile.workload.key for tile in found}
    edges = choice.edges
    layers = _wrapped(order(_layers(choice.nodes, set(edges)), set(edges)) if choice.nodes else [])
    layers = _beside(layers, choice.alone)
    tallest = max(map(len, layers))
    height = tallest * (NODE_HEIGHT + ROW_GAP) - ROW_GAP + 2 * MARGIN
    spots: dict[int, Spot] = {}
    crowds: dict[int, Crowd] = {}
    for index, layer in enumerate(layers):
        top = (height - len(layer) * (NODE_HEIGHT + ROW_GAP) + ROW_GAP) // 2
        for row, node in enumerate(layer):
            x, y = MARGIN + index * (NODE_WIDTH + LAYER_GAP), top + row * (NODE_HEIGHT + ROW_GAP)
            if node < 0:
                group = choice.groups[-1 - node]
                crowds[node] = _crowd(group, everything, tile_of, cluster, x, y)
                continue
            workload, tile = everything[node], tile_of(node)
            is_away = workload.key not in mine
            below = _below(tile, is_away=is_away)
            is_centre = choice.why != Why.WHOLE and node in choice.centre
            spots[node] = Spot(workload, tile, x, y, cut(workload.name, _LABEL), below, is_away, is_centre)
    width = len(layers) * (NODE_WIDTH + LAYER_GAP) - LAYER_GAP + 2 * MARGIN
    ends: dict[int, Spot | Crowd] = {**spots, **crowds}
    about = set(choice.centre)
    lines = [
        _line(ends[caller], ends[callee], is_far=bool(about) and not {caller, callee} & about)
        for caller, callee in sorted(edges)
    ]
    drawn = [spot for spot in spots.values() if not spot.is_away]
    told = found if choice.why == Why.WHOLE else [spot.tile for spot in drawn]
    read = reading.lay_out(
        cluster,
        [(tile.id, tile.workload) for tile in told],
        {spot.tile_id: (spot.x + NODE_WIDTH // 2, spot.y + NODE_HEIGHT) for spot in drawn},
        left=MARGIN,
        top=height,
        columns=max(len(layers), min(_COLUMNS, len(choice.nodes) + len(choice.alone))),
        step=NODE_WIDTH + PILL_STEP_GAP,
        width=NODE_WIDTH,
    )
    width = max([width, *(pill.x + NODE_WIDTH + MARGIN for pill in read.pills)])
    height = max(height, reading.height_of(read) + MARGIN)
    return CallGraph(
        [spots[node] for layer in layers for node in layer if node in spots],
        [crowds[node] for layer in layers for node in layer if node in crowds],
        lines,
        width,
        height,
        read,
        choice.says(everything),
        choice.more_wrong,
        choice.why == Why.WHOLE,
        choice.why == Why.FOCUS,
    )


def cut(text: str, most: int) -> str:
    """What fits."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _below(tile: Tile, *, is_away: bool) -> str:
    """The second line: where it is, or how many of its pods are ready."""
    workload = tile.workload
    if is_away:
        return cut(_("in %(namespace)s") % {"namespace": workload.namespace}, _SUB_LABEL)
    said = _("%(ready)s/%(desired)s ready") % {"ready": workload.ready, "desired": workload.desired}
    if tile.isolated:
        said += ", " + _("%(n)s isolated") % {"n": tile.isolated}
    return said


def _crowd(
    group: Group,
    everything: Sequence[Workload],
    tile_of: TileOf,
    cluster: str,
    x: int,
    y: int,
) -> Crowd:
    beside = everything[group.beside]
    count = len(group.members)
    level, ill = level_of_group(group, tile_of)
    label = ngettext("%(n)s workload", "%(n)s workloads", count) % {"n": count}
    if group.side == Side.CALLERS:
        name = ngettext("%(n)s workload that calls %(name)s", "%(n)s workloads that call %(name)s", count)
        below = _("call %(name)s") % {"name": beside.name}
    else:
        name = ngettext("%(n)s workload that %(name)s calls", "%(n)s workloads that %(name)s calls", count)
        below = _("called by %(name)s") % {"name": beside.name}
    name %= {"n": count, "name": beside.name}
    if ill:
        told = _("%(n)s ill") % {"n": ill}
        label, name = f"{label}, {told}", f"{name}, {told}"
    opens = group_name(beside, group.side)
    members = sorted((everything[place] for place in group.members), key=lambda workload: workload.key[1:])
    return Crowd(
        f"g-{cluster}-{opens}", x, y, level, label, cut(below, _LABEL), name, members, opens if group.can_open else ""
    )


def _wrapped(layers: list[list[int]]) -> list[list[int]]:
    """Tall layers in several columns, so that one sees across."""
    found = []
    for layer in layers:
        columns = -(-len(layer) // _TALLEST)
        rows = -(-len(layer) // columns)
        found += [layer[start : start + rows] for start in range(0, len(layer), rows)]
    return found


def _beside(layers: list[list[int]], alone: Sequence[int]) -> list[list[int]]:
    """With those that only read something, where there is room."""
    columns = layers + [[] for _ in range(min(_COLUMNS, len(alone)) - len(layers))]
    for place in alone:
        min(columns, key=len).append(place)
    return columns


def _layers(nodes: Sequence[int], edges: Iterable[tuple[int, int]]) -> list[list[int]]:
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


def order(layers: list[list[int]], edges: Iterable[tuple[int, int]]) -> list[list[int]]:
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


def _line(caller: Spot | Crowd, callee: Spot | Crowd, *, is_far: bool) -> Line:
    start, end = caller.x + NODE_WIDTH, callee.x
    out, into = caller.y + NODE_HEIGHT // 2, callee.y + NODE_HEIGHT // 2
    if end > start:
        bend = (end - start) // 2
        path = f"M{start} {out}C{start + bend} {out} {end - bend} {into} {end} {into}"
    else:  # back, or within a layer: around below
        low = max(caller.y, callee.y) + NODE_HEIGHT + ROW_GAP // 2
        path = f"M{start} {out}C{start + 40} {low} {end - 40} {low} {end} {into}"
    is_many = isinstance(caller, Crowd) or isinstance(callee, Crowd)
    is_ill = isinstance(callee, Spot) and callee.level >= Level.ILL
    return Line(path, caller.name, callee.name, is_ill, is_many, is_far, (caller.tile_id, callee.tile_id))
