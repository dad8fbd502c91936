"""/metrics in Prometheus' text format.

Three sources, each cheap: this process (sockets, memory, garbage collection); what all processes have counted together
(`healing.telemetry`, in Valkey); and what stands in the database right now, asked with indexes alone. Every web process
tells the same of the latter two. docs/observability.md lists them all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
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

from healing import shared_clock
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
        yield from metrics_now.clusters(shared_clock.now())
        yield from _guarded(
            "recist_database_up",
            "1: the database answers",
            lambda: list(metrics_now.of_database(shared_clock.now())),
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


#: Between a queue's name and a priority, as kombu writes it.
_PRIORITY_SEPARATOR = "\x06\x16"


def _queues(client: redis.Redis, names: tuple[str, ...]) -> Iterator[Metric]:
    """Celery's queues are lists: new messages come in on the left, so the last one is the oldest."""
    length = GaugeMetricFamily("recist_queue_length", "Messages that wait for a worker", labels=["queue"])
    oldest = GaugeMetricFamily(
        "recist_queue_oldest_age_seconds", "Age of the oldest message that waits", labels=["queue"]
    )
    prefix = str(settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("global_keyprefix", ""))
    # One list for each priority (`healing.lifecycle.priority_of`); that of priority 0 has the queue's own name.
    lists = [
        (name, prefix + name + (f"{_PRIORITY_SEPARATOR}{step}" if step else ""))
        for name in names
        for step in _priority_steps()
    ]
    with client.pipeline(transaction=False) as pipeline:
        for _, key in lists:
            pipeline.llen(key)
            pipeline.lindex(key, -1)
        answers = pipeline.execute()
    counts: dict[str, int] = dict.fromkeys(names, 0)
    sent: dict[str, float] = {}
    for (name, _), count, message in zip(lists, answers[::2], answers[1::2], strict=True):
        counts[name] += count
        if sent_at := _sent_at(message):
            sent[name] = min(sent_at, sent.get(name, sent_at))
    for name in names:
        length.add_metric([name], counts[name])
        oldest.add_metric([name], max(0.0, shared_clock.now().timestamp() - sent[name]) if name in sent else 0.0)
    yield from (length, oldest)


def _priority_steps() -> list[int]:
    options: dict[str, Any] = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    return [int(step) for step in options.get("priority_steps", [0])]


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
