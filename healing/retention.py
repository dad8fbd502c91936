"""Forgets what ended long ago. The audit trail is never touched; what was learned has its own rules (`knowledge`).

An event goes together with its HealingEvent resource: once the row is gone, nobody would know that it is ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import QuerySet

from healing import mirror
from healing.models import EventFigures, HealingEvent, IdempotencyKey, LlmCall, ProactiveWarning, ReceivedAlert
from healing.ports import Ports, get_ports
from healing.ports.errors import SourceError

log = structlog.get_logger(__name__)

#: So few rows at once that no lock is held for long. An event takes its timeline and all the rest with it.
BATCH = 200
#: what an event's resource is found by
_NAMED_BY = ("name", "cluster", "fingerprint", "target_namespace", "mirrored_seq")


def due(now: datetime) -> Mapping[str, QuerySet[Any]]:
    """What may go, by name, oldest first. 0 days: for ever."""
    found: dict[str, QuerySet[Any]] = {}
    if settings.RETENTION_DAYS:
        before = now - timedelta(days=settings.RETENTION_DAYS)
        # A pod that is still isolated has to be released by its row.
        found["events"] = HealingEvent.objects.filter(finished_at__lt=before).exclude(
            isolations__released_at__isnull=True, isolations__isnull=False
        )
        found["warnings"] = ProactiveWarning.objects.filter(closed_at__lt=before)
    if settings.RETENTION_DETAIL_DAYS:
        before = now - timedelta(days=settings.RETENTION_DETAIL_DAYS)
        found["languageModelCalls"] = LlmCall.objects.filter(asked_at__lt=before)
        found["alerts"] = ReceivedAlert.objects.filter(is_firing=False, last_received_at__lt=before)
    if settings.RETENTION_FIGURES_DAYS:
        before = now - timedelta(days=settings.RETENTION_FIGURES_DAYS)
        # Those of an event that is still there would be counted again.
        found["figures"] = EventFigures.objects.filter(finished_at__lt=before, event__isnull=True)
    found["idempotencyKeys"] = IdempotencyKey.objects.filter(expires_at__lt=now)
    found["sessions"] = Session.objects.filter(expire_date__lt=now)
    return found


def prune(
    now: datetime, *, seconds: float = 20.0, dry_run: bool = False, ports_of: Callable[[str], Ports] = get_ports
) -> dict[str, int]:
    """Delete what is due, for so many seconds at most; returns how many of each (of events: events). Call it again for
    the rest. An event whose cluster does not answer stays until it does."""
    ends_at = time.monotonic() + seconds
    counted: dict[str, int] = {}
    resources = _Resources(ports_of)
    for name, rows in due(now).items():
        if dry_run:
            counted[name] = rows.count()
            continue
        counted[name] = 0
        while time.monotonic() < ends_at:
            if name == "events":
                left = rows.exclude(cluster__in=resources.silent).only(*_NAMED_BY)
                chosen = list(left.order_by("pk")[:BATCH])
                gone = resources.removed(chosen, ends_at)
            else:
                gone = chosen = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
            rows.model._default_manager.filter(pk__in=gone).delete()  # noqa: SLF001 - Django's name for it
            counted[name] += len(gone)
            if len(chosen) < BATCH:
                break
    if any(counted.values()) and not dry_run:
        log.info("forgot what ended long ago", **counted)
    return counted


class _Resources:
    """The HealingEvent resources of events that are to go. ``silent``: clusters that did not answer this time."""

    def __init__(self, ports_of: Callable[[str], Ports]) -> None:
        self._ports_of = ports_of
        self.silent: set[str] = set()

    def removed(self, events: Iterable[HealingEvent], ends_at: float) -> list[int]:
        """Ids of those whose resource is gone, or never was, or is not ours to delete."""
        found = []
        for event in events:
            if time.monotonic() > ends_at:
                break
            if event.cluster not in self.silent and self._remove(event):
                found.append(event.pk)
        return found

    def _remove(self, event: HealingEvent) -> bool:
        if event.mirrored_seq < 0:
            return True  # none was ever written
        try:
            ports = self._ports_of(event.cluster)
        except LookupError:
            return True  # a cluster that nobody looks after any more
        try:
            mirror.remove(event, ports.cluster)
        except SourceError as error:
            if error.retryable:
                self.silent.add(event.cluster)
                log.warning(
                    "events of a cluster that does not answer are kept", cluster=event.cluster, error=str(error)
                )
                return False
            log.warning("a HealingEvent resource stays behind", event_name=event.name, error=str(error))
        return True
