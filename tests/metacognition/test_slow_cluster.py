"""An API server whose answers take seconds: everything takes longer, and is done all the same."""

from __future__ import annotations

import pytest

from healing.lifecycle import Outcome
from tests.actions import events
from tests.actions.live import Live, Namespace
from tests.metacognition.test_healing import bad_image, story

pytestmark = [pytest.mark.tree, pytest.mark.django_db, pytest.mark.timeout(300)]


@pytest.mark.parametrize("seconds", [1.5])
def test_a_bad_rollout_is_healed_through_a_slow_api_server(live: Live, ns: Namespace, seconds: float) -> None:
    ref = bad_image(ns)
    spec = {"verification": {"timeoutSeconds": 120, "stableSeconds": 1}}
    told = story(live, events.event(ref, "ImagePullBackOff", **spec), "ImageNotFound")
    with live.api_fault("latency", "/api", seconds=seconds):
        event = told.through(240)
    assert event.outcome == Outcome.HEALED, told.told
