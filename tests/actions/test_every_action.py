"""Every action in every circumstance, against the API over HTTP: done once, or not at all and said why."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator

import pytest
from django.db import connection
from django.utils import timezone

from healing.actions import guardrails, registry
from healing.actions.base import Plan
from healing.actions.runner import ActionFailed, Runner, StalePlan, TryLater
from healing.deadline import Deadline
from healing.models import ActionRun, ActionState, HealingEvent, KnownState
from healing.policies.spec import ActionName
from healing.ports import ObjectRef
from healing.ports.errors import Forbidden, NotFound, Unavailable
from tests.actions import events
from tests.actions.counting import Counting
from tests.actions.killed import Mortals
from tests.actions.live import Live, Namespace, until
from tests.actions.stage import Stage
from tests.actions.table import STAGES
from tests.parts.plugin import Parts

pytestmark = pytest.mark.django_db

_numbers = itertools.count(1)
SETUP = pytest.mark.parametrize("kind", list(STAGES))
#: What the API server answers to every write, once and for all.
REFUSALS = (403, 404, 422)
#: What may pass: with the seconds that the client gives it.
TROUBLES: tuple[tuple[str, dict[str, float], float], ...] = (
    ("error", {"code": 409}, 8.0),
    ("throttle", {}, 1.0),
    ("error", {"code": 500}, 8.0),
    ("drop", {}, 8.0),
    # The dry run comes first and is let through slowly; the real write runs out of time and arrives all the same.
    ("latency", {"seconds": 0.6}, 1.0),
)


@pytest.fixture
def stage(ns: Namespace, kind: str) -> Iterator[Stage]:
    made = STAGES[kind](ns, f"w{next(_numbers)}")
    yield made
    made.clean_up()
    ns.delete()


@pytest.fixture
def event(ns: Namespace) -> HealingEvent:
    return events.event(ObjectRef("Deployment", ns.name, "any"))


@pytest.fixture
def counting(live: Live) -> Counting:
    return Counting(live.cluster)


@pytest.fixture(scope="module")
def mortals(django_db_setup: None, test_parts: Parts) -> Iterator[Mortals]:
    """Processes that may be killed. They see what is committed, in the test's own database."""
    if test_parts.on_sqlite:
        pytest.fail("This test needs PostgreSQL: another process writes to the test's database.")
    process = Mortals(connection.settings_dict)
    yield process
    process.close()


def plan_of(cluster: Counting, stage: Stage) -> Plan:
    return registry.make_plan(cluster, stage.action, stage.target, stage.parameters, timeout_seconds=5)


def runner_of(cluster: Counting, seconds: float = 60.0) -> Runner:
    return Runner(cluster, Deadline.after(seconds), lambda: None, least_seconds=0.0)


def settle(stage: Stage, what: Callable[[], bool]) -> None:
    until(what, f"{stage.action} shows")


def faulty(live: Live, stage: Stage, fault: str, **more: float) -> contextlib.AbstractContextManager[None]:
    """Writes of the stage's kind meet the fault, reads do not."""
    return live.api_fault(fault, "/api", stage.method, **more)


def test_every_action_of_the_registry_is_in_the_table(live: Live) -> None:
    ns = live.namespace()
    shown = set()
    for name, make in STAGES.items():
        stage = make(ns, f"all-{name}"[:40])
        shown.add(ActionName(stage.action))
        stage.clean_up()
    ns.delete()
    assert shown == set(registry.REGISTRY)


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
@pytest.mark.django_db(transaction=True)
def test_killed_in_the_middle_it_is_still_done_once(
    live: Live, stage: Stage, event: HealingEvent, counting: Counting, mortals: Mortals
) -> None:
    """Real processes, SIGKILL: before each write, and after each."""
    plan = plan_of(counting, stage)
    for number in range(stage.writes):
        # Each process counts its own writes; what the one before it has written is recognised and not written again.
        for moment in ("before", "after"):
            more = {moment: int(moment == "after")}
            status = mortals.carry_out(event=event.pk, plan=plan.as_json(), kubeconfig=str(live.kubeconfig), **more)
            assert status == -9, f"killed {moment} write {number + 1}: it ended with {status}"
            assert ActionRun.objects.get().state == ActionState.APPLYING
    row = runner_of(counting).apply(event, plan, key="k")
    assert row.state == ActionState.APPLIED
    assert counting.written == 0
    settle(stage, stage.is_done)
    assert row.result == {"recognised": True}


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
    assert runner_of(counting).undo(row) == ""


@SETUP
def test_what_the_api_refuses_fails_and_is_said(
    live: Live, stage: Stage, event: HealingEvent, counting: Counting
) -> None:
    plan = plan_of(counting, stage)
    for code in REFUSALS:
        if code == 404 and any(
            operation["verb"] in ("delete", "forceDelete", "evict") for operation in plan.operations
        ):
            continue  # what shall go is gone: that is success
        with faulty(live, stage, "error", code=code), pytest.raises(ActionFailed):
            runner_of(counting).apply(event, plan, key=f"k{code}")
        assert counting.written == 0, code
        row = ActionRun.objects.get(key=f"k{code}")
        assert row.state == ActionState.FAILED, code
        assert row.error, code
        assert not stage.is_done(), code


@SETUP
def test_what_may_pass_is_tried_later_and_then_done_once(
    live: Live, stage: Stage, event: HealingEvent, counting: Counting
) -> None:
    plan, generation = plan_of(counting, stage), generation_of(live, stage)
    for fault, more, seconds in TROUBLES:
        with faulty(live, stage, fault, **more), pytest.raises(TryLater):
            runner_of(counting, seconds).apply(event, plan, key="k")
        assert ActionRun.objects.get().state in (ActionState.PLANNED, ActionState.APPLYING), (fault, more)
    row = runner_of(counting).apply(event, plan, key="k")
    assert row.state == ActionState.APPLIED
    settle(stage, stage.is_done)
    if generation and stage.target.kind == "Deployment":
        assert generation_of(live, stage) - generation <= 2  # ours, and the controller's annotation


TWO_WRITES = pytest.mark.parametrize("kind", ["isolate", "drain", "release"])


@TWO_WRITES
def test_what_fails_after_its_first_half_is_put_back_or_accounted_for(
    stage: Stage, event: HealingEvent, counting: Counting
) -> None:
    """The permission is taken away between two writes."""
    plan = plan_of(counting, stage)
    counting.fail_before = (1, Forbidden("not any more", status=403))
    with pytest.raises(ActionFailed):
        runner_of(counting).apply(event, plan, key="k")
    row = ActionRun.objects.get()
    assert row.state == ActionState.FAILED
    assert "Done before that: " in row.error
    if stage.is_as_before is not None and stage.action == "drain":
        settle(stage, stage.is_as_before)
    if stage.action == "isolate":
        assert "NetworkPolicy" in row.error
        assert not counting.list("NetworkPolicy", stage.target.namespace).items
        pod = counting.get("Pod", stage.target.namespace, stage.target.name)
        assert "deletionTimestamp" not in pod["metadata"]


@pytest.mark.parametrize("kind", ["isolate", "drain"])
def test_a_half_that_cannot_be_put_back_now_is_put_back_later(
    stage: Stage, event: HealingEvent, counting: Counting
) -> None:
    plan = plan_of(counting, stage)
    counting.fail_before = (1, Unavailable("no answer"))
    with pytest.raises(TryLater):
        runner_of(counting).apply(event, plan, key="k")
    row = ActionRun.objects.get()
    assert row.state == ActionState.APPLYING
    # A person stops it here: what is there of it goes, although nobody knows how far it came.
    assert runner_of(counting).undo(row)
    row.refresh_from_db()
    assert row.state == ActionState.UNDONE
    assert not counting.list("NetworkPolicy", stage.target.namespace or "default").items
    if stage.action == "drain" and stage.is_as_before is not None:
        settle(stage, stage.is_as_before)


#: Nodes are no application's, and what ends something of ours needs nobody's word.
NOBODYS = {"cordon", "uncordon", "drain", "release"}


@pytest.mark.parametrize("kind", [kind for kind in STAGES if kind not in NOBODYS])
def test_what_argo_cd_owns_is_proposed_with_where_to_change_it(
    live: Live, stage: Stage, event: HealingEvent, counting: Counting
) -> None:
    """Whatever is changed: a tool would put it back, so a person is asked first."""
    give_to_argo_cd(live, stage.target)
    plan = plan_of(counting, stage)
    situation = guardrails.situation_of(event, timezone.now())
    refusals = guardrails.check(plan, situation, counting, timeout_seconds=5)
    (found,) = [refusal for refusal in refusals if refusal.limit == "gitops"]
    assert found.kind == guardrails.Kind.ASK
    assert "Argo CD shop" in found.message
    assert "at its source" in found.lift


def give_to_argo_cd(live: Live, target: ObjectRef) -> None:
    """Mark it, or the workload that it belongs to, or what is remembered of it, as Argo CD does."""
    marks = {"argocd.argoproj.io/tracking-id": f"shop:{target.kind}:{target.namespace}/{target.name}"}
    known = KnownState.objects.filter(kind=target.kind, namespace=target.namespace, name=target.name)
    for row in known:
        row.state["metadata"]["annotations"] = marks
        row.save()
    if target.kind == "Pod":
        pod = live.cluster.get("Pod", target.namespace, target.name)
        owner = pod["metadata"]["ownerReferences"][0]
        if owner["kind"] == "ReplicaSet":
            replica_set = live.cluster.get("ReplicaSet", target.namespace, owner["name"])
            owner = replica_set["metadata"]["ownerReferences"][0]
        target = ObjectRef(owner["kind"], target.namespace, owner["name"])
    with contextlib.suppress(NotFound):
        body = {"metadata": {"annotations": marks}}
        live.cluster.patch(target.kind, target.namespace, target.name, body)


def generation_of(live: Live, stage: Stage) -> int:
    target = stage.target
    if target.kind != "Deployment":
        return 0
    return int(live.cluster.get(target.kind, target.namespace, target.name)["metadata"]["generation"])
