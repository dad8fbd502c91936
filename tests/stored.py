"""Rows of the database with sensible defaults, for tests that only care for some of their values."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from healing.models import HealingEvent, Isolation, ProactiveWarning, WarningKind, WarningState

#: What a warning of a kind is about, what it is measured in, the level now, the limit.
_WARNED: dict[str, tuple[str, str, float, float]] = {
    WarningKind.MEMORY: ("Pod", "bytes", 3e8, 5e8),
    WarningKind.VOLUME: ("PersistentVolumeClaim", "bytes", 45e9, 50e9),
    WarningKind.CERTIFICATE: ("Secret", "seconds", 6 * 86400.0, 0.0),
}


def warning(
    kind: WarningKind = WarningKind.MEMORY, name: str = "orders-1", *, at: datetime | None = None, **values: Any
) -> ProactiveWarning:
    """An open warning about ``name`` in namespace shop, seen ``at`` (now), 20 minutes before the limit."""
    at = at or timezone.now()
    about, unit, level, limit = _WARNED[kind]
    usual = {
        "cluster": "default",
        "namespace": "shop",
        "object_kind": about,
        "state": WarningState.OPEN,
        "message": f"{name} comes near its limit.",
        "unit": unit,
        "level": level,
        "limit": limit,
        "breach_at": at + timedelta(minutes=20),
        "opened_at": at,
        "seen_at": at,
    }
    row = {**usual, **values}
    row.setdefault("breach_earliest_at", row["breach_at"])
    return ProactiveWarning.objects.create(kind=kind, object_name=name, **row)


def isolation(event: HealingEvent, pod: str, *, seconds: float = 900.0, **values: Any) -> Isolation:
    """A pod of namespace shop that no traffic reaches since now, for so many seconds."""
    now = timezone.now()
    usual = {
        "cluster": "default",
        "namespace": "shop",
        "pod_uid": f"uid-{pod}",
        "mode": Isolation.Mode.SOFT,
        "policy_name": f"isolate-{pod}",
        "label": "isolated",
        "created_at": now,
        "expires_at": now + timedelta(seconds=seconds),
    }
    return Isolation.objects.create(event=event, pod_name=pod, **{**usual, **values})
