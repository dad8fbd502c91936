"""/metrics in Prometheus' text format: this process, and the healing events as the database has them."""

from __future__ import annotations

from collections.abc import Iterator

import structlog
from django.db import DatabaseError
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

log = structlog.get_logger(__name__)


class EventsCollector(Collector):
    """Counted at the scrape, so that every web process tells the same."""

    def describe(self) -> list[Metric]:
        """Nothing: registering must not query the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        # Models can be imported when the apps are loaded, which is not yet so when the middleware imports this file.
        from healing.models import Approval, ApprovalState, Delivery, HealingEvent, ReceivedAlert  # noqa: PLC0415

        up = GaugeMetricFamily("recist_database_up", "1: the database answers")
        events = GaugeMetricFamily("recist_events", "Healing events by phase and outcome", labels=["phase", "outcome"])
        waiting = GaugeMetricFamily("recist_approvals_open", "Approvals that wait for a person")
        told = GaugeMetricFamily(
            "recist_notifications",
            "Notifications of the last 30 days by channel and state",
            labels=["channel", "state"],
        )
        alerts = GaugeMetricFamily("recist_alerts_firing", "Alerts of Alertmanager that fire", labels=["state"])
        try:
            for row in Delivery.objects.order_by().values("channel_type", "state").annotate(count=Count("pk")):
                told.add_metric([row["channel_type"], row["state"]], row["count"])
            firing = ReceivedAlert.objects.filter(is_firing=True).order_by()
            for row in firing.values("state").annotate(count=Count("pk")):
                alerts.add_metric([row["state"]], row["count"])
            for row in HealingEvent.objects.order_by().values("phase", "outcome").annotate(count=Count("pk")):
                events.add_metric([row["phase"], row["outcome"] or ""], row["count"])
            waiting.add_metric([], Approval.objects.filter(state=ApprovalState.OPEN).count())
            up.add_metric([], 1)
        except DatabaseError:
            log.warning("the database did not answer a scrape", exc_info=True)
            up.add_metric([], 0)
        yield from (up, events, waiting, told, alerts)


REGISTRY.register(EventsCollector())


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)
