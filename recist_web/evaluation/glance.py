"""A quick look at the events of the running scenarios: enough to see whether anything can still happen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.apps import apps

from healing.detection import heartbeat
from healing.models import HealingEvent, Policy

_FIELDS = (
    "cluster", "name", "target_kind", "target_namespace", "target_name", "subject", "signals", "detected_at", "phase",
    "outcome", "cause", "cause_object", "finished_at", "seq",
)  # fmt: skip


def glance(clusters: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Cluster -> its events in the shape of the record, with few fields. Times are seconds since the epoch."""
    found: dict[str, list[dict[str, Any]]] = {cluster: [] for cluster in clusters}
    if not clusters:
        return found
    for row in HealingEvent.objects.filter(cluster__in=clusters).order_by("detected_at").values(*_FIELDS):
        cause = {"cause": row["cause"], "object": row["cause_object"] or {}}
        found[row["cluster"]].append(
            {
                "name": row["name"],
                "target": {
                    "kind": row["target_kind"], "namespace": row["target_namespace"], "name": row["target_name"],
                },
                "subject": row["subject"] or {},
                "signals": [{"at": datetime.fromisoformat(signal["at"]).timestamp()} for signal in row["signals"]],
                "detectedAt": row["detected_at"].timestamp(),
                "findings": [cause] if row["cause"] else [],
                "phase": row["phase"],
                "outcome": row["outcome"],
                "finished": row["finished_at"] is not None,
                "seq": row["seq"],
            }
        )  # fmt: skip
    return found


def is_watched(cluster: str, policies: int) -> bool:
    """Whether the product has read the cluster as a whole, and so many policies of it."""
    beat = heartbeat.read(cluster)
    if beat is None or not beat.synced or beat.problems:
        return False
    return Policy.objects.filter(cluster=cluster).count() >= policies


def remembered(cluster: str) -> int:
    """How many states of objects it remembers of the cluster, to restore them from."""
    model = next(model for model in apps.get_app_config("healing").get_models() if model.__name__.startswith("Known"))
    found: int = model._default_manager.filter(cluster=cluster).count()  # noqa: SLF001 - Django's name for it
    return found
