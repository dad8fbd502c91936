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

#: Of many clusters: how many kinds of trouble are told, and how many names with each.
TROUBLES_SHOWN, NAMES_SHOWN = 5, 5
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
    """One sentence a cluster; of many, only those with trouble are spelled out, alike ones together."""
    beats = heartbeat.read_all(settings.CLUSTERS)
    if len(beats) == 1:
        (beat,) = beats.values()
        ok, says = _watching(beat)
        return Part("Watcher", ok=ok, says=says)
    troubled: dict[str, list[str]] = {}
    well = []
    for name, beat in beats.items():
        ok, says = _watching(beat)
        if beat is not None and not beat.answers and not ok:
            says = "does not answer."  # each in words of its own, with its address: the log has them
        if not ok:
            troubled.setdefault(says, []).append(name)
        elif beat is not None:
            well.append(beat)
    lags = [beat.lag_seconds for beat in well if beat.lag_seconds is not None]
    lag = f", {words.duration(max(lags))} behind" if lags else ""
    objects = words.count(sum(beat.objects for beat in well), "object")
    sentences = [
        f"{', '.join(_some(names))}: {says.rstrip('.')}." for says, names in list(troubled.items())[:TROUBLES_SHOWN]
    ]
    if len(troubled) > TROUBLES_SHOWN:
        sentences.append(f"And other trouble with {sum(map(len, list(troubled.values())[TROUBLES_SHOWN:]))} more.")
    sentences.append(f"Watching {objects} in {len(well)} of {len(beats)} clusters{lag}.")
    return Part("Watcher", ok=not troubled, says=" ".join(sentences))


def _some(names: list[str]) -> list[str]:
    return names if len(names) <= NAMES_SHOWN else [*names[:NAMES_SHOWN], f"{len(names) - NAMES_SHOWN} more"]


def _watching(beat: heartbeat.Heartbeat | None) -> tuple[bool, str]:
    if beat is None:
        return False, "No sign of life: new faults are not seen. Is manage.py watch running?"
    if (age := beat.age()) > heartbeat.SILENT_AFTER:
        silent = words.duration(age.total_seconds())
        return False, f"Silent for {silent}: new faults are not seen. Is manage.py watch running?"
    if beat.problems:
        return False, "; ".join(f"{part}: {why}" for part, why in beat.problems.items())
    if not beat.synced:
        return True, "Reading the cluster for the first time."
    lag = f", {words.duration(beat.lag_seconds)} behind" if beat.lag_seconds is not None else ""
    return True, f"Watching {words.count(beat.objects, 'object')}{lag}."


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
