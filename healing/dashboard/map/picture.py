"""The whole map for one person: clusters, namespaces, tiles; of thousands of workloads those that are well are drawn
together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b

from django.conf import settings
from django.utils.translation import gettext as _

from healing.access import Capability, Grants
from healing.dashboard.map import marks as marking, tiles
from healing.dashboard.map.choice import TileOf, choose
from healing.dashboard.map.drawing import CallGraph, draw
from healing.dashboard.map.marks import Marks, OpenEvent
from healing.dashboard.map.tiles import Level, Tile
from healing.dashboard.map.wanted import Wanted
from healing.detection import heartbeat, inventory
from healing.detection.inventory import Inventory, Node

#: A page has so many tiles; of larger clusters those that are well are drawn together, a square each.
MOST_TILES = 400
MOST_TILES_OF_ONE = 24
#: A namespace with more shows from afar what is not well, and the rest together.
MANY = 60
#: A namespace with as many shares its row with others.
FEW = 3
SQUARE, SQUARE_GAP, SQUARES_A_ROW = 9, 2, 40


@dataclass(frozen=True, slots=True)
class Together:
    """Workloads that are well, drawn as squares: a path, and how many."""

    count: int
    pods: int
    path: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class NamespaceView:
    cluster: str
    name: str
    level: Level
    tiles: Sequence[Tile]
    together: Together | None
    workloads: int
    pods: int
    ready: int
    desired: int
    #: other namespaces: that it calls, that call it
    calls: Sequence[str]
    callers: Sequence[str]
    graph: CallGraph | None = None
    #: those without a tile, for who looks for one of them by name; only from near
    untold: Sequence[Tile] = ()

    @property
    def is_small(self) -> bool:
        """Whether it can share its row with another."""
        return len(self.tiles) <= FEW and (not self.together or not self.tiles)

    @property
    def is_crowded(self) -> bool:
        """Whether what is well has to be told in one line each."""
        return len(self.tiles) > MANY


@dataclass(frozen=True, slots=True)
class NodeView:
    node: Node
    level: Level
    says: str
    events: Sequence[OpenEvent]


@dataclass(frozen=True, slots=True)
class ClusterView:
    """``silence``: why there is no picture, or that it is old; in words."""

    name: str
    namespaces: Sequence[NamespaceView]
    nodes: Sequence[NodeView]
    well_nodes: int
    silence: str
    is_empty: bool
    left_out: int
    elsewhere: Sequence[tuple[str, str, str, OpenEvent]]


@dataclass(frozen=True, slots=True)
class Picture:
    clusters: Sequence[ClusterView]
    counts: dict[str, int]
    pods: int
    workloads: int
    namespaces: Sequence[str]
    etag: str


def read(wanted: Wanted, grants: Grants) -> Picture | None:
    """None: it still looks as it did (`Wanted.known`)."""
    names = [name for name in settings.CLUSTERS if not wanted.cluster or name == wanted.cluster]
    beats = heartbeat.read_all(names)
    found: dict[str, tuple[Inventory | None, Marks, str]] = {}
    for name in names:
        seen = inventory.read(name)
        found[name] = (seen, marking.read(name, grants), silence(seen, beats[name]))
    said = [(n, i.etag if i else "", m.signature(), s) for n, (i, m, s) in found.items()]
    etag = blake2b(repr((said, replace(wanted, known=""), grants)).encode(), digest_size=8).hexdigest()
    if etag == wanted.known:
        return None
    clusters = [_cluster(name, *parts, wanted, grants) for name, parts in found.items()]
    shown = [namespace for cluster in clusters for namespace in cluster.namespaces]
    every = {
        w.namespace
        for name, (seen, _, _) in found.items()
        for w in (seen.workloads if seen else ())
        if grants.may(Capability.VIEW, cluster=name, namespace=w.namespace)
    }
    counts = {level.word: 0 for level in Level}
    for namespace in shown:
        for tile in namespace.tiles:
            counts[tile.level.word] += 1
        counts["well"] += namespace.together.count if namespace.together else 0
    return Picture(
        clusters=clusters,
        counts=counts,
        pods=sum(namespace.pods for namespace in shown),
        workloads=sum(namespace.workloads for namespace in shown),
        namespaces=sorted(every - {""}),
        etag=etag,
    )


def silence(seen: Inventory | None, beat: heartbeat.Heartbeat | None) -> str:
    """Why the map cannot be believed; empty: it can."""
    is_silent = beat is None or beat.age() > heartbeat.SILENT_AFTER
    if seen is None and is_silent:
        return _("No watcher has told what runs here. Is manage.py watch running?")
    if seen is None:
        return _("The watcher is reading the cluster; the map comes in a few seconds.")
    if is_silent:
        return _("The watcher is silent: this is how it looked when it was last heard. Is manage.py watch running?")
    if beat is not None and not beat.answers:
        return _("The cluster does not answer: this is how it looked before.")
    return ""


def _cluster(
    name: str, seen: Inventory | None, marks: Marks, quiet: str, wanted: Wanted, grants: Grants
) -> ClusterView:
    everything = seen.workloads if seen else ()
    may = {
        namespace: grants.may(Capability.VIEW, cluster=name, namespace=namespace)
        for namespace in {workload.namespace for workload in everything}
    }
    visible = {place for place, workload in enumerate(everything) if may[workload.namespace]}
    parts = [word.lower() for word in wanted.text.split()]
    tile_of = cache(lambda place: tiles.make(name, everything[place], marks, everything, visible))
    grouped: dict[str, list[Tile]] = defaultdict(list)
    for place in sorted(visible):
        workload = everything[place]
        if wanted.namespace and workload.namespace != wanted.namespace:
            continue
        tile = tile_of(place)
        if all(_matches(tile, part) for part in parts):
            grouped[workload.namespace].append(tile)
    total = sum(map(len, grouped.values()))
    views = [
        _namespace(name, namespace, found, wanted, everything, visible, tile_of, crowded=total > MOST_TILES)
        for namespace, found in grouped.items()
    ]
    sees_nodes = grants.may(Capability.VIEW, cluster=name) and not wanted.one and not parts
    nodes = [_node(node, marks) for node in seen.nodes] if seen and sees_nodes else []
    known = {workload.key for workload in everything} | {
        ("Node", "", node.name) for node in (seen.nodes if seen else ())
    }
    elsewhere = [
        (*key, event)
        for key, events in marks.events.items()
        if key not in known and (not wanted.namespace or key[1] == wanted.namespace)
        for event in events
        if all(part in " ".join(key).lower() for part in parts)
    ]
    return ClusterView(
        name=name,
        namespaces=sorted(views, key=lambda view: (-view.level, view.name)),
        nodes=sorted((n for n in nodes if n.level), key=lambda n: (-n.level, n.node.name)),
        well_nodes=sum(not n.level for n in nodes),
        silence=quiet,
        is_empty=not visible,
        left_out=seen.left_out if seen else 0,
        elsewhere=elsewhere,
    )


def _matches(tile: Tile, part: str) -> bool:
    workload = tile.workload
    if part in f"{workload.namespace}/{workload.name} {workload.kind} {tile.says}".lower():
        return True
    if any(part in read.lower() for read in workload.reads):
        return True
    return any(part in pod.name.lower() or part in pod.node.lower() for pod in workload.pods)


def _namespace(
    cluster: str,
    name: str,
    found: list[Tile],
    wanted: Wanted,
    everything: Sequence[inventory.Workload],
    visible: set[int],
    tile_of: TileOf,
    *,
    crowded: bool,
) -> NamespaceView:
    shown = sorted(found, key=lambda tile: (-tile.level, tile.workload.name, tile.workload.kind))
    together = None
    most = MOST_TILES if wanted.one else MOST_TILES_OF_ONE
    if (crowded or wanted.one or len(shown) > MANY) and len(shown) > most:
        well = [tile for tile in shown if not tile.level]
        shown = [tile for tile in shown if tile.level][:MOST_TILES]
        together = _together(well) if well else None
    told = {tile.id for tile in shown}
    calls, callers = set(), set()
    for tile in found:
        calls |= {everything[place].namespace for place in tile.workload.calls if place in visible}
        callers |= {everything[place].namespace for place in tile.workload.callers if place in visible}
    return NamespaceView(
        cluster=cluster,
        name=name,
        level=max((tile.level for tile in found), default=Level.WELL),
        tiles=shown,
        together=together,
        workloads=len(found),
        pods=sum(tile.workload.pod_count for tile in found),
        ready=sum(tile.workload.ready for tile in found),
        desired=sum(tile.workload.desired for tile in found),
        calls=sorted(calls - {name}),
        callers=sorted(callers - {name}),
        untold=[tile for tile in found if tile.id not in told] if wanted.one and together else (),
        graph=_graph(cluster, found, wanted, everything, visible, tile_of) if wanted.one and not wanted.text else None,
    )


def _graph(
    cluster: str,
    found: Sequence[Tile],
    wanted: Wanted,
    everything: Sequence[inventory.Workload],
    visible: set[int],
    tile_of: TileOf,
) -> CallGraph | None:
    place_of = {everything[place].key: place for place in visible}
    choice = choose(found, everything, visible, place_of, tile_of, wanted.focus, wanted.opened)
    return draw(cluster, found, everything, choice, tile_of) if choice else None


def _together(well: Sequence[Tile]) -> Together:
    step = SQUARE + SQUARE_GAP
    squares = []
    for index in range(len(well)):
        row, column = divmod(index, SQUARES_A_ROW)
        squares.append(f"M{column * step} {row * step}h{SQUARE}v{SQUARE}h-{SQUARE}z")
    rows = -(-len(well) // SQUARES_A_ROW)
    pods = sum(tile.workload.pod_count for tile in well)
    return Together(len(well), pods, "".join(squares), SQUARES_A_ROW * step, rows * step)


def _node(node: Node, marks: Marks) -> NodeView:
    events = marks.events.get(("Node", "", node.name), [])
    said = []
    if not node.is_ready:
        said.append(_("does not answer"))
    if node.is_cordoned:
        said.append(_("cordoned: takes no new pods"))
    level = (
        Level.DOWN if not node.is_ready else Level.ILL if events else Level.WATCH if node.is_cordoned else Level.WELL
    )
    return NodeView(node, level, ", ".join(said) or (_("has an open event") if events else ""), events)
