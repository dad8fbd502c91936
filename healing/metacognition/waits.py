"""Keeps the books of time that is not ours: waiting for another event's healing or for a limit, and the cluster's own.

A phase's run says in its result since when it waits (``waitingSince``), and at its end how long it did
(``othersSeconds``); a verification says how long the cluster took to do what it was told (``clusterSeconds``) and how
long it was watched afterwards (``stableSeconds``). `healing.clocks` reads them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from healing import shared_clock
from healing.models import HealingEvent, PhaseRun
from healing.phase import PhaseContext, PhaseHandler, PhaseResult

#: In the result of a run that stays in its phase because it waits.
_REASONS = ("waitedFor", "waitingFor")


def keeping_books(handler: PhaseHandler) -> PhaseHandler:
    """The handler, with the time it waited for others in its results."""

    def run(context: PhaseContext) -> PhaseResult:
        started, before = shared_clock.now(), memory(context.event)
        result = handler(context)
        result.result = {**result.result, **_books(before, result, started)}
        return result

    return run


def memory(event: HealingEvent) -> dict[str, Any]:
    """What earlier looks of this stay in the event's phase have left behind."""
    run = PhaseRun.objects.filter(event=event, phase=event.phase, finished_at=None).first()
    return dict(run.result) if run else {}


def _books(before: dict[str, Any], result: PhaseResult, started: datetime) -> dict[str, Any]:
    seconds, since = float(before.get("othersSeconds", 0.0)), before.get("waitingSince")
    found: dict[str, Any] = {}
    if result.next is None and any(result.result.get(reason) for reason in _REASONS):
        found["waitingSince"] = since or started.isoformat()
    elif since:
        seconds += max(0.0, (started - datetime.fromisoformat(since)).total_seconds())
    if before.get("waitedFor"):
        found["waitedFor"] = result.result.get("waitedFor") or before["waitedFor"]
    if seconds:
        found["othersSeconds"] = round(seconds, 3)
    return found


def of_verification(applied_at: datetime, well_since: datetime | None, now: datetime) -> dict[str, float]:
    """How long the cluster took, and how long it has been watched since it is well."""
    until = well_since or now
    return {
        "clusterSeconds": round(max(0.0, (until - applied_at).total_seconds()), 3),
        "stableSeconds": round((now - until).total_seconds(), 3),
    }
