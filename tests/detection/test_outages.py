"""What happens to faults while Prometheus or the database is away."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError

from healing.detection import polling
from healing.detection.evaluation import NEEDED_KINDS, Evaluator
from healing.detection.metrics import METRIC
from healing.detection.policies import PolicyBook
from healing.detection.polling import MetricsPoller
from healing.detection.queries import CPU, promql
from healing.detection.reporting import Report
from healing.detection.tracking import Tracker
from healing.models import Policy
from healing.ports.errors import Unavailable
from healing.ports.metrics import Sample
from tests.detection import objects as o

WEB = o.deployment()
SET = o.replicaset(WEB)
POD = o.pod(SET, ready=True, container={"resources": {"limits": {"cpu": "500m"}}})
BUSY = Sample({"namespace": o.NAMESPACE, "pod": "web-rs-1", "container": "c"}, 0.5, 0.0)


class Numbers:
    """A Prometheus that says what it is told, or nothing."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_away = False
        self.cpu = [BUSY]

    def query(self, promql: str, **_: Any) -> list[Sample]:
        self.asked.append(promql)
        if self.is_away:
            raise Unavailable("away")
        return self.cpu if "cpu_usage" in promql else []

    def query_range(self, promql: str, **_: Any) -> list[Any]:
        raise NotImplementedError


@pytest.fixture
def policy(db: None) -> Policy:
    spec = {"targetNamespaces": [o.NAMESPACE], "thresholds": {"memory": None, "forSeconds": 0}}
    return Policy.objects.create(name="p", spec=spec)


@pytest.fixture
def numbers() -> Numbers:
    return Numbers()


@pytest.fixture
def poller(policy: Policy, numbers: Numbers) -> tuple[MetricsPoller, Tracker]:
    tracker = Tracker()
    cache = o.cache_of(WEB, SET, POD)
    return MetricsPoller(numbers, cache, tracker, PolicyBook("default"), lambda: None, threading.Event()), tracker


def test_it_asks_only_for_what_has_a_threshold(poller: tuple[MetricsPoller, Tracker], numbers: Numbers) -> None:
    poller[0].poll(o.NOW)
    assert promql(CPU, [o.NAMESPACE]) in numbers.asked
    assert len(numbers.asked) == 2  # the other one: which metrics of requests there are; none, so they cost nothing
    [entry] = poller[1].entries()
    assert entry.sighting.symptom == "HighCpu"


def test_a_metric_that_recovers_or_a_workload_that_goes_ends_the_sighting(
    poller: tuple[MetricsPoller, Tracker], numbers: Numbers
) -> None:
    poller[0].poll(o.NOW)
    numbers.cpu = []
    poller[0].poll(o.NOW + timedelta(seconds=5))
    assert poller[1].entries() == []


def test_without_numbers_nothing_is_known(
    poller: tuple[MetricsPoller, Tracker], numbers: Numbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(polling, "BLIND_AFTER_SECONDS", 0.0)
    watching, tracker = poller
    watching.poll(o.NOW)
    assert tracker.keys(METRIC)
    numbers.is_away = True

    class Once(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            self.set()
            return True

    watching._stop = Once()
    watching.run()
    assert watching.problem == "away"
    assert tracker.keys(METRIC) == []


@pytest.mark.django_db
def test_a_fault_waits_for_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    at = [0.0]
    tracker = Tracker(clock=lambda: at[0])

    class Reporter:
        calls = 0

        def report(self, *_: Any) -> Report:
            self.calls += 1
            if self.calls == 1:
                raise OperationalError("the database is away")
            return Report(None, False, 60)

    reporter = Reporter()
    cache = o.cache_of(WEB, SET, o.node())
    evaluator = Evaluator(cache, tracker, reporter, threading.Event())  # type: ignore[arg-type]
    for kind in NEEDED_KINDS:
        evaluator.synced(kind, [])
    waiting = {"waiting": {"reason": "InvalidImageName"}}
    evaluator.changed(cache.apply("ADDED", o.pod(SET, state=waiting)))
    evaluator.evaluate_dirty(o.NOW)
    evaluator.report_due(o.NOW)
    assert reporter.calls == 1
    evaluator.report_due(o.NOW)
    assert reporter.calls == 1
    at[0] += 1.1
    evaluator.report_due(o.NOW)
    assert reporter.calls == 2


def test_nothing_is_judged_before_everything_has_been_read() -> None:
    tracker = Tracker()
    cache = o.cache_of(WEB, SET, o.node())
    evaluator = Evaluator(cache, tracker, None, threading.Event())  # type: ignore[arg-type]
    for kind in NEEDED_KINDS - {"Service"}:
        evaluator.synced(kind, [])
    evaluator.changed(cache.apply("ADDED", o.pod(SET, state={"waiting": {"reason": "InvalidImageName"}})))
    evaluator.evaluate_dirty(o.NOW)
    assert tracker.entries() == []
    evaluator.synced("Service", [])
    evaluator.evaluate_dirty(o.NOW)
    assert len(tracker.entries()) == 1
