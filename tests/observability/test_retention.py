"""What ended long ago goes, in small batches; nothing else does. And the hot queries go through indexes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import Count, F, Q, QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from healing import audit, engine, figures, retention
from healing.audit import Actor
from healing.lifecycle import Status
from healing.models import (
    ActionRun,
    Approval,
    AuditEntry,
    Delivery,
    EventFigures,
    HealingEvent,
    Isolation,
    LlmCall,
    PhaseRun,
    ProactiveWarning,
    ReceivedAlert,
    TimelineEntry,
)
from healing.ports import Ports
from healing.ports.errors import Forbidden, SourceError, Unavailable
from tests import stored
from tests.engine import story
from tests.observability.test_metrics import fill

pytestmark = pytest.mark.django_db


def event(name: str, days: float | None) -> HealingEvent:
    """With a timeline; ended so many days ago, or open."""
    made, _ = engine.open_event(story.fault(name), None)
    if days is not None:
        HealingEvent.objects.filter(pk=made.pk).update(
            finished_at=timezone.now() - timedelta(days=days), phase="Completed", status="done"
        )
    PhaseRun.objects.create(event=made, phase="Containing", number=1, started_at=timezone.now())
    LlmCall.objects.create(event=made, model="m")
    return made


@pytest.mark.both_databases
def test_only_what_ended_long_ago_goes_with_all_that_belongs_to_it(settings: Settings) -> None:
    settings.RETENTION_DAYS, settings.RETENTION_DETAIL_DAYS = 10, 5
    old, young, still_open, isolating = event("old", 11), event("young", 9), event("open", None), event("held", 30)
    now = timezone.now()
    stored.isolation(isolating, "p", seconds=0)
    LlmCall.objects.filter(event=young).update(asked_at=now - timedelta(days=6))
    for fingerprint, firing in (("gone", False), ("fires", True)):
        ReceivedAlert.objects.create(
            cluster="default", fingerprint=fingerprint, starts_at=now, name="A", is_firing=firing,
            last_received_at=now - timedelta(days=6),
        )  # fmt: skip
    audit.record("event.tested", actor=Actor.system("test"))
    entries = AuditEntry.objects.count()

    assert retention.prune(now, dry_run=True)["events"] == 1
    assert HealingEvent.objects.count() == 4
    found = retention.prune(now)
    assert (found["events"], found["languageModelCalls"], found["alerts"]) == (1, 1, 1)
    assert set(HealingEvent.objects.values_list("pk", flat=True)) == {young.pk, still_open.pk, isolating.pk}
    assert not TimelineEntry.objects.filter(event=old.pk).exists()
    assert not PhaseRun.objects.filter(event=old.pk).exists()
    assert LlmCall.objects.count() == 2
    assert list(ReceivedAlert.objects.values_list("fingerprint", flat=True)) == ["fires"]
    assert AuditEntry.objects.count() == entries
    assert not any(retention.prune(now).values())


class Refusing:
    """A cluster that raises the error it was made with, and counts how often it was asked."""

    def __init__(self, error: SourceError) -> None:
        self._error, self.asked = error, 0

    def get(self, *_: object, **__: object) -> None:
        self.asked += 1
        raise self._error


def mirrored(name: str) -> HealingEvent:
    made = event(name, 20)
    HealingEvent.objects.filter(pk=made.pk).update(mirrored_seq=1)
    return made


def test_events_of_a_cluster_that_does_not_answer_wait_for_it(settings: Settings) -> None:
    settings.RETENTION_DAYS = 10
    away = [mirrored(f"away-{number}") for number in range(3)]
    cluster = Refusing(Unavailable("it is away"))
    ports_of = lambda name: Ports(name, cluster)  # type: ignore[arg-type]  # noqa: E731
    assert retention.prune(timezone.now(), ports_of=ports_of)["events"] == 0
    assert cluster.asked == 1, "it is asked once, not once an event"
    assert set(HealingEvent.objects.values_list("pk", flat=True)) == {made.pk for made in away}


@pytest.mark.parametrize("why", ["refused", "not configured any more"])
def test_a_resource_that_cannot_be_deleted_holds_no_row_for_ever(settings: Settings, why: str) -> None:
    settings.RETENTION_DAYS = 10
    mirrored("old")

    def ports_of(name: str) -> Ports:
        if why == "refused":
            return Ports(name, Refusing(Forbidden("may not get healingevents")))  # type: ignore[arg-type]
        raise LookupError(name)

    assert retention.prune(timezone.now(), ports_of=ports_of)["events"] == 1
    assert not HealingEvent.objects.exists()


@pytest.mark.both_databases
def test_figures_outlive_their_event_for_a_while(settings: Settings) -> None:
    settings.RETENTION_DAYS, settings.RETENTION_FIGURES_DAYS = 10, 50
    for name, days in (("old", 60), ("younger", 20), ("youngest", 5)):
        event(name, days)
    assert figures.count_finished() == 3
    assert retention.prune(timezone.now())["events"] == 2
    assert HealingEvent.objects.count() == 1
    retention.prune(timezone.now())
    assert EventFigures.objects.count() == 2, "the event of 60 days ago went, and its figures after it"
    settings.RETENTION_FIGURES_DAYS = 1
    retention.prune(timezone.now())
    assert list(EventFigures.objects.values_list("event__name", flat=True)) == [HealingEvent.objects.get().name]
    assert figures.count_finished() == 0


def test_zero_days_is_for_ever(settings: Settings) -> None:
    settings.RETENTION_DAYS = settings.RETENTION_DETAIL_DAYS = 0
    event("ancient", 5000)
    call_command("prune")
    assert HealingEvent.objects.count() == 1
    assert LlmCall.objects.count() == 1


def test_it_goes_in_batches_and_ends_in_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.RETENTION_DAYS = 10
    monkeypatch.setattr(retention, "BATCH", 3)
    for number in range(8):
        event(f"old-{number}", 20)
    assert retention.prune(timezone.now(), seconds=-1.0)["events"] == 0
    with CaptureQueriesContext(connection) as queries:
        assert retention.prune(timezone.now())["events"] == 8
    deletes = [q["sql"] for q in queries if q["sql"].startswith('DELETE FROM "healing_healingevent"')]
    assert len(deletes) == 3


OPEN = Q(state="open")
HOT: dict[str, Callable[[], QuerySet[Any, Any]]] = {
    "sweeper, lost": lambda: HealingEvent.objects.filter(status=Status.RUNNING, lease_expires_at__lt=timezone.now()),
    "sweeper, unsent": lambda: HealingEvent.objects.filter(
        Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=timezone.now()), status=Status.QUEUED
    ),
    "mirror": lambda: HealingEvent.objects.filter(mirrored_seq__lt=F("seq")).order_by("-seq")[:200],
    "notifications": lambda: HealingEvent.objects.filter(Q(notified=0) | Q(notified=1, finished_at__isnull=False)),
    "open fault": lambda: HealingEvent.objects.filter(cluster="default", fingerprint="f7", finished_at__isnull=True),
    "a page of events": lambda: HealingEvent.objects.order_by("-detected_at")[:50],
    "an event's page": lambda: HealingEvent.objects.filter(name="he-fill-77"),
    "events of a workload": lambda: HealingEvent.objects.filter(
        cluster="default", target_namespace="shop", target_kind="Deployment", target_name="api-7"
    ).order_by("-detected_at")[:20],
    "open events": lambda: HealingEvent.objects.filter(finished_at__isnull=True),
    "metrics": lambda: (
        HealingEvent.objects.filter(finished_at__isnull=True)
        .order_by()
        .values("cluster", "phase")
        .annotate(count=Count("pk"))
    ),
    "retention": lambda: HealingEvent.objects.filter(finished_at__lt=timezone.now() - timedelta(days=3000)),
    "timeline": lambda: TimelineEntry.objects.filter(event=77, seq__gt=3),
    "expiry": lambda: Approval.objects.filter(OPEN, expires_at__lte=timezone.now()),
    "outbox": lambda: Delivery.objects.filter(state__in=("queued", "sending"), next_attempt_at__lte=timezone.now()),
    "alerts due": lambda: ReceivedAlert.objects.filter(cluster="default", look_at__lte=timezone.now()),
    "alerts firing": lambda: ReceivedAlert.objects.filter(is_firing=True),
    "warnings": lambda: ProactiveWarning.objects.filter(state="open"),
    "model's budget": lambda: LlmCall.objects.filter(asked_at__gte=timezone.now()),
    "warnings of a cluster": lambda: ProactiveWarning.objects.filter(state="open", cluster="default"),
    "figures of a period": lambda: EventFigures.objects.filter(detected_at__gte=timezone.now() - timedelta(days=7)),
    "how far is counted": lambda: EventFigures.objects.order_by("-finished_at")[:1],
    "what is not counted": lambda: HealingEvent.objects.filter(
        finished_at__isnull=False, figures=None, finished_at__gte=timezone.now() - timedelta(hours=1)
    ),
    "figures to forget": lambda: EventFigures.objects.filter(
        finished_at__lt=timezone.now() - timedelta(days=900), event__isnull=True
    ),
    "changes for a time": lambda: ActionRun.objects.filter(
        expires_at__isnull=False, state__in=("applied", "undoing"), expires_at__lte=timezone.now()
    ),
    "isolations to release": lambda: Isolation.objects.filter(released_at__isnull=True, expires_at__lte=timezone.now()),
    "audit of a person": lambda: AuditEntry.objects.filter(actor="ada").order_by("-seq")[:50],
    "audit by time": lambda: AuditEntry.objects.order_by("-at")[:50],
}


@pytest.fixture
def many_rows() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("PostgreSQL's plans")
    fill(20_000)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO healing_timelineentry (event_id, seq, at, phase, kind, actor_kind, actor, source,"
            " message, data) SELECT id, s, now(), 'Completed', 'k', 'system', '', '', 'm', '{}'"
            " FROM healing_healingevent,"
            " generate_series(1, 3) AS s"
        )
        cursor.execute(
            "INSERT INTO healing_receivedalert (cluster, fingerprint, starts_at, name, labels, annotations,"
            " generator_url, is_firing, state, reason, target, is_end_told, received_at, last_received_at, deliveries)"
            " SELECT 'default', 'a' || n, now(), 'A', '{}', '{}', '', n %% 2000 = 0, 'matched', '', '{}', true, now(),"
            " now(), 1 FROM generate_series(1, 20000) AS n",
            [],
        )
        cursor.execute("ANALYZE")


def test_hot_queries_read_no_whole_table(many_rows: None) -> None:
    full = {"healing_healingevent", "healing_timelineentry", "healing_receivedalert"}
    bad = {}
    with connection.cursor() as cursor:
        # Tables with few rows are read whole, and rightly so: what is asked is whether an index could serve.
        for name, query in HOT.items():
            table = query().model._meta.db_table
            cursor.execute(f"SET LOCAL enable_seqscan = {'on' if table in full else 'off'}")
            plan = query().explain()
            if f"Seq Scan on {table}" in plan:
                bad[name] = plan
    assert bad == {}
