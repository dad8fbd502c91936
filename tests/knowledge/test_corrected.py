"""What a person says of one diagnosis changes the next one of the same fault: real logs, real rules, real memory.

The program cannot reach its database and says so; the rules see that first, and next that the program ends by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from healing import containment, diagnosis, learning, teaching
from healing.audit import Actor
from healing.lifecycle import Outcome, Phase
from healing.models import HealingEvent, Role
from healing.ports import ObjectRef
from knowledge.index import Index
from knowledge.models import KnowledgeEntry, Use
from knowledge.tasks import index_pending
from tests.actions import events
from tests.actions.live import Live, Namespace, until
from tests.actions.story import Story
from tests.knowledge.test_healing_with_memory import POLICY, yesterday
from tests.people import person

pytestmark = pytest.mark.django_db

CANNOT_CONNECT = "echo 'FATAL: could not connect to postgres:5432: connection refused'; exit 1"
#: Nothing is done to the workload: the next diagnosis would see it.
WATCHED = {**POLICY, "allowedActions": ["scale"]}


@pytest.fixture
def crashing(ns: Namespace) -> ObjectRef:
    ref = ns.deployment("shop", replicas=1, command=["sh", "-c", CANNOT_CONNECT])
    until(lambda: ns.waits_with("CrashLoopBackOff", "shop"), "a crash loop", 60)
    return ref


@pytest.fixture
def diagnosed(live: Live, crashing: ObjectRef) -> Callable[[], Story]:
    """The fault occurs once more, and is diagnosed."""

    def diagnose() -> Story:
        told = Story(events.event(crashing, "CrashLoopBackOff", **WATCHED), live.ports)
        told.handlers[Phase.DIAGNOSING] = diagnosis.run
        told.handlers[Phase.LEARNING] = containment.settling(learning.run)
        told.until(Phase.PLANNING)
        return told

    return diagnose


def causes(told: Story) -> dict[str, float]:
    """Of all findings, best first, with how sure they are."""
    return {finding["cause"]: finding["confidence"] for finding in told.event.diagnosis["findings"]}


def over(told: Story) -> HealingEvent:
    """Nothing could be done. That was a day ago, and only memory knows of it."""
    event = told.through(60)
    assert event.outcome == Outcome.ESCALATED, told.told
    yesterday(event)
    index_pending()
    return event


def who(name: str) -> tuple[User, Actor]:
    user = person(name, Role.OPERATOR)
    return user, Actor.of_user(user)


@pytest.mark.timeout(240)
def test_a_persons_correction_changes_the_ranking_of_the_next_diagnosis(
    diagnosed: Callable[[], Story], qdrant: Index
) -> None:
    first = diagnosed()
    assert list(causes(first)) == ["DependencyUnavailable", "ApplicationCrash"], first.told
    entry = KnowledgeEntry.objects.get(event_ref=over(first).name)

    untaught = diagnosed()
    assert causes(untaught) == causes(first)  # remembered, but nobody has said anything
    over(untaught)

    teaching.judge(*who("ana"), entry.ref, about="cause", is_right=False, corrected_cause="ApplicationCrash")
    index_pending()
    taught = diagnosed()
    assert list(causes(taught)) == ["ApplicationCrash", "DependencyUnavailable"], taught.told
    assert causes(taught)["ApplicationCrash"] > causes(first)["ApplicationCrash"]
    assert causes(taught)["DependencyUnavailable"] < causes(first)["DependencyUnavailable"]
    assert taught.event.cause == "ApplicationCrash"
    # and people can see why
    best: dict[str, Any] = taught.event.diagnosis["findings"][0]
    assert f"ana said that {first.event.name} really was ApplicationCrash" in best["explanation"]
    assert Use.objects.filter(event_ref=taught.event.name, entry=entry).exists()
    over(taught)

    teaching.judge(*who("ben"), entry.ref, about="cause", is_right=True)
    index_pending()
    contested = diagnosed()
    assert list(causes(contested)) == ["DependencyUnavailable", "ApplicationCrash"], contested.told
