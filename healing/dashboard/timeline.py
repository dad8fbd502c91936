"""Timeline entries for people: under which phase they stand, and what sort of thing they tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _, gettext_lazy

from healing.dashboard import words
from healing.lifecycle import WOUND_OF_PHASE, Phase
from healing.models import ActorKind, TimelineEntry

#: What the timeline can be narrowed to, with its words; the first is everything.
SORTS = (
    ("all", gettext_lazy("Everything")),
    ("people", gettext_lazy("People")),
    ("done", gettext_lazy("Done to the cluster")),
    ("thinking", gettext_lazy("Thinking")),
)
_ACTING = frozenset({Phase.CONTAINING, Phase.HEALING, Phase.VERIFYING})
_THINKING = frozenset({Phase.DIAGNOSING, Phase.PLANNING})


@dataclass(frozen=True, slots=True)
class EntryView:
    """``heading`` is the phase that begins with it; empty: it goes on. ``sort`` is one of `SORTS` or "other"."""

    row: TimelineEntry
    sort: str
    heading: str


def entry_views(entries: Iterable[TimelineEntry], before: TimelineEntry | None = None) -> Iterator[EntryView]:
    """In their order; ``before`` stands in front of the first."""
    last = _heading(before) if before is not None else ""
    for entry in entries:
        heading = _heading(entry)
        yield EntryView(entry, _sort(entry), heading if heading != last else "")
        last = heading


def _heading(entry: TimelineEntry) -> str:
    wound = WOUND_OF_PHASE.get(Phase(entry.phase))
    return words.wound_words(wound) if wound is not None else _("End")


def _sort(entry: TimelineEntry) -> str:
    if entry.actor_kind == ActorKind.PERSON or entry.phase == Phase.AWAITING_APPROVAL:
        return "people"
    if entry.phase in _ACTING:
        return "done"
    return "thinking" if entry.phase in _THINKING else "other"
