"""Autonomy is earned: the first day is for watching, and the record says when a step up is justified."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from healing.actions import guardrails
from healing.admin.policy_form import PolicyForm
from healing.admin.spec_fields import to_initial
from healing.approvals.agreement import advice, agreements, lower_bound
from healing.lifecycle import Outcome
from healing.models import Approval, ApprovalState, ClusterSeen, HealingEvent, Policy, Strategy
from healing.policies import first_day
from healing.policies.spec import PolicySpec
from healing.policy_changes import rows
from tests.people import person

pytestmark = pytest.mark.django_db

SPEC_OF_ITS_OWN = {"targetNamespaces": ["shop"], "autonomy": "heal"}


@pytest.fixture(autouse=True)
def on(settings: Any) -> None:
    settings.AUTONOMY_FIRST_DAY = True


def policy(**spec: Any) -> Policy:
    return Policy.objects.create(name="shop", spec={"targetNamespaces": ["shop"], **spec})


def event(
    row: Policy, name: str = "web", *, cause: str = "ImageNotFound", outcome: str = "", at: datetime | None = None
) -> HealingEvent:
    now = at or timezone.now()
    return HealingEvent.objects.create(
        fingerprint=f"{name}-{now.timestamp()}", target_kind="Deployment", target_namespace="shop", target_name=name,
        symptom="x", severity="low", source="watch", last_seen_at=now, detected_at=now, policy=row, cause=cause,
        policy_snapshot=row.spec, outcome=outcome, finished_at=now if outcome else None,
    )  # fmt: skip


def test_a_new_cluster_is_only_watched_for_a_day() -> None:
    row = policy()
    assert guardrails.current_policy(event(row))[0].autonomy == "observe"
    until = first_day.ends_at(row)
    assert until is not None
    assert timedelta(hours=23, minutes=59) < until - timezone.now() <= timedelta(hours=24)
    ClusterSeen.objects.update(first_seen_at=timezone.now() - timedelta(hours=25))
    assert guardrails.current_policy(event(row, "api"))[0].autonomy == "heal"
    assert first_day.ends_at(row) is None


def test_a_policy_that_says_so_itself_is_done_as_it_says() -> None:
    assert guardrails.current_policy(event(policy(autonomy="heal")))[0].autonomy == "heal"


@pytest.mark.parametrize(("written", "holds"), [({}, "observe"), ({"autonomy": "heal"}, "heal")])
def test_a_default_that_nobody_wrote_is_not_what_a_policy_says(written: dict[str, Any], holds: str) -> None:
    """As a policy is stored: with every field, whether its resource has it or not."""
    spec, problem = rows.parse({"targetNamespaces": ["shop"], **written})
    assert spec is not None, problem
    row = Policy.objects.create(name="shop", spec=spec)
    assert (row.parsed().autonomy, guardrails.current_policy(event(row))[0].autonomy) == ("heal", holds)
    again = row.parsed().as_json()  # what an edit of something else writes
    assert ("autonomy" in again) is ("autonomy" in written)


def test_a_form_that_is_saved_as_it_was_shown_has_chosen_nothing() -> None:
    values = to_initial(PolicySpec(target_namespaces=["shop"]))
    shown = {name: value for name, value in values.items() if value not in (None, False)}
    for chosen, said in (({}, None), ({"autonomy": "propose"}, "propose")):
        form = PolicyForm(data={"name": "new", "namespace": "", "enabled": "on", **shown, **chosen})
        form.is_valid()
        assert form.spec is not None, form.errors
        assert form.spec.as_json().get("autonomy") == said
        assert form.spec.autonomy == said or said is None


def test_an_installation_that_had_events_knows_its_cluster_longer() -> None:
    row = policy()
    event(row, "old", at=timezone.now() - timedelta(days=30))
    assert first_day.ends_at(row) is None


def test_the_rule_can_be_switched_off(settings: Any) -> None:
    settings.AUTONOMY_FIRST_DAY = False
    assert guardrails.current_policy(event(policy()))[0].autonomy == "heal"


def decided(
    row: Policy, state: str, *, healed: bool = True, risk: str = "medium", cause: str = "ImageNotFound"
) -> None:
    number = HealingEvent.objects.count()
    about = event(row, f"w{number}", cause=cause, outcome=Outcome.HEALED if healed else Outcome.ESCALATED)
    strategy = Strategy.objects.create(event=about, attempt=1, key="rollback", title="Roll back", origin="causes")
    now = timezone.now()
    Approval.objects.create(
        event=about, strategy=strategy, digest="d", risk=risk, state=state, created_at=now, decided_at=now,
        expires_at=now,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("successes", "trials", "bound"), [(0, 0, 0.0), (10, 10, 0.7225), (95, 100, 0.8882), (0, 5, 0.0)]
)
def test_the_lower_bound_is_wilsons(successes: int, trials: int, bound: float) -> None:
    assert lower_bound(successes, trials) == pytest.approx(bound, abs=1e-4)


def test_a_step_up_is_justified_by_enough_agreement_only() -> None:
    row = policy(autonomy="propose")
    assert "Nobody has decided" in advice(row, agreements(row))
    for _ in range(10):
        decided(row, ApprovalState.APPROVED)
    assert "too little to say" in advice(row, agreements(row))
    for _ in range(15):
        decided(row, ApprovalState.APPROVED)
    record = agreements(row)[0]
    assert (record.agreed, record.cases, record.is_justified) == (25, 25, True)
    assert "set autonomy to heal" in advice(row, [record])
    for _ in range(6):
        decided(row, ApprovalState.REJECTED)
    record = agreements(row)[0]
    assert not record.is_justified
    assert "does not justify a step up" in advice(row, [record])
    decided(row, ApprovalState.EXPIRED)
    assert agreements(row)[0].cases == 31, "what nobody answered says nothing"


def test_agreement_with_what_did_not_heal_is_no_merit() -> None:
    row = policy(autonomy="propose")
    for _ in range(30):
        decided(row, ApprovalState.APPROVED, healed=False)
    assert "too few of them healed" in advice(row, agreements(row))


def page_of(row: Policy, client: Client) -> str:
    client.force_login(person("vera", "viewer"))
    return " ".join(client.get(f"/policies/{row.pk}/").content.decode().split())


def test_the_policys_page_says_that_it_is_the_first_day(client: Client) -> None:
    said = "Its cluster is new to ReCiSt"
    assert said in page_of(policy(), client)
    assert said not in page_of(Policy.objects.create(name="own", spec=SPEC_OF_ITS_OWN), client)
    ClusterSeen.objects.update(first_seen_at=timezone.now() - timedelta(hours=25))
    assert said not in page_of(Policy.objects.get(name="shop"), client)


def test_the_policys_page_says_how_often_people_agreed_and_what_that_justifies(client: Client) -> None:
    row = policy(autonomy="propose")
    for _ in range(25):
        decided(row, ApprovalState.APPROVED)
    decided(row, ApprovalState.REJECTED, cause="NodeDiskPressure")
    page = page_of(row, client)
    assert "set autonomy to heal" in page
    assert advice(row, agreements(row)) in unescape(page)
    assert re.search(r"Image not found.{0,400}25 of 25", page), page
    assert re.search(r"Node disk pressure.{0,400}0 of 1", page)
