"""Every action in every circumstance, against the API over HTTP: done once, or not at all and said why."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from healing.actions import registry
from healing.actions.base import Plan
from healing.actions.runner import ActionFailed, Runner, StalePlan, TryLater
from healing.deadline import Deadline
from healing.models import ActionRun, ActionState, HealingEvent
from healing.ports import ObjectRef
from tests.actions import events
from tests.actions.counting import Counting, Killed
from tests.actions.live import Live, Namespace, until
from tests.actions.stage import Stage
from tests.actions.table import STAGES

pytestmark = pytest.mark.django_db

_numbers = itertools.count(1)
SETUP = pytest.mark.parametrize("kind", list(STAGES))


@pytest.fixture(scope="module")
def shared(live: Live) -> Namespace:
    return live.namespace("table")


@pytest.fixture
def stage(shared: Namespace, kind: str) -> Iterator[Stage]:
    made = STAGES[kind](shared, f"w{next(_numbers)}")
    yield made
    made.clean_up()


@pytest.fixture
def event(shared: Namespace) -> HealingEvent:
    return events.event(ObjectRef("Deployment", shared.name, "any"))


@pytest.fixture
def counting(live: Live) -> Counting:
    return Counting(live.cluster)


def plan_of(cluster: Counting, stage: Stage) -> Plan:
    return registry.make_plan(cluster, stage.action, stage.target, stage.parameters, timeout_seconds=5)


def runner_of(cluster: Counting, seconds: float = 20.0) -> Runner:
    return Runner(cluster, Deadline.after(seconds), lambda: None)


def settle(stage: Stage, what: Callable[[], bool]) -> None:
    until(what, f"{stage.action} shows", 10)


@SETUP
def test_is_done_once_and_undone(stage: Stage, event: HealingEvent, counting: Counting) -> None:
    plan = plan_of(counting, stage)
    assert plan.changes
    assert plan.summary
    assert counting.written == 0
    runner = runner_of(counting)
    row = runner.apply(event, plan, key="k")
    assert row.state == ActionState.APPLIED
    settle(stage, stage.is_done)
    assert counting.written == stage.writes
    # The same again, as after a lost commit: nothing more is written.
    assert runner.apply(event, plan, key="k").pk == row.pk
    assert counting.written == stage.writes
    assert ActionRun.objects.count() == 1
    text = runner.undo(row)
    assert text
    if stage.is_as_before is not None:
        settle(stage, stage.is_as_before)
    else:
        assert counting.written == stage.writes
    row.refresh_from_db()
    assert row.state == ActionState.UNDONE
    written = counting.written
    assert runner.undo(row) == ""
    assert counting.written == written


@SETUP
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_in_the_middle_it_is_still_done_once(
    stage: Stage, event: HealingEvent, counting: Counting, moment: str
) -> None:
    plan = plan_of(counting, stage)
    for number in range(stage.writes):
        setattr(counting, f"die_{moment}", counting.written + (moment == "after"))
        with pytest.raises(Killed):
            runner_of(counting).apply(event, plan, key="k")
        assert ActionRun.objects.get().state == ActionState.APPLYING
        assert counting.written <= number + 1
    row = runner_of(counting).apply(event, plan, key="k")
    assert row.state == ActionState.APPLIED
    settle(stage, stage.is_done)
    assert counting.written == stage.writes


@SETUP
def test_a_plan_that_somebody_overtook_is_stale_and_nothing_is_sent(
    stage: Stage, event: HealingEvent, counting: Counting
) -> None:
    plan = plan_of(counting, stage)
    stage.spoil()
    with pytest.raises((StalePlan, ActionFailed)):
        runner_of(counting).apply(event, plan, key="k")
    assert counting.written == 0
    row = ActionRun.objects.get()
    assert row.state == ActionState.FAILED
    assert row.error


@SETUP
@pytest.mark.parametrize("code", [403, 422])
def test_what_the_api_refuses_fails_and_is_said(
    live: Live, stage: Stage, event: HealingEvent, counting: Counting, code: int
) -> None:
    plan = plan_of(counting, stage)
    with contextless_faults(live, stage, "error", code=code), pytest.raises(ActionFailed):
        runner_of(counting).apply(event, plan, key="k")
    assert counting.written == 0
    assert ActionRun.objects.get().state == ActionState.FAILED
    assert not stage.is_done()


@SETUP
@pytest.mark.parametrize(("fault", "more"), [("throttle", {}), ("error", {"code": 500}), ("drop", {})])
def test_what_may_pass_is_tried_later_and_then_done_once(
    live: Live, stage: Stage, event: HealingEvent, counting: Counting, fault: str, more: dict[str, int]
) -> None:
    plan = plan_of(counting, stage)
    with contextless_faults(live, stage, fault, **more), pytest.raises(TryLater):
        runner_of(counting, seconds=1.5).apply(event, plan, key="k")
    assert ActionRun.objects.get().state in (ActionState.PLANNED, ActionState.APPLYING)
    runner_of(counting).apply(event, plan, key="k")
    settle(stage, stage.is_done)


def contextless_faults(live: Live, stage: Stage, fault: str, **more: object):  # type: ignore[no-untyped-def]
    """Writes of the stage's namespace meet the fault, reads do not."""
    return live.api_fault(fault, "/api", stage.method, **more)


@pytest.mark.parametrize("kind", ["restart", "rollback", "scale", "isolate", "evict"])
def test_a_write_that_arrives_after_its_time_is_not_repeated(
    live: Live, stage: Stage, event: HealingEvent, kind: str
) -> None:
    """The client gives up, the server does it all the same: the next run recognises it."""
    counting = Counting(live.cluster)
    plan = plan_of(counting, stage)
    generation = generation_of(live, stage)
    # The dry run comes first and is let through slowly, then the real write runs out of time.
    with live.api_fault("latency", "/api", stage.method, seconds=0.8), pytest.raises(TryLater):
        runner_of(counting, seconds=1.2).apply(event, plan, key="k")
    row = runner_of(counting).apply(event, plan, key="k")
    assert row.state == ActionState.APPLIED
    settle(stage, stage.is_done)
    if generation:
        assert generation_of(live, stage) - generation <= 2  # ours, and the controller's annotation


def generation_of(live: Live, stage: Stage) -> int:
    target = stage.target
    if target.kind != "Deployment":
        return 0
    return int(live.cluster.get(target.kind, target.namespace, target.name)["metadata"]["generation"])
