"""What the knowledge pages show, read once. Everything is filtered to the places the reader may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from healing.access import Capability, Grants
from healing.diagnosis.catalogue import CAUSES
from healing.models import HealingEvent
from knowledge import asking, insight
from knowledge.models import EntryKind, KnowledgeEntry, Lesson, Notice, Topic, Trial, Use
from knowledge.records import Judgement
from knowledge.teaching import judgements_of

PAGE_SIZE = 30
#: With more topics than these, those of a single event are one group.
_TOPICS_UNFOLDED = 12
#: A search of somebody who may not see everything fetches more, for some hits are not theirs.
_SEARCHED, _SEARCHED_RESTRICTED = 30, 120
FILTERS = ("cluster", "namespace", "cause", "outcome", "topic", "kind")


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry in a list. ``similarity``: None where it was not searched by meaning."""

    entry: KnowledgeEntry
    similarity: float | None

    @property
    def worked(self) -> str:
        return next((s["title"] or s["strategy"] for s in self.entry.strategies if s["outcome"] == "succeeded"), "")

    @property
    def headline(self) -> str:
        """The text's first line that says more than the symptom."""
        lines = [line for line in self.entry.text.splitlines() if line.strip()]
        return next((line for line in lines[2:] if " " in line), lines[0] if lines else "")


@dataclass(frozen=True, slots=True)
class Results:
    """``by_meaning`` False although something was searched: no worker answered, words were compared."""

    hits: list[Hit]
    searched: str
    by_meaning: bool
    next_before: int | None


@dataclass(frozen=True, slots=True)
class Life:
    """One entry and all that became of it."""

    entry: KnowledgeEntry
    is_note: bool
    judgements: tuple[Judgement, ...]
    lessons: list[Lesson]
    uses: list[Use]
    merged: list[KnowledgeEntry]
    trials: list[Trial]
    success: list[insight.StrategySuccess]
    has_event: bool
    may_teach: bool


@dataclass(frozen=True, slots=True)
class Bubble:
    """A topic on the map; coordinates and radius in the map's own units (0..100 wide, 0..60 high)."""

    topic: Topic
    x: float
    y: float
    radius: float
    count: int


def visible(grants: Grants) -> QuerySet[KnowledgeEntry]:
    """Entries of the reader's places; notes for everywhere are everybody's."""
    place = grants.places(Capability.VIEW, cluster="cluster", namespace="namespace")
    everywhere = Q(kind=EntryKind.NOTE, cluster="", namespace="")
    return KnowledgeEntry.objects.filter(place | everywhere) if place else KnowledgeEntry.objects.all()


def results(grants: Grants, query: str, filters: Mapping[str, str], before: str = "") -> Results:
    """Searched by meaning where there is a query; else the newest."""
    rows = visible(grants).select_related("topic").defer("embedding", "topology")
    where = {name: value for name, value in filters.items() if value}
    if query:
        everything = not grants.places(Capability.VIEW)
        found = asking.search(query, where, limit=_SEARCHED if everything else _SEARCHED_RESTRICTED)
        scores = dict(found.hits)
        entries = {entry.ref: entry for entry in rows.filter(ref__in=scores)}
        hits = [Hit(entries[ref], score) for ref, score in found.hits if ref in entries]
        return Results(hits[:PAGE_SIZE], query, found.by_meaning, None)
    from knowledge.search import matching  # noqa: PLC0415 - its numpy is for workers

    rows = rows.filter(matching(where)).order_by("-pk")
    if before.isascii() and before.isdigit() and len(before) < 18:
        rows = rows.filter(pk__lt=int(before))
    page = list(rows[: PAGE_SIZE + 1])
    more = page[PAGE_SIZE - 1].pk if len(page) > PAGE_SIZE else None
    return Results([Hit(entry, None) for entry in page[:PAGE_SIZE]], "", by_meaning=False, next_before=more)


def choices(grants: Grants) -> dict[str, list[str]]:
    """What can be filtered by."""
    rows = visible(grants).order_by()
    return {
        "namespaces": sorted(rows.exclude(namespace="").values_list("namespace", flat=True).distinct()[:300]),
        "causes": sorted(rows.exclude(cause="").values_list("cause", flat=True).distinct()[:300]),
        "clusters": sorted(rows.exclude(cluster="").values_list("cluster", flat=True).distinct()[:100]),
        "outcomes": ["healed", "recovered", "escalated", "declined"],
    }


def life(grants: Grants, ref: str) -> Life | None:
    """None: there is no such entry, or it is not the reader's to see."""
    entry = visible(grants).select_related("topic", "merged_into").filter(ref=ref).first()
    if entry is None:
        return None
    is_note = entry.kind == EntryKind.NOTE
    related = Q(cause=entry.named_cause, strategy__in=[s["strategy"] for s in entry.strategies])
    place = grants.places(Capability.VIEW, cluster="cluster", namespace="namespace")
    return Life(
        entry=entry,
        is_note=is_note,
        judgements=judgements_of([entry.pk]).get(entry.pk, ()),
        lessons=list(entry.lessons.order_by("-at")[:50]),
        uses=list(entry.uses.all()[:30]),
        merged=list(entry.merged.order_by("-occurred_at").defer("embedding", "topology")[:30]),
        trials=list(entry.trials.order_by("position")),
        success=[] if is_note else insight.success_by_strategy(related & place),
        has_event=not is_note and HealingEvent.objects.filter(name=entry.event_ref).exists(),
        may_teach=grants.may(Capability.OPERATE, cluster=entry.cluster, namespace=entry.namespace),
    )


def of_event(grants: Grants, name: str) -> KnowledgeEntry | None:
    """The entry made of an event."""
    return visible(grants).filter(event_ref=name).defer("embedding", "topology").first()


def cause_choices() -> list[tuple[str, str]]:
    """(code, title) of every cause of the catalogue."""
    return sorted((code, cause.title) for code, cause in CAUSES.items())


def bubbles(grants: Grants) -> list[Bubble]:
    """Topics that have entries the reader may see, the largest first (and so drawn below)."""
    mine = visible(grants).filter(topic__isnull=False).order_by()
    counts: dict[int, int] = {}
    for key, occurrences in mine.values_list("topic_id", "occurrences"):
        if key is not None:
            counts[key] = counts.get(key, 0) + occurrences
    most = max(counts.values(), default=1)
    found = []
    for topic in Topic.objects.filter(pk__in=counts):
        share = (counts[topic.pk] / most) ** 0.5
        found.append(
            Bubble(
                topic,
                round(50 + 42 * topic.x, 2),
                round(30 + 23 * topic.y, 2),
                round(1.2 + 5 * share, 2),
                counts[topic.pk],
            )
        )
    return sorted(found, key=lambda bubble: -bubble.count)


def folded(found: list[Bubble]) -> tuple[list[Bubble], list[Bubble]]:
    """(to show one by one, to fold into one group): of many topics, those of a single event that nobody has named."""
    if len(found) <= _TOPICS_UNFOLDED:
        return found, []
    single = [bubble for bubble in found if bubble.count == 1 and not bubble.topic.named_by]
    if len(single) < 2:
        return found, []
    return [bubble for bubble in found if bubble not in single], single


def month(grants: Grants, now: datetime | None = None) -> dict[str, Any]:
    """What the last 30 days taught, and how strategies fare."""
    now = now or timezone.now()
    place = grants.places(Capability.VIEW, cluster="cluster", namespace="namespace")
    learned = insight.learned_since(now - timedelta(days=30), Q(pk__in=visible(grants).values("pk")), place)
    return {"learned": learned, "success": insight.success_by_strategy(place)}


def notices() -> list[Notice]:
    """What nobody has dismissed."""
    return list(Notice.objects.filter(dismissed_at__isnull=True)[:20])
