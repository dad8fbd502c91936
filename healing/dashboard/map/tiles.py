"""Workloads as tiles: how bad it is, in words, with a dot for each pod."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from hashlib import blake2b

from django.utils.functional import Promise
from django.utils.translation import gettext as _, gettext_lazy, ngettext, pgettext_lazy

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
DOTS: dict[PodState, tuple[str, Promise]] = {
    PodState.FAILING: ("bad", pgettext_lazy("of a pod", "failing")),
    PodState.NOT_READY: ("bad", pgettext_lazy("of a pod", "not ready")),
    PodState.PENDING: ("bad", pgettext_lazy("of a pod", "without a node")),
    PodState.ISOLATED: ("isolated", pgettext_lazy("of a pod", "isolated")),
    PodState.STARTING: ("soon", pgettext_lazy("of a pod", "starting")),
    PodState.ENDING: ("gone", pgettext_lazy("of a pod", "ending")),
    PodState.DONE: ("gone", pgettext_lazy("of a pod", "done")),
    PodState.READY: ("well", pgettext_lazy("of a pod", "ready")),
}
_DOING = {
    Phase.PENDING: gettext_lazy("seen just now"),
    Phase.CONTAINING: gettext_lazy("being contained"),
    Phase.DIAGNOSING: gettext_lazy("being diagnosed"),
    Phase.PLANNING: gettext_lazy("a fix is being chosen"),
    Phase.HEALING: gettext_lazy("being healed"),
    Phase.VERIFYING: gettext_lazy("fix being verified"),
    Phase.LEARNING: gettext_lazy("being remembered"),
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
    says: str = ""


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
        said.append(_said_of(worst))
        if len(events) > 1:
            said.append(ngettext("%(count)s event", "%(count)s events", len(events)) % {"count": len(events)})
    elif workload.desired and not workload.ready:
        said.append(_("no pod is ready"))
    elif workload.ready < workload.desired:
        values = {"missing": workload.desired - workload.ready, "count": workload.desired}
        said.append(_("%(missing)s of %(count)s not ready") % values)
    if isolated := counts[PodState.ISOLATED]:
        said.append(ngettext("%(count)s pod isolated", "%(count)s pods isolated", isolated) % {"count": isolated})
    if workload.is_paused:
        said.append(_("rollout paused"))
    if warnings and not events:
        said.append(_("warning: %(kind)s") % {"kind": warnings[0].get_kind_display()})
    return ", ".join(said)


def _said_of(event: OpenEvent) -> str:
    symptom = words.symptom_words(event.symptom)
    doing = _("waits for a person") if event.waits else _DOING.get(Phase(event.phase))
    return _("%(symptom)s; %(doing)s") % {"symptom": symptom, "doing": doing} if doing else symptom


def dots_of(counts: tuple[tuple[PodState, int], ...]) -> Dots:
    """The worst first, so that it is seen however many there are."""
    numbers = (_("%(number)s %(state)s") % {"number": number, "state": DOTS[state][1]} for state, number in counts)
    return replace(_shapes_of(counts), says=", ".join(numbers) or _("no pods"))


@lru_cache(maxsize=4096)
def _shapes_of(counts: tuple[tuple[PodState, int], ...]) -> Dots:
    """Without words, which are of one language."""
    total = sum(number for _state, number in counts)
    colours: dict[str, int] = {}
    for state, number in counts:
        colours[DOTS[state][0]] = colours.get(DOTS[state][0], 0) + number
    if total > MOST_DOTS:
        return Dots(tuple(_bar(colours, total)), BAR_WIDTH, BAR_HEIGHT)
    paths, start = [], 0
    for colour, number in colours.items():
        squares = "".join(_square(index) for index in range(start, start + number))
        paths.append((colour, squares))
        start += number
    rows = max(1, -(-total // DOTS_A_ROW))
    return Dots(tuple(paths), BAR_WIDTH, rows * (DOT + DOT_GAP) - DOT_GAP)


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
