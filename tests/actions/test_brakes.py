"""What stops automation as a whole, and how it is let go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from healing.actions import brakes, guardrails
from healing.lifecycle import Outcome, Phase, Status
from healing.models import ActionRun, CircuitReset, Halt, HealingEvent, Policy, Strategy, StrategyState
from healing.policies import freeze
from healing.policies.spec import PolicySpec
from healing.ports import ObjectRef
from tests.actions import events
from tests.actions.live import Live, Namespace
from tests.actions.story import Story, finding
from tests.actions.test_guardrails import Cluster, plan
from tests.metacognition.test_healing import QUICK, bad_image

pytestmark = pytest.mark.django_db

WEB = ObjectRef("Deployment", "shop", "web")


def limits(event: HealingEvent, *, approved: bool = False, containment: bool = False) -> dict[str, guardrails.Refusal]:
    situation = guardrails.situation_of(event, timezone.now(), is_approved=approved, is_containment=containment)
    return {r.limit: r for r in guardrails.check(plan(), situation, Cluster({}), timeout_seconds=1)}


def ended(policy: Policy, outcome: Outcome, state: StrategyState | None, target: ObjectRef = WEB) -> HealingEvent:
    event = events.event(target, under=policy)
    if state is not None:
        Strategy.objects.create(
            event=event, attempt=1, key="x", title="x", state=state, steps=[], digest="", risk="low", score=0.5,
            confidence=0.5, origin="causes",
        )  # fmt: skip
    phase = Phase.COMPLETED if outcome == Outcome.HEALED else Phase.ESCALATED
    return events.put(event, phase, status=Status.DONE, outcome=outcome, finished_at=timezone.now())


@pytest.mark.parametrize("cluster", ["", "default"])
def test_a_halt_stops_everything_even_what_is_approved(cluster: str) -> None:
    event = events.event(WEB)
    assert limits(event) == {}
    halt = Halt.objects.create(cluster=cluster, reason="we look into it", created_by="ana")
    for more in ({}, {"approved": True}, {"containment": True}):
        refusal = limits(event, **more)["halt"]
        assert refusal.kind is guardrails.Kind.FORBID
        assert "ana" in refusal.message
    Halt.objects.filter(pk=halt.pk).update(lifted_at=timezone.now())
    assert limits(event) == {}


def test_a_halt_of_another_cluster_is_none_here() -> None:
    Halt.objects.create(cluster="other", reason="there only")
    assert limits(events.event(WEB)) == {}


def test_a_halt_takes_effect_on_what_is_queued(live: Live, ns: Namespace) -> None:
    ref = bad_image(ns)
    event = events.event(ref, "ImagePullBackOff", containment={"pauseRollouts": False}, **QUICK)
    told = Story(event, live.ports, finding(event, "ImageNotFound"))
    told.until(Phase.HEALING)
    Halt.objects.create(reason="stop")
    assert told.through().outcome == Outcome.ESCALATED
    assert not ActionRun.objects.filter(applied_at__isnull=False).exists()
    assert "halted" in told.told
    container = ns.get("Deployment", "web")["spec"]["template"]["spec"]["containers"][0]
    assert container["image"].endswith("does-not-exist")


def test_a_workload_whose_healings_fail_is_left_to_people_until_one_resets_it() -> None:
    policy = events.policy("shop", limits={"circuitBreakerFailures": 2})
    ended(policy, Outcome.ESCALATED, StrategyState.UNDONE)
    ended(policy, Outcome.ESCALATED, None)  # nothing was tried: no failure of ours
    ended(policy, Outcome.ESCALATED, StrategyState.UNDONE, ObjectRef("Deployment", "shop", "other"))
    event = events.event(WEB, under=policy)
    assert limits(event) == {}
    events.put(event, Phase.ESCALATED, status=Status.DONE, finished_at=timezone.now(), outcome=Outcome.ESCALATED)
    ended(policy, Outcome.ESCALATED, StrategyState.FAILED)
    event = events.event(WEB, under=policy)
    assert limits(event)["circuitBreakerFailures"].kind is guardrails.Kind.ASK
    assert limits(event, approved=True) == {}
    CircuitReset.objects.create(cluster="default", kind="Deployment", namespace="shop", name="web")
    assert limits(event) == {}


def test_a_success_closes_the_circuit() -> None:
    policy = events.policy("shop", limits={"circuitBreakerFailures": 1, "cooldownSeconds": 0})
    ended(policy, Outcome.ESCALATED, StrategyState.FAILED)
    ended(policy, Outcome.HEALED, StrategyState.SUCCEEDED)
    assert "circuitBreakerFailures" not in limits(events.event(WEB, under=policy))


def test_many_different_faults_at_once_are_a_storm_and_many_effects_of_one_are_not() -> None:
    policy = events.policy("shop", limits={"stormFaults": 4})

    def opened(name: str, cause: str) -> HealingEvent:
        event = events.event(ObjectRef("Deployment", "shop", name), under=policy)
        about = {"kind": "Deployment", "namespace": "shop", "name": cause}
        return events.put(event, Phase.PLANNING, cause_object=about)

    some = [opened(f"caller-{n}", "database") for n in range(6)]
    assert limits(some[0]) == {}
    for n in range(3):
        opened(f"other-{n}", f"other-{n}")
    assert limits(some[0])["stormFaults"].kind is guardrails.Kind.ASK
    assert limits(some[0], containment=True) == {}


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("Sat,Sun 00:00-24:00", "2026-11-22T23:59Z", "2026-11-23T00:00Z"),
        ("Mon-Fri 22:00-06:00", "2026-11-24T05:59Z", "2026-11-24T06:00Z"),
        ("Fri 22:00-06:00", "2026-11-28T03:00Z", "2026-11-29T03:00Z"),
        ("Fri-Mon 10:00-11:00", "2026-11-23T10:30Z", "2026-11-24T10:30Z"),
        ("Mon 09:00-10:00 Europe/Berlin", "2026-11-23T08:30Z", "2026-11-23T09:30Z"),
        ("2026-12-23T00:00Z/2027-01-02T00:00Z", "2026-12-31T12:00Z", "2027-01-02T00:00Z"),
    ],
)
def test_freeze_windows(text: str, inside: str, outside: str) -> None:
    window = freeze.parse(text)
    at = datetime.fromisoformat(inside)
    ends = window.until(at)
    assert ends is not None
    assert at < ends
    assert window.until(datetime.fromisoformat(outside)) is None
    assert PolicySpec.model_validate({"targetNamespaces": ["a"], "limits": {"freezeWindows": [text]}})


@pytest.mark.parametrize(
    "text",
    ["", "always", "Foo 10:00-11:00", "Mon 25:00-26:00", "Mon 10:00-11:00 Mars/Olympus", "Mon 10-11", "a/b",
     "2026-12-23T00:00/2027-01-02T00:00", "2027-01-02T00:00Z/2026-12-23T00:00Z"],
)  # fmt: skip
def test_a_window_nobody_can_read_is_refused_with_how_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match="freezeWindows"):
        PolicySpec.model_validate({"targetNamespaces": ["a"], "limits": {"freezeWindows": [text]}})


def test_what_is_frozen_needs_a_person_and_is_not_contained() -> None:
    now = timezone.now()
    window = f"{(now - timedelta(hours=1)).astimezone(UTC).isoformat()}/{(now + timedelta(hours=1)).isoformat()}"
    event = events.event(WEB, limits={"freezeWindows": [window]})
    assert limits(event)["freezeWindows"].kind is guardrails.Kind.ASK
    assert limits(event, approved=True) == {}
    assert "freezeWindows" in limits(event, containment=True)
    assert brakes.frozen_until(event.policy_spec, now + timedelta(hours=2)) is None


def test_who_may_halt_by_the_api(client: Any, django_user_model: Any) -> None:
    person = django_user_model.objects.create_user("ana", password="a-long-password")
    client.force_login(person)
    body = {"reason": "we look into it"}
    where = "/api/v1/brakes/halts"
    assert client.post(where, body, content_type="application/json").status_code == 403
    person.is_superuser = True
    person.save()
    assert client.post(where, body, content_type="application/json").status_code == 201
    assert client.post(where, body, content_type="application/json").status_code == 409
    found = client.get(where).json()["items"]
    assert [item["created_by"] for item in found] == ["ana"]
    assert client.delete(f"{where}/{found[0]['id']}").status_code == 204
    assert client.get(where).json() == {"items": [], "next": None}
    assert client.delete(f"{where}/{found[0]['id']}").status_code == 404
    body = {"cluster": "default", "kind": "Deployment", "namespace": "shop", "name": "web"}
    assert client.post("/api/v1/brakes/circuit-resets", body, content_type="application/json").status_code == 204
    assert CircuitReset.objects.get().by == "ana"
