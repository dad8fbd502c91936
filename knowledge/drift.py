"""Drift: fixes that stopped working and kinds of faults not seen before, as notices for people."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import datetime, timedelta

from django.utils import timezone

from knowledge.models import EntryKind, Notice, Topic, Trial

#: What counts as recent, and how much of both sides is needed to compare them.
RECENT = timedelta(days=14)
_LEAST_BEFORE, _LEAST_RECENT = 5, 3
#: A fix that was hardly good before cannot stop working.
_GOOD = 0.6
#: So unlikely is it, had nothing changed, that it works this seldom.
UNLIKELY = 0.03
_NEW_WITHIN = timedelta(days=7)
_LEAST_OF_A_KIND = 3
#: A memory younger than this has seen everything for the first time.
_MEMORY_AGE = timedelta(days=14)


def look(now: datetime | None = None) -> list[Notice]:
    """New notices. The same thing is said once."""
    now = now or timezone.now()
    return [*_fixes_that_stopped(now), *_new_kinds(now)]


def chance_of_so_few(succeeded: int, tried: int, before_succeeded: int, before_tried: int) -> float:
    """How likely at most ``succeeded`` of ``tried`` are, were the rate what it was before (beta-binomial tail)."""
    a, b = before_succeeded + 1.0, before_tried - before_succeeded + 1.0
    return min(1.0, sum(_beta_binomial(k, tried, a, b) for k in range(succeeded + 1)))


def _beta_binomial(k: int, n: int, a: float, b: float) -> float:
    def log_beta(x: float, y: float) -> float:
        return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

    log_choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log_choose + log_beta(k + a, n - k + b) - log_beta(a, b))


def _fixes_that_stopped(now: datetime) -> list[Notice]:
    trials: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    rows = Trial.objects.filter(at__gt=now - timedelta(days=365), is_imported=False).exclude(cause="")
    for row in rows.order_by("at").iterator():
        trials[row.cause, row.strategy].append(row)
    made = []
    for (cause, strategy), all_of_it in sorted(trials.items()):
        recent = [t for t in all_of_it if t.at > now - RECENT]
        before = [t for t in all_of_it if t.at <= now - RECENT]
        if len(before) < _LEAST_BEFORE or len(recent) < _LEAST_RECENT:
            continue
        was, works = sum(t.worked for t in before), sum(t.worked for t in recent)
        if was / len(before) < _GOOD or chance_of_so_few(works, len(recent), was, len(before)) > UNLIKELY:
            continue
        text = (
            f"{strategy} no longer works against {cause}: {works} of the last {len(recent)}, {was} of {len(before)}"
            " before. Look at what has changed, or correct the cause of the newest events."
        )
        data: dict[str, object] = {
            "cause": cause,
            "strategy": strategy,
            "recent": [works, len(recent)],
            "before": [was, len(before)],
        }
        made += _notice(f"fix-stopped:{cause}:{strategy}:{recent[0].at:%Y-%m}", "fix-stopped", text, data, now)
    return made


def _new_kinds(now: datetime) -> list[Notice]:
    oldest = Topic.objects.order_by("first_seen_at").first()
    if oldest is None or oldest.first_seen_at > now - _MEMORY_AGE:
        return []
    made = []
    for topic in Topic.objects.filter(first_seen_at__gt=now - _NEW_WITHIN):
        times = sum(topic.entries.filter(kind=EntryKind.EVENT).values_list("occurrences", flat=True))
        if times >= _LEAST_OF_A_KIND:
            text = f"A new kind of fault: {topic.name}. {times} events since {topic.first_seen_at:%d %B}, none before."
            made += _notice(f"new-kind:{topic.pk}", "new-kind", text, {"topic": topic.pk}, now)
    return made


def _notice(key: str, kind: str, text: str, data: dict[str, object], now: datetime) -> list[Notice]:
    notice, created = Notice.objects.get_or_create(
        key=key[:200], defaults={"kind": kind, "text": text, "data": data, "at": now}
    )
    return [notice] if created else []
