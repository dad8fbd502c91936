"""A hundred faults verified at once look less often each, so that the rest of the work has room."""

from __future__ import annotations

import pytest
from django.utils import timezone

from healing.lifecycle import Phase, Status
from healing.models import HealingEvent
from tests.actions import events
from tests.actions.live import Live, Namespace
from tests.actions.story import Story
from tests.metacognition.test_healing import bad_image, story

pytestmark = pytest.mark.django_db

SLOW = {"verification": {"timeoutSeconds": 60, "stableSeconds": 30}}


def others(count: int, status: Status) -> None:
    HealingEvent.objects.bulk_create(
        HealingEvent(
            fingerprint=f"{status}-{number}",
            cluster="another",
            target_kind="Deployment",
            target_namespace="shop",
            target_name=f"web-{number}",
            symptom="CrashLoopBackOff",
            source="watch",
            phase=Phase.VERIFYING,
            status=status,
            detected_at=timezone.now(),
            last_seen_at=timezone.now(),
        )
        for number in range(count)
    )


def test_each_is_looked_at_less_often_the_more_there_are(live: Live, ns: Namespace) -> None:
    event = events.event(bad_image(ns), "ImagePullBackOff", **SLOW)
    told = story(live, event, "ImageNotFound")
    told.until(Phase.VERIFYING)
    others(100, Status.DONE)
    looks_again_after(told, 1.0)
    others(29, Status.QUEUED)
    looks_again_after(told, 3.0)
    others(100, Status.RUNNING)
    looks_again_after(told, 5.0)


def looks_again_after(told: Story, seconds: float) -> None:
    """However slow the machine is: the look was between the two readings of the clock."""
    before = timezone.now()
    assert told.step() == Phase.VERIFYING, told.told
    due = told.event.next_attempt_at
    assert due is not None
    assert (due - timezone.now()).total_seconds() <= seconds <= (due - before).total_seconds()
