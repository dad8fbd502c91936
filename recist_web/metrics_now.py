"""What stands right now, for /metrics: gauges of the database (each query goes through an index over few rows), of the
watchers' signs of life, and of this process."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from datetime import datetime

import django
from django.conf import settings
from django.db.models import Count, F, Min, Q
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric

from healing.dashboard.live import hub
from healing.detection import heartbeat
from healing.lifecycle import BUDGET_SECONDS, Status
from healing.models import (
    Approval,
    ApprovalState,
    Delivery,
    DeliveryState,
    Halt,
    HealingEvent,
    Isolation,
    ProactiveWarning,
    ReceivedAlert,
    WarningState,
)
from knowledge.models import KnowledgeEntry
from recist_web.version import version

#: More events than this waiting for their resource are as bad as this many, and cost no more to count.
COUNT_AT_MOST = 10_000


def build_info() -> Metric:
    found = InfoMetricFamily("recist_build", "What runs here")
    found.add_metric([], {"version": version(), "python": platform.python_version(), "django": django.get_version()})
    return found


def budgets() -> Metric:
    found = GaugeMetricFamily("recist_phase_budget_seconds", "How long each phase may take", labels=["phase"])
    for wound, seconds in BUDGET_SECONDS.items():
        found.add_metric([str(wound)], seconds)
    return found


def sockets() -> Metric:
    return GaugeMetricFamily(
        "recist_dashboard_sockets", "Dashboards connected to this process", value=hub.open_sockets()
    )


def clusters(now: datetime) -> Iterator[Metric]:
    """The watchers' signs of life, from the cache."""
    up = GaugeMetricFamily("recist_watch_up", "1: a watcher leads and has told so lately", labels=["cluster"])
    age = GaugeMetricFamily("recist_watch_heartbeat_age_seconds", "Age of the last sign of life", labels=["cluster"])
    lag = GaugeMetricFamily("recist_watch_lag_seconds", "From a change to its judgement, lately", labels=["cluster"])
    objects = GaugeMetricFamily("recist_watch_objects", "Objects the watcher knows", labels=["cluster"])
    problems = GaugeMetricFamily(
        "recist_watch_problems", "Sources of a cluster that cannot be reached", labels=["cluster"]
    )
    for name, beat in heartbeat.read_all(list(settings.CLUSTERS)).items():
        alive = beat is not None and beat.age(now) <= heartbeat.SILENT_AFTER and (beat.is_leader or bool(beat.leader))
        up.add_metric([name], 1 if alive and beat is not None and beat.answers else 0)
        if beat is None:
            continue
        age.add_metric([name], max(0.0, beat.age(now).total_seconds()))
        if beat.lag_seconds is not None:
            lag.add_metric([name], beat.lag_seconds)
        objects.add_metric([name], beat.objects)
        problems.add_metric([name], len(beat.problems))
    yield from (up, age, lag, objects, problems)


def of_database(now: datetime) -> Iterator[Metric]:
    """Raises `django.db.DatabaseError`."""
    yield _events()
    yield from _runs(now)
    yield from _approvals(now)
    yield from _behind(now)
    yield from _others()


def _events() -> Metric:
    found = GaugeMetricFamily("recist_events_open", "Healing events that have not ended", labels=["cluster", "phase"])
    rows = HealingEvent.objects.filter(finished_at__isnull=True).order_by().values_list("cluster", "phase")
    for cluster, phase, count in rows.annotate(count=Count("pk")):
        found.add_metric([cluster, phase], count)
    return found


def _runs(now: datetime) -> Iterator[Metric]:
    """The engine's own queue, which stands in the rows: also what no message tells of any more."""
    due = Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=now)
    waiting = HealingEvent.objects.filter(due, status=Status.QUEUED).order_by()
    row = waiting.aggregate(count=Count("pk"), oldest=Min("dispatched_at"))
    yield GaugeMetricFamily("recist_runs_due", "Runs of phases that no worker has begun", value=row["count"])
    yield GaugeMetricFamily(
        "recist_runs_due_oldest_age_seconds", "Age of the oldest of them", value=_age(row["oldest"], now)
    )
    lost = HealingEvent.objects.filter(status=Status.RUNNING, lease_expires_at__lt=now).order_by()
    yield GaugeMetricFamily("recist_runs_lost", "Runs whose worker did not come back", value=lost.count())


def _approvals(now: datetime) -> Iterator[Metric]:
    waiting = Approval.objects.filter(state=ApprovalState.OPEN).order_by()
    row = waiting.aggregate(count=Count("pk"), oldest=Min("created_at"), next=Min("expires_at"))
    yield GaugeMetricFamily("recist_approvals_open", "Approvals that wait for a person", value=row["count"])
    yield GaugeMetricFamily(
        "recist_approvals_oldest_age_seconds", "How long the oldest of them waits", value=_age(row["oldest"], now)
    )
    soonest = GaugeMetricFamily("recist_approvals_next_expiry_seconds", "Until the first of them expires")
    if row["next"] is not None:
        soonest.add_metric([], (row["next"] - now).total_seconds())
    yield soonest


def _behind(now: datetime) -> Iterator[Metric]:
    """Projections of the record that lag: resources in the clusters, and the memory's index."""
    behind = HealingEvent.objects.filter(mirrored_seq__lt=F("seq")).order_by()
    yield GaugeMetricFamily(
        "recist_mirror_behind", "Events whose HealingEvent resource lags", value=behind[:COUNT_AT_MOST].count()
    )
    queued = KnowledgeEntry.objects.filter(indexed_at__isnull=True, merged_into__isnull=True).order_by()
    row = queued.aggregate(count=Count("pk"), oldest=Min("created_at"))
    yield GaugeMetricFamily("recist_memory_pending", "Entries that the memory's index lacks", value=row["count"])
    yield GaugeMetricFamily(
        "recist_memory_pending_oldest_age_seconds", "Age of the oldest of them", value=_age(row["oldest"], now)
    )


def _others() -> Iterator[Metric]:
    warnings = GaugeMetricFamily("recist_warnings_open", "Warnings before a fault", labels=["cluster", "kind"])
    rows = ProactiveWarning.objects.filter(state=WarningState.OPEN).order_by().values_list("cluster", "kind")
    for cluster, kind, count in rows.annotate(count=Count("pk")):
        warnings.add_metric([cluster, kind], count)
    alerts = GaugeMetricFamily("recist_alerts_firing", "Alerts of Alertmanager that fire", labels=["state"])
    firing = ReceivedAlert.objects.filter(is_firing=True).order_by().values_list("state")
    for state, count in firing.annotate(count=Count("pk")):
        alerts.add_metric([state], count)
    open_ = Delivery.objects.filter(state__in=(DeliveryState.QUEUED, DeliveryState.SENDING)).order_by()
    told = GaugeMetricFamily("recist_notifications_waiting", "Messages not sent yet", labels=["channel"])
    for channel, count in open_.values_list("channel_type").annotate(count=Count("pk")):
        told.add_metric([channel], count)
    isolated = GaugeMetricFamily("recist_isolations_open", "Pods that are kept from traffic", labels=["cluster"])
    held = Isolation.objects.filter(released_at__isnull=True).order_by().values_list("cluster")
    for cluster, count in held.annotate(count=Count("pk")):
        isolated.add_metric([cluster], count)
    halts = Halt.objects.filter(lifted_at__isnull=True).count()
    yield from (warnings, alerts, told, isolated)
    yield GaugeMetricFamily("recist_halts", "Kill switches that are thrown", value=halts)


def _age(moment: datetime | None, now: datetime) -> float:
    return max(0.0, (now - moment).total_seconds()) if moment else 0.0
