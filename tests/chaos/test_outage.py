"""The cluster does not answer for a while: an event waits for it, and what was never carried out leaves nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from healing import dispatch, engine
from healing.containment.release import settle
from healing.deadline import Deadline
from healing.lifecycle import MAX_TRIES, OUTAGE_PATIENCE_SECONDS, Outcome, Phase, Status
from healing.models import ActionRun, ActionState, HealingEvent, PhaseRun
from healing.phase import PhaseContext, PhaseHandler, PhaseResult
from healing.ports import Ports
from healing.ports.errors import Unavailable
from tests import stored
from tests.engine.story import POLICY, fault

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]
PORTS = Ports(cluster_name="default", cluster=None)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "send_run", lambda *_, **__: None)
    monkeypatch.setattr(dispatch, "send_mirror", lambda *_: None)


def opened() -> HealingEvent:
    event, _ = engine.open_event(fault(), None)
    HealingEvent.objects.filter(pk=event.pk).update(policy_snapshot=POLICY, phase=Phase.DIAGNOSING)
    return event


def run(event: HealingEvent, handler: PhaseHandler) -> None:
    HealingEvent.objects.filter(pk=event.pk).update(next_attempt_at=None)
    event.refresh_from_db()
    engine.run(event.pk, event.run_id, ports=PORTS, handlers=dict.fromkeys(Phase, handler))
    event.refresh_from_db()


def away(context: PhaseContext) -> PhaseResult:
    raise Unavailable("GET /api/v1/pods: the cluster cannot be reached")


def diagnosed(context: PhaseContext) -> PhaseResult:
    return PhaseResult(Phase.PLANNING)


def broken(context: PhaseContext) -> PhaseResult:
    raise ValueError("our own mistake")


def test_a_cluster_that_is_away_is_waited_for_however_many_tries_that_takes() -> None:
    event = opened()
    for _ in range(3 * MAX_TRIES):
        run(event, away)
        assert (event.phase, event.status) == (Phase.DIAGNOSING, Status.QUEUED)
    run(event, diagnosed)
    assert (event.phase, event.tries) == (Phase.PLANNING, 0)


def test_patience_has_an_end() -> None:
    event = opened()
    for _ in range(MAX_TRIES):
        run(event, away)
    long_ago = timezone.now() - timedelta(seconds=OUTAGE_PATIENCE_SECONDS + 1)
    PhaseRun.objects.filter(event=event, phase=Phase.DIAGNOSING).update(started_at=long_ago)
    run(event, away)
    assert (event.phase, event.outcome) == (Phase.LEARNING, Outcome.ESCALATED)


def test_our_own_mistakes_get_no_more_tries_by_it() -> None:
    event = opened()
    for _ in range(2 * MAX_TRIES):
        run(event, away)
    run(event, broken)
    assert (event.phase, event.outcome) == (Phase.LEARNING, Outcome.ESCALATED)


@pytest.mark.parametrize(("state", "is_over"), [(ActionState.PLANNED, True), (ActionState.APPLYING, False)])
def test_an_isolation_that_was_never_carried_out_ends_with_its_event(state: ActionState, *, is_over: bool) -> None:
    """One that may have reached the cluster stays on record: its end is for `release_due` to see to."""
    event = opened()
    HealingEvent.objects.filter(pk=event.pk).update(outcome=Outcome.ESCALATED)
    event.refresh_from_db()
    target = {"kind": "Pod", "namespace": "shop", "name": "api-1", "uid": "uid-1"}
    plan = {
        "action": "isolate",
        "target": target,
        "parameters": {},
        "summary": "Isolate",
        "risk": "low",
        "operations": [],
        "changes": [],
        "blast_radius": {},
        "generation": 0,
        "pre_state": {},
        "risk_reason": "",
        "reversible": True,
        "undo_summary": "",
    }
    ActionRun.objects.create(
        event=event,
        key=f"{event.pk}/contain/isolate/uid-1",
        action="isolate",
        target=target,
        state=state,
        pre_state={"plan": plan},
    )
    isolation = stored.isolation(event, "api-1", pod_uid="uid-1")
    settle(
        PhaseContext(
            event=event,
            policy=event.policy_spec,
            ports=PORTS,
            deadline=Deadline.after(5),
            is_retry=False,
            _report=lambda _: None,
        )
    )
    isolation.refresh_from_db()
    assert (isolation.released_at is not None) == is_over
