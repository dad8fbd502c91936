"""Who decides what: roles and names, two different people, nobody for themselves; hold, edit, take over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from healing import engine
from healing.approvals import holds, service, takeover
from healing.approvals.errors import AlreadyTaken, AlreadyVoted, DecisionError, EditRefused, Held, NotAllowed
from healing.lifecycle import Outcome, Phase, Status
from healing.models import Approval, ApprovalState, AuditEntry, HealingEvent, Strategy, StrategyState, TakeoverEnd
from tests.approvals.conftest import Ask, event_of, set_policy
from tests.people import approver, person


def agree(approval: Approval, by: User) -> Approval:
    return service.approve(approval.pk, by=by, digest=approval.digest)


# --- roles and names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "namespace", "may"),
    [
        ("", "", False),
        ("viewer", "", False),
        ("operator", "", False),
        ("approver", "", True),
        ("admin", "", True),
        ("approver", "shop", True),
        ("approver", "media", False),
    ],
)
def test_the_service_itself_asks_for_the_role_at_the_place(ask: Ask, role: str, namespace: str, *, may: bool) -> None:
    approval, who = ask(), person("sam", role, namespace=namespace)
    other = approval.event.strategies.get(key="restart")
    if may:
        assert agree(approval, who).state == ApprovalState.APPROVED
        return
    for decide in (
        lambda: agree(approval, who),
        lambda: service.reject(approval.pk, by=who, comment="no"),
        lambda: service.override(approval.pk, by=who, strategy_id=other.pk, digest=other.digest),
        lambda: service.edit(approval.pk, by=who, parameters=[{"toRevision": 3}], digest=approval.digest),
    ):
        with pytest.raises(NotAllowed, match="Ask an admin"):
            decide()
    approval.refresh_from_db()
    assert approval.state == ApprovalState.OPEN
    assert not AuditEntry.objects.filter(action__startswith="approval.").exists()


def test_a_policy_names_who_decides(ask: Ask, alice: User, bob: User) -> None:
    approval = ask(approvers=["bob", "group:sre"])
    with pytest.raises(NotAllowed, match="Ask bob or somebody of the group sre"):
        agree(approval, alice)
    alice.groups.add(Group.objects.create(name="sre"))
    assert agree(approval, alice).state == ApprovalState.APPROVED
    second = ask("carts", approvers=["vera"])
    with pytest.raises(NotAllowed):  # being named does not replace the role
        agree(second, person("vera", "viewer"))


# --- two different people ------------------------------------------------------------------------------------------


def test_high_risk_takes_two_different_people(ask: Ask, alice: User, bob: User) -> None:
    approval = ask(risk="high")
    assert agree(approval, alice).state == ApprovalState.OPEN
    assert event_of(approval).phase == Phase.AWAITING_APPROVAL
    assert "1 of 2" in event_of(approval).timeline.last().message  # type: ignore[union-attr]
    with pytest.raises(AlreadyVoted, match="Waiting for a second person"):
        agree(approval, alice)
    assert agree(approval, bob).state == ApprovalState.APPROVED
    assert event_of(approval).phase == Phase.HEALING
    assert [e.actor for e in AuditEntry.objects.filter(action__startswith="approval.").order_by("seq")] == [
        "alice",
        "bob",
    ]


def test_a_vote_of_somebody_who_lost_the_role_does_not_count(ask: Ask, alice: User, bob: User) -> None:
    approval = ask(risk="high")
    agree(approval, alice)
    alice.groups.clear()
    assert agree(approval, bob).state == ApprovalState.OPEN
    assert agree(approval, approver("carol")).state == ApprovalState.APPROVED


def test_a_policy_that_asks_for_more_by_now_is_heeded(ask: Ask, alice: User, bob: User) -> None:
    approval = ask()
    set_policy(requiredApprovals={"medium": 2})
    assert agree(approval, alice).state == ApprovalState.OPEN
    assert agree(approval, bob).state == ApprovalState.APPROVED


def test_one_no_is_enough(ask: Ask, alice: User, bob: User) -> None:
    approval = ask(risk="high")
    agree(approval, alice)
    service.reject(approval.pk, by=bob, comment="not today")
    assert event_of(approval).outcome == Outcome.DECLINED


def test_expired_with_one_of_two_runs_nothing_and_is_not_rejected(ask: Ask, alice: User) -> None:
    approval = ask(risk="high")
    agree(approval, alice)
    assert service.expire_due(approval.expires_at + timedelta(seconds=1)) == 1
    event = event_of(approval)
    assert (event.outcome, event.phase) == (Outcome.ESCALATED, Phase.LEARNING)
    assert "1 of 2 had approved" in event.outcome_reason
    assert AuditEntry.objects.get(action="approval.expired").actor_kind == "system"


# --- nobody for themselves -----------------------------------------------------------------------------------------


def test_whoever_chose_another_strategy_does_not_count(ask: Ask, alice: User, bob: User) -> None:
    approval = ask(mode="always")
    other = approval.event.strategies.get(key="restart")
    question = service.override(approval.pk, by=alice, strategy_id=other.pk, digest=other.digest)
    assert (question.state, question.strategy_id) == (ApprovalState.OPEN, other.pk)
    assert question.pk != approval.pk
    with pytest.raises(NotAllowed, match="yourself"):
        agree(question, alice)
    assert agree(question, bob).state == ApprovalState.APPROVED


def test_a_choice_that_the_policy_would_run_unasked_runs_at_once(ask: Ask, alice: User) -> None:
    approval = ask()
    other = approval.event.strategies.get(key="restart")  # low risk
    decided = service.override(approval.pk, by=alice, strategy_id=other.pk, digest=other.digest)
    assert decided.state == ApprovalState.OVERRIDDEN
    assert event_of(approval).phase == Phase.HEALING


def test_a_policy_may_let_people_approve_their_own(ask: Ask, alice: User) -> None:
    approval = ask(mode="always", selfApproval=True)
    other = approval.event.strategies.get(key="restart")
    service.override(approval.pk, by=alice, strategy_id=other.pk, digest=other.digest)
    assert event_of(approval).phase == Phase.HEALING


def test_who_reported_the_fault_does_not_approve_what_is_done(ask: Ask, alice: User, bob: User) -> None:
    approval = ask()
    event = event_of(approval)
    event.signals = [{**event.signals[0], "source": "person", "data": {"reportedBy": "alice"}}]
    event.save()
    with pytest.raises(NotAllowed, match="reported this fault yourself"):
        agree(approval, alice)
    assert agree(approval, bob).state == ApprovalState.APPROVED


# --- edited parameters ---------------------------------------------------------------------------------------------


def test_an_edit_within_the_schema_is_planned_anew(ask: Ask, alice: User) -> None:
    approval = ask()
    service.edit(
        approval.pk, by=alice, parameters=[{"toRevision": 11}], digest=approval.digest, comment="12 is bad too"
    )
    event, wish = event_of(approval), Strategy.objects.get(origin="person")
    assert event.phase == Phase.PLANNING
    assert (wish.author, wish.digest, wish.steps[0]["parameters"]) == (alice, "", {"toRevision": 11})
    entry = AuditEntry.objects.get(action="approval.edited")
    assert (entry.before, entry.after) == ({"parameters": [{"toRevision": 12}]}, {"parameters": [{"toRevision": 11}]})


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ([{"toRevision": -1}], "greater than or equal to 0"),
        ([{"toRevision": "soon"}], "toRevision"),
        ([{"command": "rm -rf /"}], "command"),
    ],
)
def test_an_edit_outside_the_schema_is_refused_in_the_fields_words(
    ask: Ask, alice: User, parameters: list[dict[str, object]], says: str
) -> None:
    approval = ask()
    with pytest.raises(EditRefused, match=says):
        service.edit(approval.pk, by=alice, parameters=parameters, digest=approval.digest)
    approval.refresh_from_db()
    assert approval.state == ApprovalState.OPEN


def test_an_edit_that_changes_nothing_or_another_plan_is_refused(ask: Ask, alice: User) -> None:
    approval = ask()
    with pytest.raises(DecisionError, match="Nothing was changed"):
        service.edit(approval.pk, by=alice, parameters=[{"toRevision": 12}], digest=approval.digest)
    with pytest.raises(service.PlanChanged):
        service.edit(approval.pk, by=alice, parameters=[{"toRevision": 11}], digest="0" * 64)


# --- hold ----------------------------------------------------------------------------------------------------------


def test_a_hold_stops_the_clock_and_everybody(ask: Ask, alice: User, bob: User, olga: User) -> None:
    approval = ask()
    until = approval.expires_at
    held = holds.hold(approval.pk, by=olga, seconds=600, reason="looking at the logs")
    assert held.expires_at == until + timedelta(seconds=600)
    assert service.expire_due(until + timedelta(seconds=1)) == 0
    with pytest.raises(Held, match=r"olga holds this until .*looking at the logs"):
        agree(approval, alice)
    with pytest.raises(Held):
        holds.hold(approval.pk, by=alice, seconds=600, reason="me too")
    released = holds.end_hold(approval.pk, by=bob)
    assert abs(released.expires_at - until) < timedelta(seconds=5)
    assert agree(approval, alice).state == ApprovalState.APPROVED


def test_a_held_one_can_be_rejected(ask: Ask, alice: User, olga: User) -> None:
    approval = ask()
    holds.hold(approval.pk, by=olga, seconds=600, reason="wait")
    service.reject(approval.pk, by=alice, comment="no")
    assert event_of(approval).outcome == Outcome.DECLINED


def test_holds_are_bounded_and_need_a_reason_and_a_role(ask: Ask, olga: User) -> None:
    approval = ask()
    for seconds, reason in ((600, " "), (59, "short"), (7201, "long")):
        with pytest.raises(DecisionError):
            holds.hold(approval.pk, by=olga, seconds=seconds, reason=reason)
    with pytest.raises(NotAllowed):
        holds.hold(approval.pk, by=person("vera", "viewer"), seconds=600, reason="wait")
    holds.hold(approval.pk, by=olga, seconds=7200, reason="all of it")
    Approval.objects.filter(pk=approval.pk).update(held_until=timezone.now() - timedelta(seconds=1))
    with pytest.raises(DecisionError, match="two hours in all"):
        holds.hold(approval.pk, by=olga, seconds=600, reason="more")


# --- by hand -------------------------------------------------------------------------------------------------------


def test_taking_over_stops_automation_and_says_who(ask: Ask, alice: User, olga: User) -> None:
    approval = ask()
    takeover.take_over(approval.event_id, by=olga, reason="I know this one")
    approval.refresh_from_db()
    assert (approval.state, approval.decided_by_name) == (ApprovalState.TAKEN, "olga")
    event = event_of(approval)
    assert (event.phase, event.status) == (Phase.AWAITING_APPROVAL, Status.WAITING)
    with pytest.raises(service.AlreadyDecided, match="taken over by olga"):
        agree(approval, alice)
    with pytest.raises(AlreadyTaken, match="olga took this over"):
        takeover.take_over(event.pk, by=alice)


def test_a_worker_that_is_at_it_loses_its_run(ask: Ask, alice: User, olga: User) -> None:
    approval = ask()
    agree(approval, alice)
    event = event_of(approval)
    claimed = engine.claim(event.pk, event.run_id)
    assert claimed is not None
    takeover.take_over(event.pk, by=olga)
    from healing.phase import LostRun, PhaseResult

    with pytest.raises(LostRun):
        engine.commit(event.pk, claimed.run_id, PhaseResult(Phase.VERIFYING))
    assert event_of(approval).phase == Phase.AWAITING_APPROVAL
    assert not event.strategies.filter(state=StrategyState.CHOSEN).exists()


def test_given_back_it_is_planned_anew(ask: Ask, alice: User, olga: User) -> None:
    approval = ask()
    takeover.take_over(approval.event_id, by=olga)
    with pytest.raises(NotAllowed, match="olga has it in hand"):
        takeover.give_back(approval.event_id, by=person("otto", "operator"))
    ended = takeover.give_back(approval.event_id, by=alice, reason="off to sleep")
    assert ended.end == TakeoverEnd.RELEASED
    event = event_of(approval)
    assert (event.phase, event.status) == (Phase.PLANNING, Status.QUEUED)


def test_a_fix_by_hand_is_verified(ask: Ask, olga: User) -> None:
    approval = ask()
    takeover.take_over(approval.event_id, by=olga)
    with pytest.raises(DecisionError, match="Say what you did"):
        takeover.fixed(approval.event_id, by=olga, what=" ")
    takeover.fixed(approval.event_id, by=olga, what="scaled the database up")
    event = event_of(approval)
    assert (event.phase, event.attempt) == (Phase.VERIFYING, 2)
    fix = event.strategies.get(attempt=2)
    assert (fix.state, fix.origin, fix.title) == (StrategyState.APPLIED, "person", "Fixed by hand by olga")
    with pytest.raises(DecisionError, match="is being verified"):
        takeover.give_back(event.pk, by=olga)


def test_what_is_over_or_forgotten(ask: Ask, alice: User, olga: User) -> None:
    approval = ask()
    taken = takeover.take_over(approval.event_id, by=olga)
    assert takeover.escalate_forgotten(taken.at + timedelta(hours=23)) == 0
    assert takeover.escalate_forgotten(taken.at + timedelta(hours=25)) == 1
    assert event_of(approval).outcome == Outcome.ESCALATED
    with pytest.raises(DecisionError, match="It is over"):
        takeover.take_over(approval.event_id, by=alice)
    with pytest.raises(NotAllowed):
        takeover.take_over(HealingEvent.objects.get(pk=approval.event_id).pk, by=person("vera", "viewer"))
