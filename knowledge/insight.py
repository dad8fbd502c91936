"""What the memory amounts to: this month's lessons, success by strategy, an entry's life. Plain SQL for the pages."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Avg, Count, Q, QuerySet
from django.utils import timezone

from knowledge.models import EntryKind, KnowledgeEntry, Lesson, Notice, Topic, Trial
from knowledge.statistics import SuccessCount, Tried, count


@dataclass(frozen=True, slots=True)
class StrategySuccess:
    """One strategy against one cause, or against all."""

    strategy: str
    cause: str
    count: SuccessCount
    workloads: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Repeat:
    """A fault that came back, and how much faster it was healed since."""

    cause: str
    workload: str
    namespace: str
    first_seconds: float
    newest_seconds: float
    times: int
    ref: str


@dataclass(frozen=True, slots=True)
class Learned:
    """What a month brought."""

    since: datetime
    events: int
    healed: int
    notes: int
    lessons: int
    recalled: int
    new_causes: list[str]
    new_topics: list[Topic]
    first_fixes: list[Trial]
    repeats: list[Repeat]
    notices: list[Notice]
    mean_seconds: float | None


def success_by_strategy(places: Q, *, by_cause: bool = True, limit: int = 200) -> list[StrategySuccess]:
    """All trials the reader may see (``places`` filters trials), the most tried first. No place is "elsewhere"."""
    now = timezone.now()
    groups: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    for trial in Trial.objects.filter(places).order_by("-at")[:20_000]:
        groups[trial.strategy, trial.cause if by_cause else ""].append(trial)
    found = []
    for (strategy, cause), trials in groups.items():
        tried = [Tried(t.worked, t.at, is_here=True, workload=t.workload, weight=t.weight) for t in trials]
        workloads = len({(t.cluster, t.namespace, t.workload) for t in trials})
        found.append(StrategySuccess(strategy, cause, count(tried, now), workloads, trials[0].at))
    return sorted(found, key=lambda one: (-one.count.tried, one.strategy, one.cause))[:limit]


def learned_since(since: datetime, entries_at: Q, trials_at: Q) -> Learned:
    """``entries_at`` and ``trials_at`` filter to the places that the reader may see."""
    entries = KnowledgeEntry.objects.filter(entries_at)
    events = entries.filter(kind=EntryKind.EVENT, occurred_at__gte=since)
    old = set(entries.filter(kind=EntryKind.EVENT, occurred_at__lt=since).values_list("cause", flat=True).distinct())
    causes = events.exclude(cause="").values_list("cause", flat=True).distinct().order_by("cause")
    return Learned(
        since=since,
        events=events.count(),
        healed=events.filter(outcome="healed").count(),
        notes=entries.filter(kind=EntryKind.NOTE, created_at__gte=since).count(),
        lessons=Lesson.objects.filter(at__gte=since, entry__in=entries).count(),
        recalled=sum(events.annotate(n=Count("uses")).values_list("n", flat=True)),
        new_causes=[cause for cause in causes if cause not in old],
        new_topics=list(Topic.objects.filter(first_seen_at__gte=since, size__gt=0)[:12]),
        first_fixes=_first_fixes(since, trials_at),
        repeats=_repeats(events),
        notices=list(Notice.objects.filter(at__gte=since, dismissed_at__isnull=True)[:12]),
        mean_seconds=events.filter(outcome="healed").aggregate(mean=Avg("duration_seconds"))["mean"],
    )


def _first_fixes(since: datetime, trials_at: Q) -> list[Trial]:
    """Strategies that worked against a cause for the first time."""
    seen: set[tuple[str, str]] = set()
    found = []
    for trial in Trial.objects.filter(trials_at, succeeded=True).select_related("entry").order_by("at", "id"):
        pair = (trial.cause, trial.strategy)
        if pair not in seen and trial.at >= since and trial.worked:
            found.append(trial)
        seen.add(pair)
    return found[-12:][::-1]


def _repeats(events: QuerySet[KnowledgeEntry]) -> list[Repeat]:
    """Faults of this period that had been healed before, with the time of the first and of the newest healing."""
    recent = list(
        KnowledgeEntry.objects.filter(pk__in=events.values("pk"), outcome="healed")
        .exclude(fingerprint="")
        .order_by("-occurred_at")[:200]
    )
    found: dict[str, Repeat] = {}
    for entry in recent:
        if entry.fingerprint in found:
            continue
        past = list(
            KnowledgeEntry.objects.filter(
                fingerprint=entry.fingerprint, outcome="healed", cause=entry.cause, duration_seconds__isnull=False
            ).order_by("occurred_at", "pk")
        )
        if len(past) > 1 and past[0].duration_seconds is not None and past[-1].duration_seconds is not None:
            first, newest = past[0].duration_seconds, past[-1].duration_seconds
            found[entry.fingerprint] = Repeat(
                entry.named_cause, entry.workload, entry.namespace, first, newest, len(past), entry.ref
            )
    return list(found.values())[:12]
