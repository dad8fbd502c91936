"""Which workloads read which ConfigMaps and Secrets: pills below the drawing of the calls, by name only.

A line to each would hide the calls, so lines stand ready and are shown for the workload or pill that is chosen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from healing.detection.inventory import Workload

#: More are only in the list.
MOST_PILLS = 48
PILL_HEIGHT, PILL_GAP, PILLS_BELOW = 38, 10, 34
_LABEL = 22

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Pill:
    """A ConfigMap or Secret. ``x``, ``y``: its upper left corner; ``readers``: how many workloads."""

    id: str
    kind: str
    name: str
    label: str
    x: int
    y: int
    readers: int


@dataclass(frozen=True, slots=True)
class Read:
    """One workload reads one of them. ``path`` is empty where one of both is not in the drawing."""

    path: str
    workload: str
    tile: str
    kind: str
    name: str
    pill: str


@dataclass(frozen=True, slots=True)
class Reading:
    """``left_out``: so many are only in the list."""

    pills: Sequence[Pill] = ()
    reads: Sequence[Read] = ()
    left_out: int = 0
    pill_height: int = PILL_HEIGHT


def config_id(cluster: str, namespace: str, config: str) -> str:
    """An id for the page; ``config`` is ``Kind/name``."""
    return "c" + blake2b(f"{cluster}/{namespace}/{config}".encode(), digest_size=6).hexdigest()


def lay_out(
    cluster: str,
    workloads: Sequence[tuple[str, Workload]],
    bottoms: Mapping[str, Place],
    *,
    left: int,
    top: int,
    columns: int,
    step: int,
    width: int,
) -> Reading:
    """Rows of pills below ``top``; ``workloads`` with the ids of their tiles, ``bottoms``: the middle of the lower edge
    of those that are drawn. What most read comes first."""
    readers: dict[str, list[tuple[str, Workload]]] = defaultdict(list)
    for tile, workload in workloads:
        for config in workload.reads:
            readers[config].append((tile, workload))
    ordered = sorted(readers, key=lambda config: (-len(readers[config]), config))
    pills: dict[str, Pill] = {}
    for index, config in enumerate(ordered[:MOST_PILLS]):
        row, column = divmod(index, columns)
        kind, _, name = config.partition("/")
        label = name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…"
        place = config_id(cluster, readers[config][0][1].namespace, config)
        x, y = left + column * step, top + PILLS_BELOW + row * (PILL_HEIGHT + PILL_GAP)
        pills[config] = Pill(place, kind, name, label, x, y, len(readers[config]))
    reads = []
    for config in ordered:
        kind, _, name = config.partition("/")
        pill = pills.get(config)
        for tile, workload in sorted(readers[config], key=lambda one: one[1].name):
            start = bottoms.get(tile)
            path = ""
            if start is not None and pill is not None:
                (x, y), end = start, pill.x + width // 2
                bend = max(24, (pill.y - y) // 2)
                path = f"M{x} {y}C{x} {y + bend} {end} {pill.y - bend} {end} {pill.y}"
            reads.append(Read(path, workload.name, tile, kind, name, pill.id if pill else ""))
    return Reading(list(pills.values()), reads, len(ordered) - len(pills))


def height_of(reading: Reading) -> int:
    """How much lower the drawing gets."""
    return max((pill.y + PILL_HEIGHT for pill in reading.pills), default=0)
