"""One row for each limit: it refuses, names itself, and says how it is lifted; and what lifts it does."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from healing.actions import fresh_edits, guardrails
from healing.actions.base import Plan
from healing.lifecycle import Outcome, Phase, Status
from healing.models import ActionRun, ActionState, Halt, HealingEvent, Policy, Strategy, StrategyState
from healing.policies.spec import ActionName
from healing.ports import ObjectRef
from recist_web.environment import PROJECT_DIR
from tests.actions import events
from tests.actions.test_guardrails import Cluster, plan

pytestmark = pytest.mark.django_db

TARGET = ObjectRef("Deployment", "shop", "web", "uid-web")
_numbers = itertools.count(1)


RESTART = plan(target=TARGET)


@dataclass(frozen=True)
class Row:
    """``spec`` of the policy under which the limit is reached, and ``lifted`` of one under which it is not."""

    limit: str
    says: str
    lift: str
    spec: dict[str, Any] = field(default_factory=dict)
    lifted: dict[str, Any] = field(default_factory=dict)
    plan: Plan = RESTART
    before: Callable[[HealingEvent], None] = lambda event: None
    labels: dict[str, str] = field(default_factory=dict)
    objects: tuple[dict[str, Any], ...] = ()


STATEFUL = ObjectRef("StatefulSet", "shop", "web", "uid-web")


def workload(ref: ObjectRef, replicas: int, *, updated: int | None = None, config_map: str = "") -> dict[str, Any]:
    container: dict[str, Any] = {"name": "web", "image": "web:1"}
    if config_map:
        container["envFrom"] = [{"configMapRef": {"name": config_map}}]
    counted = {"replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas}
    return {
        "kind": ref.kind,
        "metadata": {"name": ref.name, "namespace": ref.namespace, "uid": ref.uid, "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
        },
        "status": {**counted, "updatedReplicas": replicas if updated is None else updated, "observedGeneration": 1},
    }


def node(name: str, cpu: str) -> dict[str, Any]:
    ready = [{"type": "Ready", "status": "True"}]
    allocatable = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
    return {
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {},
        "status": {"conditions": ready, "allocatable": allocatable},
    }


def waiting_pod(name: str, cpu: str) -> dict[str, Any]:
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}}}
    return {"kind": "Pod", "metadata": {"name": name, "namespace": "shop"}, "spec": {"containers": [container]}}


def _halt(event: HealingEvent) -> None:
    Halt.objects.create(reason="we look into it", created_by="ana")


def _switch_off(event: HealingEvent) -> None:
    Policy.objects.filter(pk=event.policy_id).update(enabled=False)


def _another(event: HealingEvent, name: str, phase: Phase, **fields: Any) -> HealingEvent:
    other = events.event(ObjectRef("Deployment", "shop", name), under=event.policy)
    about = {"kind": "Deployment", "namespace": "shop", "name": name}
    return events.put(other, phase, cause_object=about, **fields)


def _acted(event: HealingEvent, *, finished: bool = True, state: StrategyState = StrategyState.SUCCEEDED) -> None:
    """An event of the same workload that was healed a moment ago."""
    outcome = Outcome.ESCALATED if state is StrategyState.FAILED else Outcome.HEALED
    ended = {
        "finished_at": timezone.now(),
        "status": Status.DONE,
        "outcome": outcome,
        "fingerprint": str(next(_numbers)),
    }
    phase = Phase.ESCALATED if state is StrategyState.FAILED else Phase.COMPLETED
    other = _another(event, "other", phase, target_name="web", **ended)
    strategy = Strategy.objects.create(event=other, attempt=1, key="x", title="x", origin="causes", state=state)
    ActionRun.objects.create(
        event=other,
        strategy=strategy,
        key=str(next(_numbers)),
        action="restart",
        target=TARGET.as_json(),
        state=ActionState.APPLIED,
        applied_at=timezone.now() - timedelta(seconds=1),
    )


def _failed(event: HealingEvent) -> None:
    _acted(event, state=StrategyState.FAILED)


def _storm(event: HealingEvent) -> None:
    for name in ("a", "b", "c"):
        _another(event, name, Phase.PLANNING)


def _healing(event: HealingEvent) -> None:
    _another(event, "a", Phase.VERIFYING)


def _window() -> str:
    now = timezone.now()
    return f"{(now - timedelta(hours=1)).isoformat()}/{(now + timedelta(hours=1)).isoformat()}"


HEALTH = {"ready_replicas": 4, "desired_replicas": 4}
#: so that only the one limit of a row is reached
QUIET = {"cooldownSeconds": 0, "circuitBreakerFailures": 0, "maxActionsPerWorkloadAndHour": 100}

ROWS = [
    Row("halt", "halted by ana", "lift the halt", before=_halt),
    Row("freezeWindows", "frozen until", "limits.freezeWindows", {"limits": {"freezeWindows": [_window()]}}),
    Row(
        "circuitBreakerFailures", "1 healings of this workload failed", "reset its circuit breaker",
        {"limits": {**QUIET, "circuitBreakerFailures": 1}}, {"limits": {**QUIET, "circuitBreakerFailures": 2}},
        before=_failed,
    ),
    Row(
        "stormFaults", "different things are at fault", "limits.stormFaults",
        {"limits": {"stormFaults": 3}}, {"limits": {"stormFaults": 5}}, before=_storm,
    ),
    Row("policy", "switched off", "restore it", before=_switch_off),
    Row("paused", "paused", "set paused to false", {"paused": True}),
    Row("autonomy", "only observes", "autonomy to propose or heal", {"autonomy": "observe"}),
    Row(
        "allowedActions", "does not allow restart", "add restart to allowedActions",
        {"allowedActions": ["scale"]}, {"allowedActions": ["scale", "restart"]},
    ),
    Row(
        "targetNamespaces", "not covered", "add elsewhere to targetNamespaces",
        {}, {"targetNamespaces": ["shop", "elsewhere"]}, plan=plan(target=ObjectRef("Deployment", "elsewhere", "x")),
    ),
    Row(
        "targetLabels", "does not have the labels heal=yes", "label it",
        {"targetLabels": {"heal": "yes"}}, {"targetLabels": {"app": "web"}}, labels={"app": "web"},
    ),
    Row(
        "allowLastReplica", "No ready replica", "limits.allowLastReplica",
        {}, {"limits": {"allowLastReplica": True}},
        plan=plan(target=TARGET, ready_replicas=1, desired_replicas=2, remaining_ready=0),
    ),
    Row(
        "minHealthyPercent", "1 of 4 replicas", "minHealthyPercent is 50",
        {}, {"limits": {"minHealthyPercent": 20}}, plan=plan(target=TARGET, **HEALTH, remaining_ready=1),
    ),
    Row(
        "quorum", "2 of 5 replicas", "more replicas are ready", {"limits": {"minHealthyPercent": 0}},
        plan=plan(target=STATEFUL, ready_replicas=5, desired_replicas=5, remaining_ready=2),
        objects=(workload(STATEFUL, 5),),
    ),
    Row(
        "restartable", "ConfigMap settings does not exist", "put that right",
        plan=plan(target=TARGET, **HEALTH, remaining_ready=3), objects=(workload(TARGET, 4, config_map="settings"),),
    ),
    Row(
        "rollout", "1 of 4 replicas are of its newest", "wait until it has ended",
        plan=plan(target=TARGET, **HEALTH, remaining_ready=3), objects=(workload(TARGET, 4, updated=1),),
    ),
    Row(
        "keepsData", "not interchangeable", "approve it",
        plan=plan(target=STATEFUL, **HEALTH, remaining_ready=3), objects=(workload(STATEFUL, 4),),
    ),
    Row(
        "room", "1 pod(s) that wait for a place would find none (late)", "room on other nodes",
        {"allowedActions": ["cordon"]}, plan=plan(ActionName.CORDON, ObjectRef("Node", "", "a")),
        objects=(node("a", "4"), node("b", "1"), waiting_pod("late", "2")),
    ),
    Row(
        "PodDisruptionBudget", "web allows 0 disruptions", "change the budget",
        plan=plan(
            ActionName.EVICT, TARGET, **HEALTH, remaining_ready=3, disruptions_allowed=0,
            disruption_budget="web allows 0 disruptions",
        ),
    ),
    Row("autoscaler", "web-hpa", "autoscaler's bounds", plan=plan(ActionName.SCALE, TARGET, autoscaler="web-hpa")),
    Row("gitops", "Argo CD shop", "at its source", plan=plan(target=TARGET, managed_by="Argo CD shop")),
    Row("freshEdit", "edited by hand", "it goes on in", plan=plan(target=replace(TARGET, name="edited"))),
    Row(
        "maxActionsPerWorkloadAndHour", "1 strategies", "limits.maxActionsPerWorkloadAndHour",
        {"limits": {**QUIET, "maxActionsPerWorkloadAndHour": 1}},
        {"limits": {**QUIET, "maxActionsPerWorkloadAndHour": 2}}, before=_acted,
    ),
    Row(
        "cooldownSeconds", "was carried out here", "limits.cooldownSeconds",
        {"limits": {**QUIET, "cooldownSeconds": 60}}, {"limits": QUIET}, before=_acted,
    ),
    Row(
        "maxConcurrentHealings", "1 other workloads", "limits.maxConcurrentHealings",
        {"limits": {"maxConcurrentHealings": 1}}, {"limits": {"maxConcurrentHealings": 2}}, before=_healing,
    ),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _edits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the object called ``edited`` was edited; how that is read has its own tests."""

    def on(cluster: Any, ref: ObjectRef, now: Any, **_: Any) -> fresh_edits.Edit | None:
        return fresh_edits.Edit(ref, "kubectl-edit", now - timedelta(seconds=5)) if ref.name == "edited" else None

    monkeypatch.setattr(fresh_edits, "on", on)


def reached(row: Row, spec: dict[str, Any]) -> dict[str, guardrails.Refusal]:
    under = events.policy("shop", **spec)
    event = events.event(TARGET, under=under)
    row.before(event)
    situation = guardrails.situation_of(event, timezone.now(), target=row.plan.target)
    found = guardrails.check(row.plan, situation, Cluster(row.labels, row.objects), timeout_seconds=1)
    return {refusal.limit: refusal for refusal in found}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.limit)
def test_the_limit_refuses_names_itself_and_says_how_it_is_lifted(row: Row) -> None:
    found = reached(row, row.spec)
    assert set(found) == {row.limit}
    refusal = found[row.limit]
    assert row.says in refusal.message
    assert row.lift in refusal.lift
    assert refusal.as_json() == {
        "limit": row.limit, "kind": str(refusal.kind), "message": refusal.message, "lift": refusal.lift,
    }  # fmt: skip
    assert row.limit in str(refusal) or row.says in str(refusal)


@pytest.mark.parametrize("row", [row for row in ROWS if row.lifted], ids=lambda row: row.limit)
def test_what_it_says_lifts_it(row: Row) -> None:
    assert row.limit not in reached(row, row.lifted)


def test_every_limit_has_a_row_and_every_row_a_limit() -> None:
    assert [row.limit for row in ROWS] == sorted((row.limit for row in ROWS), key=list(guardrails.LIMITS).index), (
        "in the order of the list"
    )
    assert {row.limit for row in ROWS} == set(guardrails.LIMITS)


def test_a_limit_that_is_not_in_the_list_cannot_be_raised() -> None:
    with pytest.raises(ValueError, match="LIMITS"):
        guardrails.Refusal("made-up", guardrails.Kind.ASK, "m", "l")


def test_every_limit_is_in_the_documentation() -> None:
    text = (PROJECT_DIR / "docs" / "actions.md").read_text(encoding="utf-8")
    in_words = {"gitops": "Argo CD", "autoscaler": "an autoscaler", "halt": "halt (the kill switch)"}
    missing = [limit for limit in guardrails.LIMITS if in_words.get(limit, limit) not in text]
    assert not missing
