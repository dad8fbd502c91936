"""The health of the app's own parts in plain words, from what the database says: no page load may wait for a part."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from healing.dashboard import words
from healing.detection import heartbeat
from healing.lifecycle import Status
from healing.models import HealingEvent

#: The watcher says something every two seconds.
SILENT_AFTER = timedelta(seconds=15)
#: Work that nobody took up in this time means that no worker serves its queue.
LATE_AFTER = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Part:
    """``ok`` is False where a person should look."""

    name: str
    ok: bool
    says: str


def parts() -> list[Part]:
    """All parts, the broken ones first."""
    return sorted([_watcher(), _workers(), _mirror()], key=lambda part: part.ok)


def _watcher() -> Part:
    beat = heartbeat.read(settings.CLUSTER_NAME)
    if beat is None:
        return Part("Watcher", ok=False, says="No sign of life: new faults are not seen. Is manage.py watch running?")
    if (age := beat.age()) > SILENT_AFTER:
        says = f"Silent for {words.duration(age.total_seconds())}: new faults are not seen. Is manage.py watch running?"
        return Part("Watcher", ok=False, says=says)
    if beat.problems:
        return Part("Watcher", ok=False, says="; ".join(f"{part}: {why}" for part, why in beat.problems.items()))
    if not beat.synced:
        return Part("Watcher", ok=True, says="Reading the cluster for the first time.")
    lag = f", {words.duration(beat.lag_seconds)} behind" if beat.lag_seconds is not None else ""
    return Part("Watcher", ok=True, says=f"Watching {words.count(beat.objects, 'object')}{lag}.")


def _workers() -> Part:
    late = timezone.now() - LATE_AFTER
    stuck = HealingEvent.objects.filter(
        Q(status=Status.RUNNING, lease_expires_at__lt=late)
        | Q(status=Status.QUEUED, next_attempt_at__isnull=True, dispatched_at__lt=late)
        | Q(status=Status.QUEUED, next_attempt_at__lt=late)
    ).count()
    if stuck:
        waits = words.count(stuck, "event waits", "events wait")
        says = f"{waits} for a worker that does not come. Are worker and beat running?"
        return Part("Workers", ok=False, says=says)
    return Part("Workers", ok=True, says="Keeping up: no event waits for a worker.")


def _mirror() -> Part:
    behind = HealingEvent.objects.filter(
        mirrored_seq__lt=F("seq"), detected_at__lt=timezone.now() - LATE_AFTER, finished_at__isnull=True
    ).count()
    if behind:
        says = f"{words.count(behind, 'open event')} not yet written to the cluster as HealingEvent resources."
        return Part("Cluster mirror", ok=False, says=says)
    return Part("Cluster mirror", ok=True, says="kubectl get he shows the same as this page.")
