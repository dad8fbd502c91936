from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from healing.detection.cache import ObjectCache
from healing.detection.memory import LONGEST_COOLDOWN, SAME_FAULT_AFTER, Candidate, PastEvent, judge
from healing.detection.metrics import METRIC
from healing.detection.owners import target
from healing.detection.policies import PolicyBook
from healing.detection.polling import EVERY_SECONDS, SOON_SECONDS, MetricsPoller
from healing.detection.sighting import Sighting
from healing.detection.tracking import STANDING_GAP_SECONDS, Tracker
from healing.faults import Severity
from healing.policies.select import select, select_for_node
from healing.policies.spec import PolicySpec
from healing.ports.metrics import Sample, Series
from tests.detection.objects import NOW, deployment

KEY = ("Pod", "shop", "a")
SIGHTING = Sighting(
    target=target(deployment()), subject=None, symptom="X", message="m", severity=Severity.HIGH, grace_seconds=10
)


class Silent:
    def query(self, promql: str, *, at: datetime | None = None, timeout_seconds: float | None = None) -> list[Sample]:
        return []

    def query_range(self, promql: str, **_: object) -> list[Series]:
        return []


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at

    @property
    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.at - 100)


def test_a_sighting_is_due_when_its_grace_is_over_and_only_then() -> None:
    clock = Clock()
    tracker = Tracker(clock)
    tracker.update(KEY, [SIGHTING], clock.now)
    clock.at += 9.9
    assert tracker.due() == []
    assert tracker.seconds_until_due() == pytest.approx(0.1)
    tracker.update(KEY, [SIGHTING], clock.now)
    clock.at += 0.2
    [due] = tracker.due()
    tracker.report_again_in(due, 30)
    tracker.update(KEY, [SIGHTING], clock.now)
    assert tracker.due() == []
    clock.at += 30
    assert len(tracker.due()) == 1


def test_a_sighting_that_ends_starts_over() -> None:
    clock = Clock()
    tracker = Tracker(clock)
    tracker.update(KEY, [SIGHTING], clock.now)
    clock.at += 8
    tracker.update(KEY, [], clock.now)
    tracker.update(KEY, [SIGHTING], clock.now)
    clock.at += 8
    assert tracker.due() == []


def test_what_began_before_we_came_is_as_old_as_the_cluster_says() -> None:
    clock = Clock()
    tracker = Tracker(clock)
    tracker.update(KEY, [replace(SIGHTING, since=NOW - timedelta(hours=1))], clock.now, is_first_look=True)
    assert len(tracker.due()) == 1
    tracker.update(KEY, [], clock.now)
    tracker.update(KEY, [replace(SIGHTING, since=NOW + timedelta(hours=1))], clock.now, is_first_look=True)
    assert tracker.due() == []


def test_a_short_gap_does_not_end_a_standing_fault() -> None:
    clock = Clock()
    tracker = Tracker(clock)
    tracker.update(KEY, [SIGHTING], clock.now)
    started = clock.now
    for gap, since in ((STANDING_GAP_SECONDS - 60, started), (STANDING_GAP_SECONDS + 60, None)):
        tracker.update(KEY, [], clock.now)
        clock.at += gap
        tracker.update(KEY, [SIGHTING], clock.now)
        [entry] = tracker.entries()
        assert entry.standing_since == (since or clock.now)


def past(outcome: str, minutes_ago: float, instance: str = "i", generation: int = 1, moment: str = "") -> PastEvent:
    data = {"instance": instance, "generation": generation, "moment": moment}
    return PastEvent(NOW - timedelta(minutes=minutes_ago), outcome, [{"symptom": "X", "data": data}])


CANDIDATE = Candidate("X", "i", "", 1, NOW - timedelta(days=1))


@pytest.mark.parametrize(
    ("candidate", "events", "is_news"),
    [
        (CANDIDATE, [], True),
        # healed: it may come back after the cooldown
        (CANDIDATE, [past("healed", 0.5)], False),
        (CANDIDATE, [past("healed", 2)], True),
        # the occurrence that was healed is no new one, however often it is seen
        (replace(CANDIDATE, moment="t1"), [past("healed", 2, moment="t1")], False),
        (replace(CANDIDATE, moment="t2"), [past("healed", 2, moment="t1")], True),
        # a person has declined or taken over: the same fault stays closed
        (CANDIDATE, [past("declined", 30)], False),
        (CANDIDATE, [past("escalated", 5 * 60)], False),
        (replace(CANDIDATE, moment="t2"), [past("escalated", 30, moment="t1")], False),
        (CANDIDATE, [past("declined", SAME_FAULT_AFTER.total_seconds() / 60 + 1)], True),
        # another pod shows the same at the same generation
        (replace(CANDIDATE, instance="j"), [past("escalated", 5)], False),
        (replace(CANDIDATE, instance="j"), [past("escalated", 11)], True),
        # something has changed
        (replace(CANDIDATE, instance="j", generation=2), [past("escalated", 2)], True),
        (replace(CANDIDATE, symptom="Y"), [past("escalated", 2)], True),
        # it had gone away, and came back
        (replace(CANDIDATE, standing_since=NOW - timedelta(minutes=1)), [past("escalated", 30)], True),
        (replace(CANDIDATE, standing_since=None), [past("escalated", 30)], False),
        # again and again in vain: each time later
        (
            replace(CANDIDATE, generation=2, instance="j"),
            [past("escalated", 3), past("failed", 9), past("escalated", 15)],
            False,
        ),
        (
            replace(CANDIDATE, generation=2, instance="j"),
            [past("escalated", 5), past("failed", 9), past("escalated", 15)],
            True,
        ),
    ],
)
def test_what_is_news(candidate: Candidate, events: list[PastEvent], is_news: bool) -> None:  # noqa: FBT001
    decision = judge(candidate, events, NOW, 60)
    assert decision.is_news is is_news
    assert is_news or (decision.reason and decision.wait_seconds > 0)


def test_the_cooldown_grows_and_is_bounded() -> None:
    changed = replace(CANDIDATE, generation=9, instance="j")
    events = [past("escalated", minutes) for minutes in range(1, 9)]
    wait = judge(changed, events, NOW, 60).wait_seconds
    assert 3000 < wait <= LONGEST_COOLDOWN.total_seconds()


def spec(*namespaces: str, **more: object) -> PolicySpec:
    return PolicySpec.model_validate({"targetNamespaces": list(namespaces), **more})


def test_the_most_specific_policy_governs() -> None:
    policies = [
        ("wide", spec("shop", "web")),
        ("narrow", spec("shop")),
        ("labelled", spec("shop", "web", "a", targetLabels={"app": "api"})),
    ]
    assert select(policies, "shop", {"app": "web"}) == "narrow"
    assert select(policies, "shop", {"app": "api", "x": "y"}) == "labelled"
    assert select(policies, "web", {}) == "wide"
    assert select(policies, "kube-system", {}) is None
    assert select([], "shop", {}) is None


def test_a_node_belongs_to_those_who_have_pods_on_it_and_may_cordon() -> None:
    policies = [("no", spec("shop", containment={"cordonNodes": False})), ("yes", spec("shop", "web"))]
    assert select_for_node(policies, {"web", "kube-system"}) == "yes"
    assert select_for_node(policies, {"kube-system"}) is None
    assert select_for_node(policies[:1], {"shop"}) is None


def test_a_poller_asks_again_right_before_something_is_due() -> None:
    clock = Clock()
    tracker = Tracker(clock)
    poller = MetricsPoller(Silent(), ObjectCache(), tracker, PolicyBook("c"), lambda: None, threading.Event())
    assert poller.pause_seconds(0.0) == SOON_SECONDS
    assert poller.pause_seconds(1.0) == EVERY_SECONDS - 1.0  # a server that takes its time is asked less often
    tracker.update((METRIC, "shop", "Deployment/web"), [SIGHTING], clock.now)
    assert poller.pause_seconds(0.0) == SOON_SECONDS
    clock.at += 8
    assert 1.0 < poller.pause_seconds(0.0) < 2.0
    tracker.update(KEY, [replace(SIGHTING, grace_seconds=0.5)], clock.now)
    assert poller.pause_seconds(0.0) > 1.0  # what the watches tell needs no poll
