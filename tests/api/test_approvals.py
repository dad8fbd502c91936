"""Deciding over HTTP: the same rules as on the page."""

from __future__ import annotations

import pytest
from django.test import Client

from healing.models import Approval, ApprovalState, HealingEvent
from tests.api.conftest import PASSWORD, Caller
from tests.dashboard import story

Told = dict[str, HealingEvent]


@pytest.fixture
def approval(told: Told) -> Approval:
    return told["waiting"].approvals.get()


def test_open_approvals_are_listed(as_vera: Caller, told: Told, approval: Approval) -> None:
    _, page = as_vera("get", "/approvals")
    assert {item["event"] for item in page["items"]} == {told["waiting"].name, told["waiting-high"].name}
    _, page = as_vera("get", "/approvals?state=any&limit=1")
    assert page["next"]
    assert as_vera("get", "/approvals?state=maybe")[0] == 422
    status, one = as_vera("get", f"/approvals/{approval.pk}")
    assert (status, one["digest"]) == (200, approval.digest)


def test_approving_runs_the_plan_and_the_second_is_told_who_was_first(as_alice: Caller, approval: Approval) -> None:
    status, decided = as_alice(
        "post", f"/approvals/{approval.pk}/approve", {"digest": approval.digest, "comment": "ok"}
    )
    assert status == 200
    assert (decided["state"], decided["decidedBy"], decided["comment"]) == ("approved", "alice", "ok")
    bob = Caller(story.approver("bob", PASSWORD))
    for verb, body in (("approve", {"digest": approval.digest}), ("reject", {"comment": "no"})):
        status, problem = bob("post", f"/approvals/{approval.pk}/{verb}", body)
        assert (status, problem["type"], problem["decidedBy"]) == (409, "already-decided", "alice")
        assert problem["decidedAt"] == decided["decidedAt"]


def test_the_digest_binds_the_decision_to_the_plan(as_alice: Caller, approval: Approval) -> None:
    status, problem = as_alice("post", f"/approvals/{approval.pk}/approve", {"digest": "another"})
    assert (status, problem["type"]) == (409, "plan-changed")
    approval.refresh_from_db()
    assert approval.state == ApprovalState.OPEN


def test_reject_needs_a_reason(as_alice: Caller, approval: Approval) -> None:
    for body in ({}, {"comment": ""}, {"comment": "   "}):
        status, problem = as_alice("post", f"/approvals/{approval.pk}/reject", body)
        assert status == 422, problem
    assert as_alice("post", f"/approvals/{approval.pk}/reject", {"comment": "not today"})[0] == 200
    assert HealingEvent.objects.get(pk=approval.event_id).outcome == "declined"


def test_override_by_strategy_and_digest(as_alice: Caller, approval: Approval) -> None:
    other = approval.event.strategies.get(key="restart")
    wrong = {"strategyId": other.pk, "digest": approval.digest}
    assert as_alice("post", f"/approvals/{approval.pk}/override", wrong)[0] == 409
    same = {"strategyId": approval.strategy_id, "digest": approval.digest}
    assert as_alice("post", f"/approvals/{approval.pk}/override", same)[0] == 422
    body = {"strategyId": other.pk, "digest": other.digest}
    status, decided = as_alice("post", f"/approvals/{approval.pk}/override", body)
    assert (status, decided["state"]) == (200, "overridden")


def test_only_those_who_may_decide(as_vera: Caller, as_nobody: Caller, approval: Approval) -> None:
    other = approval.event.strategies.get(key="restart")
    bodies = {
        "approve": {"digest": approval.digest},
        "reject": {"comment": "no"},
        "override": {"strategyId": other.pk, "digest": other.digest},
    }
    for verb, body in bodies.items():
        assert as_vera("post", f"/approvals/{approval.pk}/{verb}", body)[0] == 403
        assert as_nobody("post", f"/approvals/{approval.pk}/{verb}", body)[0] == 401
    approval.refresh_from_db()
    assert approval.state == ApprovalState.OPEN


@pytest.mark.parametrize("pk", [0, -1, 10**6, 10**30])
def test_unknown_approvals(as_alice: Caller, pk: int) -> None:
    assert as_alice("get", f"/approvals/{pk}")[0] == 404
    assert as_alice("post", f"/approvals/{pk}/approve", {"digest": "x"})[0] == 404


def test_a_session_needs_the_csrf_token_and_a_script_does_not(approval: Approval) -> None:
    bob = story.approver("bob", PASSWORD)
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(bob)
    path = f"/api/v1/approvals/{approval.pk}/approve"
    body = {"digest": approval.digest}
    assert browser.post(path, body, content_type="application/json").status_code == 403
    browser.get("/")
    token = browser.cookies["csrftoken"].value
    done = browser.post(path, body, content_type="application/json", headers={"X-CSRFToken": token})
    assert done.status_code == 200
