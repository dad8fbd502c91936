"""Approve, reject, override through the page's forms: permission, digest, and who was first."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from healing.lifecycle import Outcome, Phase
from healing.models import Approval, ApprovalState, HealingEvent
from tests.dashboard import story

Told = dict[str, HealingEvent]


@pytest.fixture
def approval(told: Told) -> Approval:
    return told["waiting"].approvals.get()


def address(approval: Approval, verb: str) -> str:
    return f"/events/{approval.event.name}/approvals/{approval.pk}/{verb}/"


def signed_in(user: User, **options: bool) -> Client:
    client = Client(**options)
    client.force_login(user)
    return client


def test_approval_lets_the_plan_run(browser: Client, approval: Approval) -> None:
    response = browser.post(
        address(approval, "approve"), {"digest": approval.digest, "comment": " go  on "}, follow=True
    )
    assert response.redirect_chain == [(f"/events/{approval.event.name}/", 302)]
    approval.refresh_from_db()
    assert (approval.state, approval.decided_by_name, approval.comment) == (ApprovalState.APPROVED, "alice", "go on")
    assert approval.event.phase == Phase.HEALING
    assert "Approved by alice" in response.content.decode()


def test_the_second_decision_is_told_who_was_first(browser: Client, approval: Approval) -> None:
    browser.post(address(approval, "approve"), {"digest": approval.digest})
    bob = signed_in(story.approver("bob"))
    for verb, form in (
        ("approve", {"digest": approval.digest}),
        ("reject", {"digest": approval.digest, "comment": "too late"}),
    ):
        response = bob.post(address(approval, verb), form)
        page = response.content.decode()
        assert response.status_code == 409
        assert "already approved by alice at" in page
        assert 'role="alert"' in page
    assert "too late" in page, "what was typed is not lost"


def test_a_viewer_may_watch_and_not_decide(vera: User, approval: Approval) -> None:
    client = signed_in(vera)
    page = client.get(f"/events/{approval.event.name}/").content.decode()
    assert 'id="approve"' not in page
    assert "You may not decide: your role" in page
    alternative = approval.event.strategies.get(key="restart")
    forms = {
        "approve": {"digest": approval.digest},
        "reject": {"digest": approval.digest, "comment": "no"},
        "override": {"choice": f"{alternative.pk}:{alternative.digest}"},
    }
    for verb, form in forms.items():
        assert client.post(address(approval, verb), form).status_code == 403, verb
    approval.refresh_from_db()
    assert approval.state == ApprovalState.OPEN


def test_a_decision_needs_a_login_and_the_token_of_our_form(alice: User, approval: Approval) -> None:
    form = {"digest": approval.digest}
    assert Client().post(address(approval, "approve"), form)["Location"].startswith("/login/")
    assert signed_in(alice, enforce_csrf_checks=True).post(address(approval, "approve"), form).status_code == 403
    approval.refresh_from_db()
    assert approval.state == ApprovalState.OPEN


def test_only_the_plan_on_the_page_can_be_approved(browser: Client, approval: Approval) -> None:
    for digest in ("", "0" * 64):
        response = browser.post(address(approval, "approve"), {"digest": digest})
        assert response.status_code == 409
        assert "The plan has changed" in response.content.decode()


def test_rejecting_needs_a_reason(browser: Client, approval: Approval) -> None:
    response = browser.post(address(approval, "reject"), {"digest": approval.digest, "comment": "  "})
    assert response.status_code == 422
    assert "Give a reason" in response.content.decode()
    browser.post(address(approval, "reject"), {"digest": approval.digest, "comment": "we roll forward"})
    event = HealingEvent.objects.get(pk=approval.event_id)
    assert (event.phase, event.outcome) == (Phase.LEARNING, Outcome.DECLINED)


def test_override_runs_the_other_strategy(browser: Client, approval: Approval) -> None:
    chosen = approval.event.strategies.get(key="restart")
    response = browser.post(address(approval, "override"), {"choice": f"{chosen.pk}:{chosen.digest}"})
    assert response.status_code == 302
    chosen.refresh_from_db()
    assert chosen.state == "chosen"


@pytest.mark.parametrize("choice", ["", "x", "-1:abc", "9" * 40, "1:2:3", "٣:abc"])
def test_override_refuses_what_is_no_choice(browser: Client, approval: Approval, choice: str) -> None:
    assert browser.post(address(approval, "override"), {"choice": choice}).status_code in (409, 422)


def test_override_refuses_strategies_that_guardrails_refused(browser: Client, approval: Approval) -> None:
    refused = approval.event.strategies.get(key="scale")
    response = browser.post(address(approval, "override"), {"choice": f"{refused.pk}:{refused.digest}"})
    assert response.status_code == 422
    page = browser.get(f"/events/{approval.event.name}/").content.decode()
    assert f'value="{refused.pk}:' not in page, "nor is it offered"


def test_an_approval_of_another_event_is_not_found(browser: Client, told: Told, approval: Approval) -> None:
    other = told["waiting-high"].name
    response = browser.post(f"/events/{other}/approvals/{approval.pk}/approve/", {"digest": approval.digest})
    assert response.status_code == 404


def test_an_expired_approval_runs_nothing(browser: Client, approval: Approval) -> None:
    approval.expires_at = approval.created_at
    approval.save()
    response = browser.post(address(approval, "approve"), {"digest": approval.digest})
    assert response.status_code == 422
    assert "expired" in response.content.decode()
