"""Forgets what ended long ago. The audit trail is never touched; what was learned has its own rules (`knowledge`)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import QuerySet

from healing.models import HealingEvent, IdempotencyKey, LlmCall, ProactiveWarning, ReceivedAlert

log = structlog.get_logger(__name__)

#: So few rows at once that no lock is held for long. An event takes its timeline and all the rest with it.
BATCH = 200


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
    found["idempotencyKeys"] = IdempotencyKey.objects.filter(expires_at__lt=now)
    found["sessions"] = Session.objects.filter(expire_date__lt=now)
    return found


def prune(now: datetime, *, seconds: float = 20.0, dry_run: bool = False) -> dict[str, int]:
    """Delete what is due, for so many seconds at most; returns how many of each (of events: events). Call it again for
    the rest."""
    ends_at = time.monotonic() + seconds
    counted: dict[str, int] = {}
    for name, rows in due(now).items():
        if dry_run:
            counted[name] = rows.count()
            continue
        counted[name] = 0
        while time.monotonic() < ends_at:
            chosen = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
            rows.model._default_manager.filter(pk__in=chosen).delete()  # noqa: SLF001 - Django's name for it
            counted[name] += len(chosen)
            if len(chosen) < BATCH:
                break
    if any(counted.values()) and not dry_run:
        log.info("forgot what ended long ago", **counted)
    return counted
