"""One cause, one healing: who suffers from what another event is healing waits, and has recovered when it is over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from healing.findings import Diagnosis, Finding
from healing.lifecycle import Outcome, Phase, Status
from healing.metacognition import planning, shared
from healing.models import Approval, HealingEvent, PhaseRun, Policy, Strategy, StrategyState
from healing.phase import PhaseResult
from healing.ports import ObjectRef
from tests.actions import events
from tests.actions.live import Live, Namespace, until
from tests.actions.story import Story

pytestmark = pytest.mark.django_db

QUICK = {"verification": {"timeoutSeconds": 60, "stableSeconds": 1}}


def ill(ns: Namespace, name: str) -> ObjectRef:
    """A Deployment whose new revision cannot pull its image; the old one serves."""
    ref = ns.rolled_out(ns.deployment(name))
    ns.patch_container(ref, image="registry.local/web:does-not-exist")
    until(lambda: ns.waits_with("ImagePullBackOff", name) or ns.waits_with("ErrImagePull", name), "the pull fails")
    return ref


def caused_by(ref: ObjectRef) -> Finding:
    return Finding("ImageNotFound", ref, 0.9, "Its image does not exist.", facts={})


def asked(event: HealingEvent) -> bool:
    return Approval.objects.filter(event=event).exists()


def pair(live: Live, ns: Namespace, policy: Policy) -> tuple[Story, Story]:
    """An effect, seen and diagnosed first, and the workload that is its cause."""
    effect = ns.deployment("orders", readinessProbe={"httpGet": {"path": "/", "port": 1}, "periodSeconds": 1})
    cause = ill(ns, "payments")
    until(lambda: ns.runs("orders"), "its pods run")
    told = []
    for ref in (effect, cause):
        event = events.event(ref, "ReplicasUnavailable", under=policy)
        told.append(Story(event, live.ports, caused_by(cause)))
        told[-1].until(Phase.PLANNING)
    return told[0], told[1]


def test_the_cause_is_healed_once_and_the_effect_recovers(live: Live, ns: Namespace) -> None:
    effect, cause = pair(live, ns, events.policy(ns.name, **QUICK))
    for _ in range(3):
        assert effect.step() == Phase.PLANNING
    assert effect.kinds().count("waiting") == 1
    assert not effect.event.strategies.exists()
    assert cause.through().outcome == Outcome.HEALED, cause.told
    assert effect.step() == Phase.PLANNING  # it still shows; what was healed may need a moment
    ns.patch_container(ObjectRef("Deployment", ns.name, "orders"), readinessProbe=None)
    assert effect.through().outcome == Outcome.RECOVERED, effect.told
    assert not effect.event.strategies.exists()


def test_who_is_still_ill_is_diagnosed_anew(live: Live, ns: Namespace) -> None:
    effect, cause = pair(live, ns, events.policy(ns.name, **QUICK))
    effect.step()
    cause.through()
    assert effect.step() == Phase.PLANNING
    long_ago = timezone.now() - timedelta(minutes=3)
    HealingEvent.objects.filter(pk=cause.event.pk).update(finished_at=long_ago)
    assert effect.step() == Phase.DIAGNOSING, effect.told
    run = PhaseRun.objects.get(event=effect.event, phase=Phase.PLANNING)
    assert run.result["waitedFor"] == [cause.event.name]
    # Its own probe asks the wrong port, which is seen now that the other fault is gone: then it is its own turn.
    ref = ObjectRef("Deployment", ns.name, "orders")
    facts = {"container": "web", "probe": "readinessProbe", "suggested_port": 80}
    effect.findings = (Finding("ReadinessProbeMisconfigured", ref, 0.9, "Nothing listens on port 1.", facts=facts),)
    effect.until(Phase.AWAITING_APPROVAL, Phase.HEALING)
    assert list(effect.event.strategies.filter(state=StrategyState.CHOSEN).values_list("key", flat=True)) == [
        "fix-probe"
    ]
    assert effect.through().outcome == Outcome.HEALED, effect.told
    assert ns.is_rolled_out(ref)


def test_of_two_effects_one_is_asked_about(live: Live, ns: Namespace) -> None:
    policy = events.policy(ns.name, approval={"mode": "always"}, **QUICK)
    effect, cause = pair(live, ns, policy)
    cause.until(Phase.AWAITING_APPROVAL)
    effect.step()
    assert (asked(cause.event), asked(effect.event)) == (True, False)


def test_one_that_already_asks_goes_first_even_about_another_object(live: Live, ns: Namespace) -> None:
    policy = events.policy(ns.name, approval={"mode": "always"}, **QUICK)
    effect, cause = pair(live, ns, policy)
    events.put(cause.event, Phase.COMPLETED, finished_at=timezone.now() - timedelta(hours=1), outcome="declined")
    effect.until(Phase.AWAITING_APPROVAL)
    events.put(cause.event, Phase.PLANNING, finished_at=None, outcome="")
    assert cause.step() == Phase.PLANNING
    assert not asked(cause.event)


def test_other_causes_do_not_wait_for_each_other(live: Live, ns: Namespace) -> None:
    policy = events.policy(ns.name, approval={"mode": "always"}, **QUICK)
    told = []
    for name in ("payments", "orders"):
        ref = ill(ns, name)
        told.append(Story(events.event(ref, "ImagePullBackOff", under=policy), live.ports, caused_by(ref)))
    for one in told:
        one.until(Phase.AWAITING_APPROVAL)
        assert asked(one.event)


def rows(live: Live, *names: str, **fields: Any) -> list[HealingEvent]:
    """Events with the same cause, as they stand in the database; nothing of them is in the cluster."""
    cause = ObjectRef("Deployment", "shop", "db")
    policy = events.policy("shop")
    found = []
    for name in names:
        event = events.event(ObjectRef("Deployment", "shop", name), "HighLatency", under=policy)
        fields = {"cause": "SlowDependency", "cause_object": cause.as_json(), "confidence": 0.9, **fields}
        found.append(events.put(event, Phase.PLANNING, diagnosed_at=timezone.now(), **fields))
    return found


def decide(live: Live, event: HealingEvent) -> PhaseResult | None:
    policy = event.policy_spec
    return shared.wait(events.context(event, live.ports), policy, None, timezone.now())


def test_among_many_exactly_one_goes_on(live: Live) -> None:
    some = rows(live, "a", "db", "b", "c")
    assert [e.target_name for e in some if decide(live, e) is None] == ["db"]
    events.put(some[2], Phase.HEALING)
    assert [e.target_name for e in some if e is not some[2] and decide(live, e) is None] == []


def test_what_is_not_certain_waits_for_what_was_healed_near_it(live: Live) -> None:
    healed, unsure = rows(live, "a", "b")
    now = timezone.now()
    events.put(healed, Phase.COMPLETED, finished_at=now, outcome="healed", status=Status.DONE)
    events.put(unsure, Phase.PLANNING, cause="", cause_object={}, confidence=0.1)
    waits = decide(live, unsure)
    assert waits is not None
    assert waits.next is None
    events.put(healed, Phase.COMPLETED, finished_at=now - timedelta(minutes=5))
    assert decide(live, unsure) is None


@pytest.mark.parametrize(
    ("called", "phase", "ago_seconds", "waits"),
    [
        ("catalog", Phase.COMPLETED, 5, True),
        ("catalog", Phase.COMPLETED, 300, False),
        ("catalog", Phase.VERIFYING, None, True),
        ("catalog", Phase.AWAITING_APPROVAL, None, False),
        ("elsewhere", Phase.COMPLETED, 5, False),
    ],
)
def test_errors_of_a_caller_of_what_was_just_treated(
    live: Live, called: str, phase: Phase, ago_seconds: float | None, *, waits: bool
) -> None:
    treated, caller = rows(live, "catalog", "gateway")
    ended = None if ago_seconds is None else timezone.now() - timedelta(seconds=ago_seconds)
    about = ObjectRef("Service", "shop", "catalog").as_json()
    events.put(treated, phase, cause_object=about, finished_at=ended, outcome="healed" if ended else "")
    facts = {"calls": [ObjectRef("Service", "shop", called).as_json()]}
    finding = Finding("FailingDependency", ObjectRef("Deployment", "shop", "gateway"), 0.9, "It fails.", facts=facts)
    diagnosis = Diagnosis(findings=(finding,)).as_json()
    events.put(caller, Phase.PLANNING, cause=finding.cause, cause_object=finding.object.as_json(), diagnosis=diagnosis)
    assert (decide(live, caller) is not None) == waits


def test_approved_twice_acts_once_at_a_time(live: Live, ns: Namespace) -> None:
    """Both were asked before either acted: the second looks first whether the first one has helped."""
    policy = events.policy(ns.name, **QUICK)
    effect, cause = pair(live, ns, policy)
    events.put(effect.event, Phase.DIAGNOSING)
    cause.until(Phase.VERIFYING)
    strategy = cause.event.strategies.get(state=StrategyState.APPLIED)
    Strategy.objects.create(
        event=effect.event, attempt=1, key="x", title="x", state=StrategyState.CHOSEN, steps=strategy.steps,
        digest=planning.digest_of(strategy.steps), risk="low", score=1.0, confidence=1.0, origin="causes",
    )  # fmt: skip
    events.put(effect.event, Phase.HEALING)
    assert effect.step() == Phase.HEALING
    assert effect.kinds()[-1] == "waiting"
    assert not effect.event.actions.filter(strategy__isnull=False).exists()


def test_what_another_event_with_the_same_cause_tried_in_vain_is_not_tried_again(live: Live, ns: Namespace) -> None:
    effect, cause = pair(live, ns, events.policy(ns.name, **QUICK))
    Strategy.objects.create(
        event=cause.event, attempt=1, key="rollback", title="x", state=StrategyState.UNDONE, steps=[], digest="",
        risk="low", score=1.0, confidence=1.0, origin="causes",
    )  # fmt: skip
    events.put(cause.event, Phase.ESCALATED, status=Status.DONE, outcome=Outcome.ESCALATED, finished_at=timezone.now())
    assert effect.through().outcome == Outcome.ESCALATED, effect.told
    assert cause.event.name in effect.event.outcome_reason
    assert not effect.event.actions.filter(strategy__isnull=False).exists()
