"""Alarms over time: one at the start of an outage, none at its end, none for what is normal life."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from healing.detection.metrics import REQUEST_SYMPTOMS, RequestWindow, metric_sightings
from healing.policies.spec import Thresholds
from healing.ports.metrics import Sample, Series
from healing.queries.requests import RequestReader
from healing.sandbox.signals.promql import Engine
from healing.sandbox.signals.tsdb import Store, make_labels
from tests.detection import objects as o

WEB = o.deployment()
SET = o.replicaset(WEB)
START = o.NOW
POLL_SECONDS = 5
#: (requests per second, share that fails, share that is slow) at a second since the start
Traffic = Callable[[float], tuple[float, float, float]]


class Numbers:
    """The sandbox's engine as the product's source of metrics, at a moment of our choice."""

    def __init__(self, store: Store) -> None:
        self._engine = Engine(store)
        self.now = START

    def query(self, promql: str, *, at: datetime | None = None, timeout_seconds: float | None = None) -> list[Sample]:
        found = self._engine.instant(promql, round(self.now.timestamp() * 1000))
        assert isinstance(found, list)
        return [Sample(dict(s[0]), s[1], self.now.timestamp()) for s in found if isinstance(s, tuple)]

    def query_range(self, promql: str, **_: Any) -> list[Series]:
        raise NotImplementedError


class Service:
    """One pod that counts its requests and is scraped; a restart sets its counters to zero."""

    def __init__(self, store: Store, name: str, every_seconds: float, traffic: Traffic) -> None:
        self._store = store
        self._where = (("namespace", o.NAMESPACE), ("pod", name))
        self._every_seconds = every_seconds
        self._traffic = traffic
        self._scraped_at = -every_seconds
        self.restart()

    def restart(self) -> None:
        self._codes = {"200": 0.0, "503": 0.0}
        self._slow = self._all = 0.0

    def second(self, at: float) -> None:
        rate, failed, slow = self._traffic(at)
        self._codes["200"] += rate * (1 - failed)
        self._codes["503"] += rate * failed
        self._all += rate
        self._slow += rate * slow
        if at - self._scraped_at >= self._every_seconds:
            self._scraped_at = at
            self._scrape(round((START.timestamp() + at) * 1000))

    def _scrape(self, time_ms: int) -> None:
        requests = [
            (make_labels("http_requests_total", (*self._where, ("code", code))), float(int(count)))
            for code, count in self._codes.items()
            if int(count)
        ]
        fast = self._all - self._slow
        counts = {"0.1": fast, "0.25": fast, "2.5": self._all, "+Inf": self._all}
        buckets = [
            (make_labels("http_request_duration_seconds_bucket", (*self._where, ("le", le))), float(int(count)))
            for le, count in counts.items()
        ]
        total = (make_labels("http_request_duration_seconds_count", self._where), float(int(self._all)))
        self._store.write(dict(self._where)["pod"], time_ms, [*requests, *buckets, total])


def alarms(
    *traffic: Traffic,
    seconds: int = 240,
    scrape_seconds: float = 2.0,
    restarts: tuple[int, ...] = (),
    thresholds: Thresholds | None = None,
) -> list[tuple[str, int]]:
    """(symptom, second) at which sightings outlive their grace, as `tracking` counts it: ended, they begin anew."""
    chosen = thresholds or Thresholds()
    store = Store()
    names = [f"web-rs-{number}" for number in range(1, len(traffic) + 1)]
    services = [Service(store, n, scrape_seconds, t) for n, t in zip(names, traffic, strict=True)]
    numbers = Numbers(store)
    clock = [0.0]
    reader = RequestReader(numbers, clock=lambda: clock[0])
    cache = o.cache_of(WEB, SET, *(o.pod(SET, name, ready=True) for name in names))
    since: dict[str, int] = {}
    found: list[tuple[str, int]] = []
    for second in range(seconds):
        clock[0] = float(second)
        for service in services:
            if second in restarts:
                service.restart()
            service.second(second)
        if second % POLL_SECONDS:
            continue
        numbers.now = START + timedelta(seconds=second)
        windows = [
            RequestWindow(
                reader.window_seconds(name),
                reader.of_namespaces([o.NAMESPACE], window=name, errors=True, latency=True, timeout_seconds=1),
            )
            for name in ("long", "short", "middle", "newest")
        ]
        sightings = metric_sightings({}, cache, lambda _target: chosen, numbers.now, windows)
        seen = {s.symptom for many in sightings.values() for s in many} & REQUEST_SYMPTOMS
        since = {symptom: since.get(symptom, second) for symptom in seen}
        due = [s for s, at in since.items() if second - at >= chosen.for_seconds > second - at - POLL_SECONDS]
        found += [(symptom, second) for symptom in due]
    return found


def steady(rate: float, failed: float = 0.0, slow: float = 0.0) -> Traffic:
    return lambda _at: (rate, failed, slow)


def outage(start: float, seconds: float, rate: float = 10.0, failed: float = 1.0, slow: float = 0.0) -> Traffic:
    return lambda at: (rate, failed, slow) if start <= at < start + seconds else (rate, 0.0, 0.0)


@pytest.mark.parametrize("scrape_seconds", [1.0, 2.0, 5.0, 15.0, 30.0])
@pytest.mark.parametrize("failed", [1.0, 0.5, 0.2])
def test_an_outage_is_told_once_at_its_start(scrape_seconds: float, failed: float) -> None:
    found = alarms(outage(90, 60, failed=failed), scrape_seconds=scrape_seconds)
    [(symptom, at)] = found
    assert symptom == "HighErrorRate"
    # the grace of 15 s, two scrapes until a rate shows it, two polls, and until a twentieth of the last minute failed
    assert 90 + 15 <= at <= 90 + 15 + 2 * scrape_seconds + 2 * POLL_SECONDS + 60 * 0.05 / failed


@pytest.mark.parametrize("seconds", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("scrape_seconds", [1.0, 2.0])
def test_a_blip_shorter_than_its_grace_is_none(seconds: int, scrape_seconds: float) -> None:
    assert alarms(outage(90, seconds), scrape_seconds=scrape_seconds) == []
    assert alarms(outage(90, seconds, failed=0.0, slow=0.8), scrape_seconds=scrape_seconds) == []


@pytest.mark.parametrize("rate", [2.0, 10.0, 200.0])
def test_slow_answers_are_told_once(rate: float) -> None:
    [(symptom, at)] = alarms(outage(90, 60, rate=rate, failed=0.0, slow=0.5))
    assert symptom == "HighLatency"
    assert 105 <= at <= 120


def test_traffic_that_comes_and_goes_is_normal_life() -> None:
    def wave(at: float) -> tuple[float, float, float]:
        return (50.0 if int(at / 30) % 2 else 1.0, 0.002, 0.002)

    assert alarms(wave, steady(10)) == []


def test_hardly_any_traffic_raises_no_alarm() -> None:
    assert alarms(lambda at: (1.0, 1.0, 0.0) if 90 <= at < 93 else (0.1, 0.0, 0.0)) == []  # three of about ten


def test_traffic_that_is_low_and_fails_altogether_is_an_outage() -> None:
    assert [symptom for symptom, _ in alarms(outage(90, 120, rate=0.4))] == ["HighErrorRate"]


def test_restarts_and_counter_resets_are_no_errors() -> None:
    assert alarms(steady(20, 0.01), steady(20, 0.01), restarts=(80, 83, 120)) == []


def test_a_deployment_that_loses_a_few_requests_is_fine() -> None:
    """New pods come one after the other, and each loses a second of requests on its way."""
    many = [outage(90 + 5 * number, 1, rate=10, failed=0.6) for number in range(4)]
    assert alarms(*many) == []


def test_two_outages_are_two_alarms() -> None:
    def twice(at: float) -> tuple[float, float, float]:
        return (10.0, 1.0 if 60 <= at < 90 or 150 <= at < 180 else 0.0, 0.0)

    assert [symptom for symptom, _ in alarms(twice)] == ["HighErrorRate"] * 2


def test_an_error_rate_just_over_its_threshold_is_told() -> None:
    assert [symptom for symptom, _ in alarms(steady(20, 0.08), seconds=120)] == ["HighErrorRate"]


def test_a_workload_that_nobody_asks_any_more_is_left_alone() -> None:
    """Its caller gave up: five seconds of failures and then no request at all."""
    assert (
        alarms(lambda at: (10.0, 1.0, 0.0) if 90 <= at < 95 else (10.0, 0.0, 0.0) if at < 90 else (0.0, 0.0, 0.0)) == []
    )
