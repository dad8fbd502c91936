"""What of a namespace is drawn: all of it where that can be read; otherwise what is wrong, or one workload that
somebody asks for, with what is near it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.utils.translation import gettext as _, ngettext

from healing.dashboard.map.folding import Group, Side, fold
from healing.dashboard.map.tiles import Level, Tile
from healing.detection.inventory import Workload

#: More are not drawn all at once.
MOST_NODES = 60
#: Of those that are wrong, and of those with most calls where all is well.
MOST_CENTRES, BUSIEST = 12, 6
#: In addresses: begin with more of those that are wrong.
MORE_CENTRES = "more"

TileOf = Callable[[int], Tile]


class Why(StrEnum):
    """Why it is drawn what is drawn."""

    WHOLE = "whole"
    FOCUS = "focus"
    WRONG = "wrong"
    BUSIEST = "busiest"


@dataclass(frozen=True, slots=True)
class Choice:
    """``nodes`` and ``alone`` (without any call) are places; in ``nodes`` and ``edges`` a group of ``groups`` is -1,
    -2, …; ``more_wrong``: so many are wrong, have calls and are not begun with; ``elsewhere``: so many workloads of the
    namespace are in no part of the drawing."""

    why: Why
    nodes: Sequence[int]
    alone: Sequence[int]
    groups: Sequence[Group]
    edges: Mapping[tuple[int, int], int]
    centre: Sequence[int]
    more_wrong: int = 0
    elsewhere: int = 0

    def says(self, everything: Sequence[Workload]) -> str:
        """What one looks at, for who reads it above the drawing; empty where that is everything."""
        if self.why == Why.WHOLE:
            return ""
        count = len(self.centre)
        if self.why == Why.FOCUS:
            name = everything[self.centre[0]].name
            said = _("What calls %(name)s and what it calls, up to two calls away.") % {"name": name}
        elif self.why == Why.WRONG:
            said = ngettext(
                "The workload to look at, with what calls it and what it calls, up to two calls away.",
                "The %(n)s workloads to look at, with what calls them and what they call, up to two calls away.",
                count,
            ) % {"n": count}
        else:
            said = ngettext(
                "Nothing is wrong: the workload with most calls, and what is up to two calls away from it.",
                "Nothing is wrong: the %(n)s workloads with most calls, and what is up to two calls away from them.",
                count,
            ) % {"n": count}
        if self.elsewhere:
            said += " " + ngettext(
                "%(n)s more workload is only among the tiles below.",
                "%(n)s more workloads are only among the tiles below.",
                self.elsewhere,
            ) % {"n": self.elsewhere}
        return said


def group_name(workload: Workload, side: Side) -> str:
    """What opens it, in addresses: ``callers:Deployment/shop/web``."""
    return f"{side}:{'/'.join(workload.key)}"


def choose(
    found: Sequence[Tile],
    everything: Sequence[Workload],
    visible: set[int],
    place_of: Mapping[tuple[str, str, str], int],
    tile_of: TileOf,
    focus: str,
    opened: Sequence[str],
) -> Choice | None:
    """``found``: the namespace's tiles; ``focus``: ``Kind/name`` of one of them, or empty. None: nothing is to be
    drawn."""
    own = [place_of[tile.workload.key] for tile in found]

    def callees(place: int) -> list[int]:
        return [other for other in everything[place].calls if other in visible and other != place]

    def callers(place: int) -> list[int]:
        return [other for other in everything[place].callers if other in visible and other != place]

    busy = {place: len(callees(place)) + len(callers(place)) for place in own}
    wanted = [place for place in own if f"{everything[place].kind}/{everything[place].name}" == focus]
    if not wanted:
        if whole := _whole(own, everything, callees, callers):
            return whole if whole.nodes or whole.alone else None
        if not any(busy.values()):
            return None
    counted = Counter(opened)
    level_of = {place_of[tile.workload.key]: tile.level for tile in found}
    wrong = sorted(
        (place for place in own if level_of[place] and busy[place]),
        key=lambda place: (-level_of[place], -busy[place], everything[place].key),
    )
    busiest = sorted((place for place in own if busy[place]), key=lambda place: (-busy[place], everything[place].key))
    begun = MOST_CENTRES * (1 + counted[MORE_CENTRES])
    why, centre = (
        (Why.FOCUS, wanted) if wanted else (Why.WRONG, wrong[:begun]) if wrong else (Why.BUSIEST, busiest[:BUSIEST])
    )
    folded = fold(
        centre,
        callees,
        callers,
        lambda place, side: group_name(everything[place], side),
        counted,
        lambda place: (-tile_of(place).level, everything[place].name),
    )
    joined = {node for edge in folded.edges for node in edge}
    drawn = set(folded.shown) | {member for group in folded.groups for member in group.members}
    return Choice(
        why,
        [*(place for place in folded.shown if place in joined), *(-1 - index for index in range(len(folded.groups)))],
        [place for place in folded.shown if place not in joined],
        folded.groups,
        folded.edges,
        centre,
        len(wrong) - len(centre) if why == Why.WRONG else 0,
        sum(place not in drawn for place in own),
    )


def _whole(
    own: Sequence[int],
    everything: Sequence[Workload],
    callees: Callable[[int], list[int]],
    callers: Callable[[int], list[int]],
) -> Choice | None:
    """All of it, with those of other namespaces; None: too much."""
    edges = {(place, callee): 1 for place in own for callee in callees(place)}
    edges |= {(caller, place): 1 for place in own for caller in callers(place)}
    nodes = sorted({place for edge in edges for place in edge})
    alone = sorted({place for place in own if everything[place].reads} - set(nodes))
    if len(nodes) + len(alone) > MOST_NODES:
        return None
    return Choice(Why.WHOLE, nodes, alone, (), edges, ())


def level_of_group(group: Group, tile_of: TileOf) -> tuple[Level, int]:
    """The worst of its members, and how many are not well."""
    levels = [tile_of(place).level for place in group.members]
    return max(levels), sum(level >= Level.ILL for level in levels)
