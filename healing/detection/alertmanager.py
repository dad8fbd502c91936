"""Alerts as Alertmanager delivers them (webhook payload, version 4): read strictly, kept row by row.

A delivery is one transaction of a few statements however many alerts it has. What an alert is about is looked up
afterwards, by `healing.detection.alert_matching`: Alertmanager does not wait for a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from django.conf import settings
from django.db import transaction
from django.db.models import F
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from healing import shared_clock
from healing.models import AlertState, ReceivedAlert

MAX_ALERTS = 1000
#: Kinds that tell of no fault: always firing, or about alerting itself.
NO_FAULT = frozenset({"Watchdog", "InfoInhibitor", "DeadMansSwitch", "DeadMansSnitch"})


def _without_nul(value: object) -> object:
    return value.replace("\0", "") if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_without_nul)]
Labels = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=200), BeforeValidator(_without_nul)],
        Annotated[str, Field(max_length=4000), BeforeValidator(_without_nul)],
    ],
    Field(max_length=100),
]


class _Part(BaseModel):
    """What newer versions of Alertmanager add is no error."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")


class Alert(_Part):
    """One alert. ``endsAt`` counts only where it is resolved: of a firing one it is a guess, or the year 1."""

    status: Literal["firing", "resolved"]
    labels: Labels
    annotations: Labels = Field(default_factory=dict)
    starts_at: datetime
    ends_at: datetime | None = None
    generator_url: Annotated[Text, Field(max_length=4000, alias="generatorURL")] = ""
    fingerprint: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,64}$")]


class Payload(_Part):
    """A delivery: alerts of one group."""

    version: Literal["4"]
    status: Literal["firing", "resolved"]
    receiver: Annotated[Text, Field(max_length=500)] = ""
    group_key: Annotated[Text, Field(max_length=4000)] = ""
    truncated_alerts: Annotated[int, Field(ge=0)] = 0
    alerts: Annotated[list[Alert], Field(max_length=MAX_ALERTS)]


@dataclass(frozen=True, slots=True)
class Stored:
    """What a delivery brought: ``new`` alerts, those that ``changed`` (fired, then resolved), those known already."""

    received: int
    new: int
    changed: int
    clusters: frozenset[str]


def store(payload: Payload, cluster: str = "") -> Stored:
    """Keep the alerts; those that are new or have changed are to be looked at. ``cluster``: the one the caller names;
    else the label ``cluster`` says, where it is one of ours. Delivering the same again changes nothing."""
    now = shared_clock.now()
    alerts: dict[tuple[str, str, datetime], Alert] = {}
    for alert in payload.alerts:
        key = (cluster or cluster_of(alert.labels), alert.fingerprint, _utc(alert.starts_at))
        known = alerts.get(key)
        if known is None or known.status == "firing":  # of one that is there twice, its end counts
            alerts[key] = alert
    with transaction.atomic():
        before = _rows(alerts)
        fresh = [_row(key, alert, now) for key, alert in alerts.items() if key not in before]
        ReceivedAlert.objects.bulk_create(fresh, ignore_conflicts=True, batch_size=200)
        changed = 0
        again: list[int] = []
        for key, alert in alerts.items():
            row = before.get(key)
            if row is None:
                continue
            again.append(row.pk)
            if row.is_firing and alert.status == "resolved":
                # Only once: whoever delivers it at the same time finds that it fires no more.
                changed += ReceivedAlert.objects.filter(pk=row.pk, is_firing=True).update(
                    is_firing=False, ends_at=_end(alert, now), annotations=alert.annotations, look_at=now
                )
        ReceivedAlert.objects.filter(pk__in=again).update(last_received_at=now, deliveries=F("deliveries") + 1)
        # One that found no object, policy or news may find it now: it still fires, or it would not be delivered.
        retry = ReceivedAlert.objects.filter(pk__in=again, is_firing=True, look_at__isnull=True)
        retry.filter(state__in=(AlertState.UNMATCHED, AlertState.UNCOVERED, AlertState.LEFT_ALONE)).update(look_at=now)
    return Stored(len(payload.alerts), len(fresh), changed, frozenset(key[0] for key in alerts))


def cluster_of(labels: Mapping[str, str]) -> str:
    """The cluster an alert's label names, if it is one of ours; else the default one."""
    named = labels.get("cluster", "")
    return named if named in settings.CLUSTERS else str(settings.CLUSTER_NAME)


def _rows(alerts: Mapping[tuple[str, str, datetime], Alert]) -> dict[tuple[str, str, datetime], ReceivedAlert]:
    prints = {fingerprint for _, fingerprint, _ in alerts}
    clusters = {cluster for cluster, *_ in alerts}
    rows = ReceivedAlert.objects.select_for_update().filter(fingerprint__in=prints, cluster__in=clusters)
    starts = {start for *_, start in alerts}
    return {
        (row.cluster, row.fingerprint, row.starts_at): row for row in rows.filter(starts_at__in=starts).order_by("pk")
    }


def _row(key: tuple[str, str, datetime], alert: Alert, now: datetime) -> ReceivedAlert:
    cluster, fingerprint, starts_at = key
    name = alert.labels.get("alertname", "")[:200]
    reason = _no_fault(name, alert.labels)
    is_firing = alert.status == "firing"
    return ReceivedAlert(
        cluster=cluster,
        fingerprint=fingerprint,
        starts_at=starts_at,
        name=name or "unnamed",
        labels=alert.labels,
        annotations=alert.annotations,
        generator_url=alert.generator_url,
        is_firing=is_firing,
        ends_at=None if is_firing else _end(alert, now),
        state=AlertState.IGNORED if reason else AlertState.PENDING,
        reason=reason,
        last_received_at=now,
        look_at=None if reason else now,
    )


def _no_fault(name: str, labels: Mapping[str, str]) -> str:
    if name in NO_FAULT:
        return f"{name} tells that alerting works, not that something is wrong."
    if labels.get("severity") in ("none", "info"):
        return f"Its severity is {labels['severity']}: it tells of no fault."
    return ""


def _end(alert: Alert, now: datetime) -> datetime:
    ends_at = _utc(alert.ends_at) if alert.ends_at is not None else now
    return ends_at if ends_at.year > 1 else now


def _utc(at: datetime) -> datetime:
    """A time without a zone is meant as UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
