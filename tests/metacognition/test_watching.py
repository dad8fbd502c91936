"""What is only slow, and nobody can explain, is looked at for a minute before a person is woken."""

from __future__ import annotations

import pytest

from healing.findings import Finding
from healing.lifecycle import Outcome, Phase
from healing.metacognition.health import target_of
from healing.models import HealingEvent, PhaseRun
from tests.actions import events
from tests.actions.live import Live, Namespace, until
from tests.actions.story import Story

pytestmark = pytest.mark.django_db


def slow(ns: Namespace, symptom: str = "HighLatency") -> HealingEvent:
    """Nothing is allowed that could be tried."""
    return events.event(ns.rolled_out(ns.deployment()), symptom, allowedActions=["expandVolume"])


def pauses(told: Story) -> list[str]:
    return [entry.message for entry in told.event.timeline.filter(kind="watching")]


def test_it_is_diagnosed_again_twice_and_then_a_person_takes_over(live: Live, ns: Namespace) -> None:
    told = Story(slow(ns), live.ports)
    for seconds in (15, 30):
        told.until(Phase.PLANNING)
        assert told.step() == Phase.PLANNING, told.told
        assert f"again in {seconds} s" in pauses(told)[-1]
        assert told.step() == Phase.DIAGNOSING, told.told
    ended = told.through()
    assert (ended.outcome, len(pauses(told))) == (Outcome.ESCALATED, 2)
    waited = [run.result.get("othersSeconds") for run in PhaseRun.objects.filter(event=ended, phase=Phase.PLANNING)]
    assert waited[0] is not None, "time that is not ours counts for no budget"


def test_what_shows_meanwhile_is_acted_on(live: Live, ns: Namespace) -> None:
    event = slow(ns)
    told = Story(event, live.ports)
    told.until(Phase.PLANNING)
    told.step()
    told.step()
    told.findings = (Finding("LivenessProbeMisconfigured", target_of(event), 0.9, "It is the probe."),)
    assert told.through().cause == "LivenessProbeMisconfigured"
    assert len(pauses(told)) == 1


@pytest.mark.parametrize("symptom", ["HighErrorRate", "CrashLoopBackOff", "ReplicasUnavailable"])
def test_what_fails_does_not_wait(live: Live, ns: Namespace, symptom: str) -> None:
    ref = ns.deployment(image="registry.local/web:does-not-exist")
    until(lambda: ns.waits_with("ImagePullBackOff") or ns.waits_with("ErrImagePull"), "the pull fails")
    event = events.event(ref, symptom, allowedActions=["expandVolume"])
    told = Story(event, live.ports)
    assert told.through().outcome == Outcome.ESCALATED
    assert pauses(told) == []


def test_nor_does_what_began_slow_and_fails_by_now(live: Live, ns: Namespace) -> None:
    event = slow(ns)
    events.put(event, Phase(event.phase), signals=[*event.signals, {"symptom": "CrashLoopBackOff", "subject": {}}])
    told = Story(event, live.ports)
    assert told.through().outcome == Outcome.ESCALATED
    assert pauses(told) == []
