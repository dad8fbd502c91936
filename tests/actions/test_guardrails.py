"""Every limit: what is refused, which limit it was and how to lift it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from healing.actions import guardrails
from healing.actions.base import BlastRadius, Plan
from healing.lifecycle import Phase
from healing.models import ActionRun, ActionState, HealingEvent, Policy, Strategy
from healing.policies.spec import ActionName, Risk
from healing.ports import ObjectRef
from healing.ports.cluster import ObjectList
from healing.ports.errors import NotFound
from tests.actions import events

pytestmark = pytest.mark.django_db

_numbers = itertools.count()
TARGET = ObjectRef("Deployment", "shop", "api", "uid-api")


class Cluster:
    """Only what limits read: the target's labels, and ``objects`` where these have a say."""

    def __init__(self, labels: dict[str, str] | None = None, objects: Sequence[dict[str, Any]] = ()) -> None:
        self.labels, self.objects = labels, objects

    def get(self, kind: str, namespace: str, name: str, *, timeout_seconds: float | None = None) -> dict[str, Any]:
        for obj in self.objects:
            if (obj["kind"], obj["metadata"]["name"]) == (kind, name):
                return obj
        if self.labels is None or self.objects:
            raise NotFound(f"{kind} {name}")
        return {"metadata": {"name": name, "namespace": namespace, "labels": self.labels}}

    def list(self, kind: str, namespace: str = "", **_: Any) -> ObjectList:
        return ObjectList([obj for obj in self.objects if obj["kind"] == kind], "1")


def plan(action: ActionName = ActionName.RESTART, target: ObjectRef = TARGET, **radius: Any) -> Plan:
    return Plan(
        action=action,
        target=target,
        generation=1,
        summary="s",
        changes=(),
        operations=(),
        pre_state={},
        risk=Risk.LOW,
        risk_reason="",
        reversible=True,
        undo_summary="",
        blast_radius=BlastRadius(**radius),
    )


def refusals(
    a_plan: Plan, *, cluster: Cluster | None = None, approved: bool = False, containment: bool = False, **spec: Any
) -> dict[str, guardrails.Refusal]:
    event = events.event(ObjectRef("Deployment", "shop", f"w{next(_numbers)}"), under=events.policy("shop", **spec))
    situation = guardrails.situation_of(event, timezone.now(), is_approved=approved, is_containment=containment)
    found = guardrails.check(a_plan, situation, cluster or Cluster({}), timeout_seconds=1)
    for refusal in found:
        assert refusal.message
        assert refusal.lift
    return {refusal.limit: refusal for refusal in found}


def test_nothing_speaks_against_a_harmless_plan() -> None:
    assert refusals(plan(ready_replicas=3, desired_replicas=3, remaining_ready=3)) == {}


@pytest.mark.parametrize(
    ("a_plan", "spec", "limit"),
    [
        (plan(ActionName.ROLLBACK), {"allowedActions": ["restart"]}, "allowedActions"),
        (plan(ActionName.ISOLATE), {}, "allowedActions"),
        (plan(), {"autonomy": "observe"}, "autonomy"),
        (plan(), {"paused": True}, "paused"),
        (plan(target=ObjectRef("Deployment", "kube-system", "dns")), {}, "targetNamespaces"),
        (plan(target=ObjectRef("Deployment", "elsewhere", "api")), {}, "targetNamespaces"),
        (plan(), {"targetLabels": {"heal": "yes"}}, "targetLabels"),
        (plan(ActionName.SCALE, autoscaler="api-hpa"), {}, "autoscaler"),
        (plan(ready_replicas=4, desired_replicas=4, remaining_ready=1), {}, "minHealthyPercent"),
        (plan(ready_replicas=1, desired_replicas=2, remaining_ready=0), {}, "allowLastReplica"),
        (plan(ActionName.EVICT, ready_replicas=1, desired_replicas=1, remaining_ready=0), {}, "allowLastReplica"),
        (plan(ready_replicas=1, desired_replicas=1, remaining_ready=0), {}, "allowLastReplica"),
        (plan(ActionName.RESTART_DEPENDENCY, ready_replicas=1, desired_replicas=1, remaining_ready=0), {},
         "allowLastReplica"),
        (
            plan(ActionName.EVICT, ready_replicas=3, desired_replicas=3, remaining_ready=2, disruptions_allowed=0),
            {},
            "PodDisruptionBudget",
        ),
    ],
)  # fmt: skip
def test_what_the_policy_forbids_an_approval_does_not_allow(a_plan: Plan, spec: dict[str, Any], limit: str) -> None:
    for approved in (False, True):
        found = refusals(a_plan, approved=approved, **spec)
        assert set(found) == {limit}
        assert found[limit].kind is guardrails.Kind.FORBID


@pytest.mark.parametrize(
    ("a_plan", "spec", "limit"),
    [
        (
            plan(ready_replicas=3, desired_replicas=3, remaining_ready=2, disruptions_allowed=0),
            {},
            "PodDisruptionBudget",
        ),
        (plan(), {"autonomy": "propose"}, "autonomy"),
        (plan(managed_by="Argo CD shop"), {}, "gitops"),
        (plan(ActionName.ROLLBACK, ready_replicas=1, desired_replicas=1, remaining_ready=0), {}, "allowLastReplica"),
        (plan(), {"limits": {"maxActionsPerWorkloadAndHour": 0}}, "maxActionsPerWorkloadAndHour"),
    ],
)  # fmt: skip
def test_what_a_person_may_allow(a_plan: Plan, spec: dict[str, Any], limit: str) -> None:
    assert refusals(a_plan, **spec)[limit].kind is guardrails.Kind.ASK
    assert refusals(a_plan, approved=True, **spec) == {}


def test_what_was_not_ready_before_counts_for_no_loss() -> None:
    assert refusals(plan(ActionName.EVICT, ready_replicas=0, desired_replicas=2, remaining_ready=0)) == {}


def test_the_last_replica_goes_where_the_policy_says_so() -> None:
    spec = {"limits": {"allowLastReplica": True, "minHealthyPercent": 0}}
    assert refusals(plan(ready_replicas=1, desired_replicas=1, remaining_ready=0), **spec) == {}


def test_labels_in_scope() -> None:
    labels = {"heal": "yes", "app": "api"}
    assert refusals(plan(), cluster=Cluster(labels), targetLabels={"heal": "yes"}) == {}


def test_containment_has_its_own_switches() -> None:
    isolate = plan(ActionName.ISOLATE, ready_replicas=3, desired_replicas=3, remaining_ready=2)
    assert refusals(isolate, containment=True) == {}
    found = refusals_with(isolate, {"containment": {"mode": "off"}})
    assert set(found) == {"allowedActions"}


def refusals_with(a_plan: Plan, spec: dict[str, Any]) -> dict[str, guardrails.Refusal]:
    event = events.event(ObjectRef("Deployment", "shop", f"w{next(_numbers)}"), under=events.policy("shop", **spec))
    situation = guardrails.situation_of(event, timezone.now(), is_containment=True)
    return {r.limit: r for r in guardrails.check(a_plan, situation, Cluster({}), timeout_seconds=1)}


def test_what_ends_our_own_containment_is_never_refused() -> None:
    assert refusals_with(plan(ActionName.RELEASE), {"paused": True, "containment": {"mode": "off"}}) == {}


@pytest.fixture
def healed_before() -> HealingEvent:
    """An event on the same workload with an action ten seconds ago."""
    event = events.event(TARGET)
    strategy = Strategy.objects.create(event=event, attempt=1, key="restart", title="t", origin="causes")
    ActionRun.objects.create(
        event=event,
        strategy=strategy,
        key="old",
        action="restart",
        target={},
        state=ActionState.APPLIED,
        applied_at=timezone.now() - timedelta(seconds=10),
    )
    HealingEvent.objects.filter(pk=event.pk).update(finished_at=timezone.now(), phase=Phase.COMPLETED)
    return event


def test_the_cooldown_is_waited_for(healed_before: HealingEvent) -> None:
    event = events.event(TARGET, under=healed_before.policy)
    situation = guardrails.situation_of(event, timezone.now())
    assert situation.actions_last_hour == 1
    (found,) = guardrails.check(plan(), situation, Cluster({}), timeout_seconds=1)
    assert (found.limit, found.kind) == ("cooldownSeconds", guardrails.Kind.WAIT)
    assert 45 < found.wait_seconds <= 50
    long = situation.policy.model_copy(
        update={"limits": situation.policy.limits.model_copy(update={"cooldown_seconds": 600})}
    )
    (found,) = guardrails.check(plan(), dataclasses.replace(situation, policy=long), Cluster({}), timeout_seconds=1)
    assert found.kind is guardrails.Kind.ASK


def test_of_many_healings_the_oldest_goes_first() -> None:
    policy = events.policy("shop", limits={"maxConcurrentHealings": 1})
    first, second = (events.event(ObjectRef("Deployment", "shop", n, n), under=policy) for n in ("a", "b"))
    for event in (first, second):
        events.put(event, Phase.HEALING)
    assert guardrails.situation_of(first, timezone.now()).healings_before == 0
    situation = guardrails.situation_of(second, timezone.now())
    (found,) = guardrails.check(plan(), situation, Cluster({}), timeout_seconds=1)
    assert (found.limit, found.kind) == ("maxConcurrentHealings", guardrails.Kind.WAIT)


def limits_of(event: HealingEvent) -> list[str]:
    situation = guardrails.situation_of(event, timezone.now())
    return [refusal.limit for refusal in guardrails.check(plan(), situation, Cluster({}), timeout_seconds=1)]


def test_a_deleted_or_switched_off_policy_stops_everything() -> None:
    policy = events.policy("shop")
    event = events.event(TARGET, under=policy)
    Policy.objects.update(enabled=False)
    assert limits_of(event) == ["policy"]
    policy.delete()
    event.refresh_from_db()
    assert limits_of(event) == ["policy"]


def test_the_policy_of_now_counts_and_not_that_of_then() -> None:
    policy = events.policy("shop")
    event = events.event(TARGET, under=policy)
    policy.spec = {**policy.spec, "allowedActions": ["scale"]}
    policy.save()
    assert limits_of(event) == ["allowedActions"]


def edited(seconds_ago: float, manager: str, subresource: str = "") -> Any:
    """A cluster in which the target was last written so long ago, by that tool."""
    at = timezone.now() - timedelta(seconds=seconds_ago)
    entry = {"manager": manager, "time": at.isoformat(), **({"subresource": subresource} if subresource else {})}

    class Edited(Cluster):
        def get(self, kind: str, namespace: str, name: str, *, timeout_seconds: float | None = None) -> dict[str, Any]:
            found = super().get(kind, namespace, name)
            return {**found, "metadata": {**found["metadata"], "uid": "u", "managedFields": [entry]}}

    return Edited({})


def test_what_a_person_has_just_edited_is_left_alone_for_a_moment() -> None:
    refusal = refusals(plan(), cluster=edited(3, "kubectl-edit"))["freshEdit"]
    assert refusal.kind is guardrails.Kind.WAIT
    assert 0 < refusal.wait_seconds <= 12
    assert "kubectl-edit" in refusal.message


@pytest.mark.parametrize(
    ("seconds_ago", "manager", "subresource"),
    [(60, "kubectl-edit", ""), (3, "recist", ""), (3, "kube-controller-manager", ""), (3, "kubectl-edit", "status")],
)
def test_old_edits_controllers_and_our_own_writes_hold_nothing_back(
    seconds_ago: float, manager: str, subresource: str
) -> None:
    assert refusals(plan(), cluster=edited(seconds_ago, manager, subresource)) == {}


def test_neither_a_person_who_agreed_nor_containment_waits_for_an_edit() -> None:
    assert refusals(plan(), cluster=edited(3, "kubectl-edit"), approved=True) == {}
    isolate = plan(ActionName.ISOLATE, ready_replicas=3, desired_replicas=3, remaining_ready=2)
    assert refusals(isolate, cluster=edited(3, "kubectl-edit"), containment=True) == {}
