"""How long each sighting has lasted: a fault is what outlives its grace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from healing.detection.cache import Key
from healing.detection.sighting import Sighting

#: A crash loop's container runs between its crashes, up to five minutes apart: still the same standing fault.
STANDING_GAP_SECONDS = 360.0


@dataclass(slots=True)
class Tracked:
    """A sighting with its clocks (this process's monotonic one, in seconds)."""

    object_key: Key
    sighting: Sighting
    first_seen: float
    next_report_at: float
    #: since when it has stood, short gaps included, by the wall clock; None: since before we looked
    standing_since: datetime | None
    is_reported: bool = False


class Tracker:
    """Safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tracked: dict[Key, dict[tuple[str, str], Tracked]] = {}
        #: (object, symptom) -> (standing since, last seen)
        self._standing: dict[tuple[Key, str], tuple[datetime | None, float]] = {}

    def update(self, key: Key, sightings: Sequence[Sighting], now: datetime, *, is_first_look: bool = False) -> None:
        """The object was looked at: these are its sightings now, all others have ended.

        ``is_first_look``: it was like this before we came, so the cluster's own time of its beginning counts.
        """
        at = self._clock()
        with self._lock:
            before = self._tracked.pop(key, {})
            if not sightings:
                self._forget_old_standing(at)
                return
            entries = {}
            for sighting in sightings:
                standing_since = self._stand(key, sighting, at, now, is_first_look=is_first_look)
                known = before.get(sighting.key)
                if known is not None:
                    if not known.is_reported:  # its grace may have changed with what we know of it
                        known.next_report_at = known.first_seen + sighting.grace_seconds
                    known.sighting = sighting
                    entries[sighting.key] = known
                    continue
                first_seen = at - _age_seconds(sighting, now) if is_first_look else at
                due_at = first_seen + sighting.grace_seconds
                entries[sighting.key] = Tracked(key, sighting, first_seen, due_at, standing_since)
            self._tracked[key] = entries

    def due(self) -> list[Tracked]:
        """Sightings past their grace that have not been reported lately, longest first."""
        at = self._clock()
        with self._lock:
            found = [
                tracked
                for entries in self._tracked.values()
                for tracked in entries.values()
                if tracked.next_report_at <= at
            ]
        return sorted(found, key=lambda tracked: tracked.first_seen)

    def report_again_in(self, tracked: Tracked, seconds: float) -> None:
        """It has been reported; it is due again after that time, if it still stands."""
        with self._lock:
            tracked.is_reported = True
            tracked.next_report_at = self._clock() + seconds

    def seconds_until_due(self, kind: str = "") -> float | None:
        """Seconds until the next sighting (on objects of one kind, or any) is due; None: nothing is tracked."""
        at = self._clock()
        with self._lock:
            times = [
                tracked.next_report_at
                for key, entries in self._tracked.items()
                for tracked in entries.values()
                if not kind or key[0] == kind
            ]
        return max(0.0, min(times) - at) if times else None

    def keys(self, kind: str = "") -> list[Key]:
        """Objects with sightings, of one kind or all."""
        with self._lock:
            return [key for key in self._tracked if not kind or key[0] == kind]

    def entries(self) -> list[Tracked]:
        """Everything that is tracked now."""
        with self._lock:
            return [tracked for entries in self._tracked.values() for tracked in entries.values()]

    def forget(self, key: Key) -> None:
        """The object is gone."""
        with self._lock:
            self._tracked.pop(key, None)

    def _stand(self, key: Key, sighting: Sighting, at: float, now: datetime, *, is_first_look: bool) -> datetime | None:
        since, last_seen = self._standing.get((key, sighting.symptom), (now, float("-inf")))
        if at - last_seen > STANDING_GAP_SECONDS:
            since = None if is_first_look else now
        self._standing[(key, sighting.symptom)] = since, at
        return since

    def _forget_old_standing(self, at: float) -> None:
        old = [entry for entry, (_, last_seen) in self._standing.items() if at - last_seen > STANDING_GAP_SECONDS]
        for entry in old:
            del self._standing[entry]


def _age_seconds(sighting: Sighting, now: datetime) -> float:
    """How long it has lasted already, by the cluster's clock; never more than the grace."""
    if sighting.since is None:
        return 0.0
    age = max(timedelta(0), now - sighting.since).total_seconds()
    return min(age, sighting.grace_seconds)
