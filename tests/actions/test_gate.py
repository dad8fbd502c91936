"""Two workers at the same limit: one passes. Real connections of the real database, side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from healing.actions import guardrails
from healing.actions.base import Plan
from healing.actions.runner import Runner
from healing.deadline import Deadline
from healing.lifecycle import Phase
from healing.models import ActionRun, ActionState, Halt, HealingEvent, Policy, Strategy
from healing.policies.spec import PolicySpec
from healing.ports import ObjectRef
from tests.actions import events
from tests.actions.test_guardrails import plan

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

#: How long a worker stays in the transaction in which it passes: without a turn for each, others look meanwhile.
_LINGER_SECONDS = 0.1


def about(name: str) -> ObjectRef:
    return ObjectRef("Deployment", "shop", name, f"uid-{name}")


def chosen(policy: Policy, target: ObjectRef, acts_on: ObjectRef | None = None) -> ActionRun:
    """The first step of a chosen strategy of a new event in HEALING: planned, nothing sent."""
    event = events.put(events.event(target, under=policy), Phase.HEALING)
    strategy = Strategy.objects.create(event=event, attempt=1, key="restart", title="t", origin="causes")
    a_plan = plan(target=acts_on or target)
    return ActionRun.objects.create(
        event=event,
        strategy=strategy,
        key=f"{event.pk}/heal",
        action="restart",
        target=a_plan.target.as_json(),
        pre_state={"plan": a_plan.as_json()},
    )


def pass_together(rows: list[ActionRun]) -> list[str]:
    """All at once, each in a thread with a connection of its own. What each came to: "passed", or the limits."""
    barrier = threading.Barrier(len(rows))
    found: dict[int, str] = {}

    def work(row: ActionRun) -> None:
        runner = Runner(None, Deadline.after(60), lambda: None)  # type: ignore[arg-type]

        def gate(fresh: Plan) -> None:
            guardrails.gate(row.event, fresh, is_approved=False)
            time.sleep(_LINGER_SECONDS)

        try:
            barrier.wait(60)
            runner._claim(row, plan(target=ObjectRef.from_json(row.target)), gate)
            found[row.pk] = "passed"
        except guardrails.Refused as refused:
            found[row.pk] = ", ".join(r.limit for r in refused.refusals)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(row,)) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return sorted(found.values())


def test_of_many_that_would_begin_at_once_only_so_many_do() -> None:
    policy = events.policy("shop", limits={"maxConcurrentHealings": 2})
    # The youngest are asked first, too: all of them are in HEALING, and each knows only who is older.
    rows = [chosen(policy, about(f"w{n}")) for n in range(5)]
    assert pass_together(rows).count("passed") <= 2
    assert ActionRun.objects.filter(state=ActionState.APPLYING).count() <= 2


def test_a_younger_one_that_has_begun_counts_for_an_older_one_that_comes_later() -> None:
    policy = events.policy("shop", limits={"maxConcurrentHealings": 1})
    older, younger = chosen(policy, about("old")), chosen(policy, about("young"))
    events.put(older.event, Phase.PLANNING)
    assert pass_together([younger]) == ["passed"]
    events.put(older.event, Phase.HEALING)
    assert pass_together([older]) == ["maxConcurrentHealings"]


def test_what_has_begun_goes_on_whoever_comes() -> None:
    policy = events.policy("shop", limits={"maxConcurrentHealings": 1, "maxActionsPerWorkloadAndHour": 1})
    older, younger = chosen(policy, about("old")), chosen(policy, about("young"))
    ActionRun.objects.filter(pk=younger.pk).update(state=ActionState.APPLIED, applied_at=timezone.now())
    second = ActionRun.objects.create(
        event=younger.event, strategy=younger.strategy, key="second", action="restart", target=younger.target,
        pre_state=younger.pre_state,
    )  # fmt: skip
    assert older.event.phase == Phase.HEALING
    assert pass_together([second]) == ["passed"]


@pytest.mark.parametrize(
    ("limits", "limit"),
    [({"cooldownSeconds": 60}, "cooldownSeconds"), ({"maxActionsPerWorkloadAndHour": 1, "cooldownSeconds": 0}, "maxA")],
)
def test_two_events_that_would_act_on_the_same_object_act_one_after_the_other(
    limits: dict[str, Any], limit: str
) -> None:
    policy = events.policy("shop", limits=limits)
    rows = [chosen(policy, about(name), acts_on=about("database")) for name in ("caller-a", "caller-b")]
    first, second = pass_together(rows)
    assert first.startswith(limit)
    assert second == "passed"


def test_other_objects_are_not_held_up() -> None:
    policy = events.policy("shop", limits={"maxActionsPerWorkloadAndHour": 1})
    rows = [chosen(policy, about(name)) for name in ("a", "b", "c")]
    assert pass_together(rows) == ["passed"] * 3


def _halt(event: HealingEvent) -> None:
    Halt.objects.create(reason="stop")


def _pause(event: HealingEvent) -> None:
    spec = PolicySpec.model_validate({**event.policy_snapshot, "paused": True})
    Policy.objects.filter(pk=event.policy_id).update(spec=spec.as_json())


def _disallow(event: HealingEvent) -> None:
    spec = PolicySpec.model_validate({**event.policy_snapshot, "allowedActions": ["scale"]})
    Policy.objects.filter(pk=event.policy_id).update(spec=spec.as_json())


def _switch_off(event: HealingEvent) -> None:
    Policy.objects.filter(pk=event.policy_id).update(enabled=False)


def _freeze(event: HealingEvent) -> None:
    now = timezone.now()
    window = f"{(now - timedelta(hours=1)).isoformat()}/{(now + timedelta(hours=1)).isoformat()}"
    spec = PolicySpec.model_validate({**event.policy_snapshot, "limits": {"freezeWindows": [window]}})
    Policy.objects.filter(pk=event.policy_id).update(spec=spec.as_json())


@pytest.mark.parametrize(
    ("throw_in", "limit"),
    [
        (_halt, "halt"),
        (_pause, "paused"),
        (_disallow, "allowedActions"),
        (_switch_off, "policy"),
        (_freeze, "freezeWindows"),
    ],
)
def test_what_is_thrown_in_between_two_steps_stops_the_second(
    throw_in: Callable[[HealingEvent], None], limit: str
) -> None:
    row = chosen(events.policy("shop"), about("web"))
    assert pass_together([row]) == ["passed"]
    ActionRun.objects.filter(pk=row.pk).update(state=ActionState.APPLIED, applied_at=timezone.now())
    second = ActionRun.objects.create(
        event=row.event, strategy=row.strategy, key="second", action="restart", target=row.target,
        pre_state=row.pre_state,
    )  # fmt: skip
    throw_in(row.event)
    assert pass_together([second]) == [limit]
    second.refresh_from_db()
    assert second.state == ActionState.PLANNED
