"""Of many workloads, the few that matter are drawn with what is near them; more neighbours than can be read are folded
into groups that are counted, and that can be opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

#: So many calls from those that matter.
HOPS = 2
#: So many neighbours of one workload, on one side, are drawn at the first and at the second hop; more are folded.
FEW = (6, 3)
#: More are not begun with, unless somebody opens them.
MOST_SHOWN = 44
#: More groups of the second hop are only counted.
MOST_GROUPS = 16
#: Opening a group draws so many more of it, and all openings together draw so many at most.
OPENED_STEP = 20
MOST_OPENED = 160

#: What a workload calls, or by what it is called, as places.
Neighbours = Callable[[int], Sequence[int]]


class Side(StrEnum):
    """Where a group stands beside the workload it was reached from."""

    CALLERS = "callers"
    CALLS = "calls"


@dataclass(frozen=True, slots=True)
class Group:
    """``members`` call the workload at ``beside`` or are called by it. ``can_open``: there is room for more of them."""

    beside: int
    side: Side
    members: tuple[int, ...]
    can_open: bool


@dataclass(frozen=True, slots=True)
class Folded:
    """``shown``: places, those that matter first. ``edges``: calls between what is drawn, a group being -1, -2, … in
    the order of ``groups``."""

    shown: Sequence[int]
    groups: Sequence[Group]
    edges: Mapping[tuple[int, int], int]


def fold(
    centre: Sequence[int],
    callees: Neighbours,
    callers: Neighbours,
    name_of: Callable[[int, Side], str],
    opened: Counter[str],
    first: Callable[[int], tuple[int, str]],
) -> Folded:
    """Around ``centre``. ``name_of`` a group, by the workload it stands beside and its side, is what ``opened`` counts;
    ``first``: by what the members of an opened group are drawn, the smallest first."""
    shown = dict.fromkeys(centre)
    held: dict[int, tuple[int, Side]] = {}
    more_rooms = MOST_OPENED
    shut: set[tuple[int, Side]] = set()
    level = list(shown)
    for few in FEW[:HOPS]:
        found = []
        for place in level:
            for side, near in ((Side.CALLERS, callers), (Side.CALLS, callees)):
                found.append((place, side, [other for other in near(place) if other not in shown]))
        level = []
        # Few neighbours first: whom a crowd hides may be drawn as the only neighbour of another.
        for place, side, others in sorted(found, key=lambda one: len(one[2])):
            new = [other for other in dict.fromkeys(others) if other not in shown]
            steps = opened[name_of(place, side)]
            if steps:
                drawn = sorted(new, key=first)[: min(steps * OPENED_STEP, more_rooms)]
                more_rooms -= len(drawn)
            else:
                fits = len(new) <= 1 or (len(new) <= few and len(shown) + len(new) <= MOST_SHOWN)
                drawn = new if fits and len(shown) < MOST_SHOWN + len(centre) else []
            for other in drawn:
                shown[other] = None
                held.pop(other, None)
                level.append(other)
            for other in new:
                if other not in shown:
                    held.setdefault(other, (place, side))
            if not more_rooms:
                shut.add((place, side))
    return _joined(shown, held, shut, callees, set(centre))


def _joined(
    shown: Mapping[int, None],
    held: Mapping[int, tuple[int, Side]],
    shut: set[tuple[int, Side]],
    callees: Neighbours,
    near_centre: set[int],
) -> Folded:
    members: dict[tuple[int, Side], list[int]] = {}
    for other, where in held.items():
        members.setdefault(where, []).append(other)
    # A group of one is as large as the one it hides.
    alone = {others[0] for others in members.values() if len(others) == 1}
    drawn = [*shown, *sorted(alone)]
    groups = [
        Group(place, side, tuple(sorted(others)), (place, side) not in shut)
        for (place, side), others in members.items()
        if len(others) > 1
    ][: max(MOST_GROUPS, sum(place in near_centre for place, _ in members))]
    node_of = {place: place for place in drawn}
    for index, group in enumerate(groups):
        node_of |= dict.fromkeys(group.members, -1 - index)
    edges: Counter[tuple[int, int]] = Counter()
    for place, node in node_of.items():
        for callee in callees(place):
            end = node_of.get(callee)
            # Calls from crowd to crowd say nothing: what they have to do with those that matter does.
            if end is not None and end != node and (node >= 0 or end >= 0):
                edges[node, end] += 1
    return Folded(drawn, groups, edges)
