"""Workloads as tiles: how bad it is, in words, with a dot for each pod."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from hashlib import blake2b

from healing.dashboard import words
from healing.dashboard.map.marks import Marks, OpenEvent
from healing.detection.inventory import PodState, Workload
from healing.lifecycle import Phase
from healing.models import ProactiveWarning

DOT, DOT_GAP, DOTS_A_ROW = 7, 2, 16
#: More pods than so many are a bar in proportion.
MOST_DOTS = 64
BAR_WIDTH, BAR_HEIGHT = DOTS_A_ROW * (DOT + DOT_GAP) - DOT_GAP, DOT

#: The colour of a pod's dot, and the word for it; in this order.
DOTS: dict[PodState, tuple[str, str]] = {
    PodState.FAILING: ("bad", "failing"),
    PodState.NOT_READY: ("bad", "not ready"),
    PodState.PENDING: ("bad", "without a node"),
    PodState.ISOLATED: ("isolated", "isolated"),
    PodState.STARTING: ("soon", "starting"),
    PodState.ENDING: ("gone", "ending"),
    PodState.DONE: ("gone", "done"),
    PodState.READY: ("well", "ready"),
}
_DOING = {
    Phase.PENDING: "seen just now",
    Phase.CONTAINING: "being contained",
    Phase.DIAGNOSING: "being diagnosed",
    Phase.PLANNING: "a fix is being chosen",
    Phase.HEALING: "being healed",
    Phase.VERIFYING: "fix being verified",
    Phase.LEARNING: "being remembered",
}


class Level(IntEnum):
    """How bad; the worst is the greatest."""

    WELL = 0
    WATCH = 1
    ILL = 2
    DOWN = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Dots:
    """Shapes for SVG: one path a colour, of squares; or the parts of a bar where there are too many."""

    paths: tuple[tuple[str, str], ...]
    width: int
    height: int
    #: "12 ready, 1 failing"
    says: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One workload. ``says``: the one thing to know, empty when all is well; ``near``: ids of callers and callees."""

    workload: Workload
    cluster: str
    level: Level
    says: str
    dots: Dots
    events: Sequence[OpenEvent]
    warnings: Sequence[ProactiveWarning]
    isolated: int
    id: str
    calls: str
    callers: str

    @property
    def waits(self) -> bool:
        """For a person."""
        return any(event.waits for event in self.events)


def tile_id(cluster: str, key: tuple[str, str, str]) -> str:
    """An id for the page that stays the same as long as the workload is there."""
    return "t" + blake2b("/".join((cluster, *key)).encode(), digest_size=6).hexdigest()


def make(cluster: str, workload: Workload, marks: Marks, everything: Sequence[Workload], seen: set[int]) -> Tile:
    """``everything``: all workloads of the picture; ``seen``: the places in it that may be named."""
    events = marks.events.get(workload.key, [])
    warnings = marks.warnings.get(workload.key, [])
    counts = Counter(pod.state for pod in workload.pods)
    counts[PodState.READY] += workload.more
    isolated = counts[PodState.ISOLATED]
    level = level_of(workload, events, warnings, counts)
    return Tile(
        workload=workload,
        cluster=cluster,
        level=level,
        says=_says(workload, events, warnings, counts),
        dots=dots_of(tuple((state, counts[state]) for state in DOTS if counts[state])),
        events=events,
        warnings=warnings,
        isolated=isolated,
        id=tile_id(cluster, workload.key),
        calls=_ids(cluster, workload.calls, everything, seen),
        callers=_ids(cluster, workload.callers, everything, seen),
    )


def level_of(
    workload: Workload, events: Iterable[OpenEvent], warnings: Iterable[object], counts: Counter[PodState]
) -> Level:
    """From what runs and from what is known to be wrong, whichever is worse."""
    events = list(events)
    if (workload.desired and not workload.ready) or any(event.is_serious for event in events):
        return Level.DOWN
    bad = counts[PodState.FAILING] + counts[PodState.NOT_READY] + counts[PodState.PENDING]
    if events or bad or workload.ready < workload.desired:
        return Level.ILL
    if any(True for _ in warnings) or workload.is_paused or counts[PodState.ISOLATED]:
        return Level.WATCH
    return Level.WELL


def _says(
    workload: Workload,
    events: Sequence[OpenEvent],
    warnings: Sequence[ProactiveWarning],
    counts: Counter[PodState],
) -> str:
    said = []
    if events:
        worst = max(events, key=lambda event: (event.waits, event.is_serious, event.detected_at))
        doing = "waits for a person" if worst.waits else _DOING.get(Phase(worst.phase), "")
        said.append(f"{words.symptom_words(worst.symptom)}; {doing}" if doing else words.symptom_words(worst.symptom))
        if len(events) > 1:
            said.append(f"{len(events)} events")
    elif workload.desired and not workload.ready:
        said.append("no pod is ready")
    elif workload.ready < workload.desired:
        said.append(f"{workload.desired - workload.ready} of {workload.desired} not ready")
    if counts[PodState.ISOLATED]:
        said.append(f"{words.count(counts[PodState.ISOLATED], 'pod')} isolated")
    if workload.is_paused:
        said.append("rollout paused")
    if warnings and not events:
        said.append(f"warning: {warnings[0].get_kind_display()}")
    return ", ".join(said)


@lru_cache(maxsize=4096)
def dots_of(counts: tuple[tuple[PodState, int], ...]) -> Dots:
    """The worst first, so that it is seen however many there are."""
    total = sum(number for _, number in counts)
    says = ", ".join(f"{number} {DOTS[state][1]}" for state, number in counts) or "no pods"
    colours: dict[str, int] = {}
    for state, number in counts:
        colours[DOTS[state][0]] = colours.get(DOTS[state][0], 0) + number
    if total > MOST_DOTS:
        return Dots(tuple(_bar(colours, total)), BAR_WIDTH, BAR_HEIGHT, says)
    paths, start = [], 0
    for colour, number in colours.items():
        squares = "".join(_square(index) for index in range(start, start + number))
        paths.append((colour, squares))
        start += number
    rows = max(1, -(-total // DOTS_A_ROW))
    return Dots(tuple(paths), BAR_WIDTH, rows * (DOT + DOT_GAP) - DOT_GAP, says)


def _square(index: int) -> str:
    row, column = divmod(index, DOTS_A_ROW)
    return f"M{column * (DOT + DOT_GAP)} {row * (DOT + DOT_GAP)}h{DOT}v{DOT}h-{DOT}z"


def _bar(colours: dict[str, int], total: int) -> Iterable[tuple[str, str]]:
    x = 0.0
    for colour, number in colours.items():
        width = max(2.0, number / total * BAR_WIDTH)  # what is rare and bad stays visible
        width = min(width, BAR_WIDTH - x)
        yield colour, f"M{x:.1f} 0h{width:.1f}v{BAR_HEIGHT}h-{width:.1f}z"
        x += width


def _ids(cluster: str, places: Iterable[int], everything: Sequence[Workload], seen: set[int]) -> str:
    return " ".join(tile_id(cluster, everything[place].key) for place in places if place in seen)
