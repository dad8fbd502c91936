"""The watcher's sign of life in the cache, for the dashboard and `/readyz`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

import structlog
from django.core.cache import cache

from healing import shared_clock

log = structlog.get_logger(__name__)

EVERY_SECONDS = 2.0
_KEPT_SECONDS = 3600
#: Older signs of life say nothing about now.
SILENT_AFTER = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """``problems``: what cannot be reached, by part. ``lag_seconds``: from a change to its judgement, lately.
    ``answers``: whether the cluster could be talked to at the last try."""

    at: str
    identity: str
    is_leader: bool
    leader: str = ""
    lag_seconds: float | None = None
    objects: int = 0
    synced: bool = False
    problems: dict[str, str] = field(default_factory=dict)
    answers: bool = True

    def age(self, now: datetime | None = None) -> timedelta:
        """How old this sign of life is."""
        return (now or shared_clock.now()) - datetime.fromisoformat(self.at)


def write(cluster: str, beat: Heartbeat) -> None:
    """As `write_all`, for one."""
    write_all({cluster: beat})


def write_all(beats: Mapping[str, Heartbeat]) -> None:
    """A cache that is away costs the sign of life, never the watching. Only the leader's is kept, if there is one."""
    try:
        cache.set_many({_key(cluster): asdict(beat) for cluster, beat in beats.items()}, timeout=_KEPT_SECONDS)
    except Exception as error:  # noqa: BLE001 - whatever the cache's client raises
        log.debug("no heartbeat", error=str(error))


def read(cluster: str) -> Heartbeat | None:
    """The last sign of life; None: there was none lately, or the cache cannot be read."""
    return read_all([cluster])[cluster]


def read_all(clusters: Collection[str]) -> dict[str, Heartbeat | None]:
    """As `read`, for several at once."""
    try:
        found = cache.get_many([_key(cluster) for cluster in clusters])
    except Exception as error:  # noqa: BLE001 - as above
        log.debug("no heartbeat", error=str(error))
        found = {}
    values = {cluster: found.get(_key(cluster)) for cluster in clusters}
    return {cluster: Heartbeat(**value) if value else None for cluster, value in values.items()}


def answering(clusters: Iterable[str]) -> list[str]:
    """Those of the clusters of which no watcher says that they do not answer: others are not worth asking now."""
    beats = read_all(list(clusters))
    return [cluster for cluster, beat in beats.items() if beat is None or beat.answers or beat.age() > SILENT_AFTER]


def _key(cluster: str) -> str:
    return f"watcher.heartbeat.{cluster}"
