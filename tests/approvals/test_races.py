"""A group that is approved while somebody holds one of it, or another person does the same: real connections."""

from __future__ import annotations

from functools import partial

import pytest

from healing.approvals import bulk, holds
from healing.approvals.errors import AlreadyDecided, Held
from healing.lifecycle import Phase
from healing.models import Approval, ApprovalState, AuditEntry, HealingEvent
from tests.engine.test_races import at_once, new_event, no_broker, walk_to_approval
from tests.people import approver

__all__ = ["no_broker"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]
ROUNDS = 5


def group(number: int) -> list[Approval]:
    return [walk_to_approval(new_event(f"api-{number}-{part}")) for part in range(3)]


def phase_of(approval: Approval) -> str:
    return str(HealingEvent.objects.get(pk=approval.event_id).phase)


def test_a_group_that_is_approved_while_one_of_it_is_held() -> None:
    alice, bob = approver("alice"), approver("bob")
    for number in range(ROUNDS):
        asked = group(number)
        # the first and the last: the race is met early and late
        wanted = asked[0] if number % 2 else asked[2]
        results, held = at_once(
            partial(bulk.approve_all, [a.pk for a in asked], by=alice, group_digest=bulk.digest_of(asked)),
            partial(holds.hold, wanted.pk, by=bob, seconds=600, reason="I look at it"),
        )
        assert isinstance(results, list), results
        result = next(r for r in results if r.approval.pk == wanted.pk)
        wanted.refresh_from_db()
        if isinstance(held, Approval):  # held first: it waits, and the others do not
            assert (wanted.state, phase_of(wanted)) == (ApprovalState.OPEN, Phase.AWAITING_APPROVAL)
            assert "bob" in result.error
        else:
            assert isinstance(held, AlreadyDecided)
            assert "alice" in str(held)
            assert (wanted.state, phase_of(wanted), result.error) == (ApprovalState.APPROVED, Phase.HEALING, "")
            assert wanted.held_until is None
        for other in asked:
            if other.pk != wanted.pk:
                other.refresh_from_db()
                assert (other.state, phase_of(other)) == (ApprovalState.APPROVED, Phase.HEALING)
        about = [str(a.pk) for a in asked]
        written = AuditEntry.objects.filter(action__in=("approval.approved", "approval.held"))
        assert len(written) == (number + 1) * 3, f"one word each about {about}"


def test_of_two_people_who_approve_the_same_group_each_question_has_one_winner() -> None:
    people = [approver("alice"), approver("bob")]
    for number in range(ROUNDS):
        asked = group(number)
        ids, digest = [a.pk for a in asked], bulk.digest_of(asked)
        answers = at_once(*(partial(bulk.approve_all, ids, by=person, group_digest=digest) for person in people))
        for approval in asked:
            approval.refresh_from_db()
            assert (approval.state, phase_of(approval)) == (ApprovalState.APPROVED, Phase.HEALING)
        won = [r for answer in answers if isinstance(answer, list) for r in answer if not r.error]
        assert sorted(r.approval.pk for r in won) == sorted(ids)
        for answer in answers:
            assert isinstance(answer, list | bulk.GroupChanged), answer  # changed: the other was done before


def test_what_is_held_is_not_approved_by_a_group() -> None:
    alice, bob = approver("alice"), approver("bob")
    asked = group(0)
    holds.hold(asked[1].pk, by=bob, seconds=600, reason="I look at it")
    asked[1].refresh_from_db()
    results = bulk.approve_all([a.pk for a in asked], by=alice, group_digest=bulk.digest_of(asked))
    assert [bool(r.error) for r in results] == [False, True, False]
    assert str(Held(asked[1])) == results[1].error
