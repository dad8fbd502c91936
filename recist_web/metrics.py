"""/metrics in Prometheus' text format.

Three sources, each cheap: this process (sockets, memory, garbage collection); what all processes have counted together
(`healing.telemetry`, in Valkey); and what stands in the database right now, asked with indexes alone. Every web process
tells the same of the latter two. docs/observability.md lists them all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import redis
import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from healing.telemetry import catalogue, counting

log = structlog.get_logger(__name__)

_Counted = Mapping[tuple[str, ...], float]


class OurCollector(Collector):
    """Asked at every scrape. A store that is away costs its own numbers, and is one of them."""

    def describe(self) -> list[Metric]:
        """Nothing: registering must not query."""
        return []

    def collect(self) -> Iterator[Metric]:
        # Models can be imported when the apps are loaded, which is not yet so when the middleware imports this file.
        from recist_web import metrics_now  # noqa: PLC0415

        yield metrics_now.build_info()
        yield metrics_now.budgets()
        yield metrics_now.sockets()
        yield from metrics_now.clusters(datetime.now(UTC))
        yield from _guarded(
            "recist_database_up",
            "1: the database answers",
            lambda: list(metrics_now.of_database(datetime.now(UTC))),
            (DatabaseError, InterfaceError, OSError),
        )
        yield from _guarded(
            "recist_valkey_up", "1: Valkey answers", lambda: list(_of_valkey()), (redis.RedisError, OSError)
        )


def _guarded(
    name: str, text: str, collect: Callable[[], list[Metric]], errors: tuple[type[Exception], ...]
) -> Iterator[Metric]:
    up = GaugeMetricFamily(name, text)
    try:
        found = collect()
        up.add_metric([], 1)
    except errors:
        log.warning("a store did not answer a scrape", part=name, exc_info=True)
        found = []
        up.add_metric([], 0)
    yield up
    yield from found


def _of_valkey() -> Iterator[Metric]:
    from recist_web.celery import QUEUES  # noqa: PLC0415 - it reads the settings

    with counting.connect() as client:
        yield from _queues(client, QUEUES)
        counted = counting.read(client)
    for name, definition in catalogue.COUNTED.items():
        yield _metric(definition, counted.get(name, {}))


def _queues(client: redis.Redis, names: tuple[str, ...]) -> Iterator[Metric]:
    """Celery's queues are lists: new messages come in on the left, so the last one is the oldest."""
    length = GaugeMetricFamily("recist_queue_length", "Messages that wait for a worker", labels=["queue"])
    oldest = GaugeMetricFamily(
        "recist_queue_oldest_age_seconds", "Age of the oldest message that waits", labels=["queue"]
    )
    prefix = str(settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("global_keyprefix", ""))
    with client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.llen(prefix + name)
            pipeline.lindex(prefix + name, -1)
        answers = pipeline.execute()
    for name, count, message in zip(names, answers[::2], answers[1::2], strict=True):
        length.add_metric([name], count)
        sent_at = _sent_at(message)
        oldest.add_metric([name], max(0.0, time.time() - sent_at) if sent_at else 0.0)
    yield from (length, oldest)


def _sent_at(message: bytes | None) -> float:
    try:
        return float(json.loads(message or b"{}")["headers"]["recist_sent_at"])
    except (ValueError, KeyError, TypeError):
        return 0.0


def _metric(definition: catalogue.Definition, counted: _Counted) -> Metric:
    labels = list(definition.labels)
    if definition.kind == "histogram":
        return _histogram(definition, counted)
    found: Any = (
        CounterMetricFamily(definition.name, definition.help, labels=labels)
        if definition.kind == "counter"
        else GaugeMetricFamily(definition.name, definition.help, labels=labels)
    )
    if not labels and not counted:
        found.add_metric([], 0)
    for field, value in sorted(counted.items()):
        if len(field) == len(labels):
            found.add_metric(list(field), value)
    return found  # type: ignore[no-any-return]  # one of the two above


def _histogram(definition: catalogue.Definition, counted: _Counted) -> Metric:
    found = HistogramMetricFamily(definition.name, definition.help, labels=list(definition.labels))
    bounds = [*(f"{bound:g}" for bound in definition.buckets), "+Inf"]
    size = len(definition.labels)
    series = {field[:size] for field in counted if len(field) == size + 1}
    for labels in sorted(series or ({()} if not size else set())):
        so_far, buckets = 0.0, []
        for bound in bounds:
            so_far += counted.get((*labels, bound), 0.0)
            buckets.append((floatToGoString(bound), so_far))  # type: ignore[no-untyped-call]
        found.add_metric(list(labels), buckets, counted.get((*labels, "sum"), 0.0))
    return found


REGISTRY.register(OurCollector())


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)
