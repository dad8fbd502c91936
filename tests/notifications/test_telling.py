"""Who is told of what, and in which form."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache

from healing.approvals import service
from healing.lifecycle import Outcome, Phase
from healing.models import Delivery, DeliveryState, Halt, HealingEvent, Notified, Policy
from healing.notifications import Message, announce
from healing.notifications.collect import collect
from tests.dashboard import cases, story
from tests.notifications.conftest import SLACK_PATH, ago, round_trip, until_quiet
from tests.notifications.receiver import Receiver


def waiting(seconds: float = 80) -> HealingEvent:
    return story.play(cases.bad_rollout(ago(seconds=seconds)), ago(seconds=seconds), Phase.AWAITING_APPROVAL)


@pytest.mark.both_databases
def test_a_question_reaches_slack_with_a_link_and_once(slack: None, receiver: Receiver) -> None:
    event = waiting()
    until_quiet()
    until_quiet()
    (got,) = receiver.got
    assert got.path == SLACK_PATH
    blocks = got.body["blocks"]
    assert blocks[0]["text"]["text"].startswith("Your decision is needed: ")
    (button,) = blocks[-1]["elements"]
    assert button["url"] == f"https://recist.example.com/events/{event.name}/"
    fields = "\n".join(field["text"] for block in blocks for field in block.get("fields", ()))
    assert "*Risk*" in fields
    assert f"{event.target_namespace}/{event.target_name}" in fields
    row = Delivery.objects.get()
    assert (row.state, row.kind, row.attempts, row.error) == ("delivered", "approvalNeeded", 1, "")
    assert "hunter2" not in str(row.__dict__)


def test_text_from_outside_cannot_call_a_channel_or_make_links(slack: None, receiver: Receiver) -> None:
    event = waiting()
    HealingEvent.objects.filter(pk=event.pk).update(message="<!channel> look <https://evil.example|here> & <b>")
    until_quiet()
    (got,) = receiver.got
    assert b"<!channel>" not in got.raw
    assert b"&lt;!channel&gt; look &lt;https://evil.example" in got.raw


def test_webhooks_are_signed_with_their_time(webhook: None, receiver: Receiver) -> None:
    event = waiting()
    until_quiet()
    (got,) = receiver.got
    stamp = got.headers["X-ReCiSt-Timestamp"]
    expected = hmac.new(b"a-key-of-webhooks", stamp.encode() + b"." + got.raw, hashlib.sha256).hexdigest()
    assert got.headers["X-ReCiSt-Signature"] == f"v1={expected}"
    assert abs(int(stamp) - datetime.now(UTC).timestamp()) < 30
    assert got.headers["X-ReCiSt-Delivery"] == got.body["id"] == got.headers["Idempotency-Key"]
    assert got.body["kind"] == "approvalNeeded"
    assert got.body["event"] == event.name
    assert got.body["link"].endswith(f"/events/{event.name}/")


def test_an_incident_is_opened_taken_up_and_closed_under_one_key(pagerduty: None, receiver: Receiver) -> None:
    event, alice = waiting(), story.approver()
    until_quiet()
    approval = event.approvals.get()
    service.approve(approval.pk, by=alice, digest=approval.digest)
    until_quiet()
    script = story.Script(cases.bad_rollout(ago(seconds=1)))
    for _ in range(3):
        event = story.step(event, script)
    assert event.outcome == Outcome.HEALED
    until_quiet()
    assert [got.body["event_action"] for got in receiver.got] == ["trigger", "acknowledge", "resolve"]
    assert {got.body["dedup_key"] for got in receiver.got} == {f"recist/default/{event.name}"}
    assert {got.body["routing_key"] for got in receiver.got} == {"R0UT1NGKEY0000"}
    payload = receiver.got[0].body["payload"]
    assert payload["severity"] == "critical"
    assert len(payload["summary"]) <= 1024
    assert receiver.got[0].body["links"][0]["href"].startswith("https://recist.example.com/events/")


def test_what_nobody_was_paged_for_is_not_resolved(pagerduty: None, receiver: Receiver) -> None:
    story.play(cases.memory_limit(ago(minutes=3)), ago(minutes=3))
    until_quiet()
    assert receiver.got == []


@pytest.mark.parametrize(
    ("when", "outcome", "kinds"),
    [
        (["escalated"], Outcome.ESCALATED, ["escalated"]),
        (["escalated"], Outcome.HEALED, []),
        (["healed"], Outcome.HEALED, ["healed"]),
        (["detected", "healed"], Outcome.HEALED, ["detected", "healed"]),
    ],
)
def test_a_channel_hears_of_what_it_asked_for(
    webhook: None, receiver: Receiver, settings: Any, when: list[str], outcome: Outcome, kinds: list[str]
) -> None:
    settings.NOTIFY_WHEN = when
    story.play(cases.memory_limit(ago(minutes=3)), ago(minutes=3), outcome=outcome)
    until_quiet()
    assert [got.body["kind"] for got in receiver.got] == kinds


def test_a_rejected_question_is_told_as_declined(webhook: None, receiver: Receiver, settings: Any) -> None:
    settings.NOTIFY_WHEN = ["declined"]
    start, alice = ago(minutes=5), story.approver()
    story.play(cases.bad_rollout(start), start, by=alice, outcome=Outcome.DECLINED)
    until_quiet()
    (got,) = receiver.got
    assert "Rejected by alice" in got.body["text"]


def test_a_policy_has_channels_of_its_own(receiver: Receiver, settings: Any) -> None:
    settings.NOTIFICATION_SECRETS = {"NOTIFY_WEBHOOK_KEY": "k" * 20}
    policy = story.policy()
    policy.spec = {
        "targetNamespaces": ["shop"],
        "notifications": {"channels": [{"type": "email", "to": ["sre@example.com"], "when": ["escalated"]}]},
    }
    policy.save()
    start = ago(minutes=3)
    event = story.play(cases.memory_limit(start), start, outcome=Outcome.ESCALATED)
    collect()
    row = Delivery.objects.get()
    assert (row.channel_type, row.channel, row.kind) == (
        "email",
        {"type": "email", "to": ["sre@example.com"]},
        "escalated",
    )
    assert row.event == event
    policy.spec["notifications"]["enabled"] = False
    policy.save()
    story.play(cases.memory_limit(ago(minutes=1), "other"), ago(minutes=1), outcome=Outcome.ESCALATED)
    collect()
    assert Delivery.objects.count() == 1


def test_the_same_receiver_in_policy_and_installation_hears_once(receiver: Receiver, settings: Any) -> None:
    settings.NOTIFY_EMAIL_TO = ["sre@example.com"]
    Policy.objects.create(
        cluster="default",
        namespace="shop",
        name="shop",
        spec={
            "targetNamespaces": ["shop"],
            "notifications": {"channels": [{"type": "email", "to": ["sre@example.com"], "when": ["escalated"]}]},
        },
    )
    story.play(cases.memory_limit(ago(minutes=3)), ago(minutes=3), outcome=Outcome.ESCALATED)
    collect()
    assert Delivery.objects.filter(kind="escalated").count() == 1


def test_a_question_that_is_about_to_expire_is_told_once_more(webhook: None, receiver: Receiver) -> None:
    event = waiting()
    until_quiet()
    event.approvals.update(created_at=ago(minutes=25), expires_at=datetime.now(UTC) + timedelta(minutes=5))
    cache.clear()  # the rows' keys are what counts
    until_quiet()
    until_quiet()
    assert [got.body["kind"] for got in receiver.got] == ["approvalNeeded", "approvalExpiring"]
    assert "5 minutes left to decide" in receiver.got[1].body["title"]


def test_a_question_that_was_answered_before_is_not_asked(webhook: None, receiver: Receiver) -> None:
    event, alice = waiting(), story.approver()
    collect()
    approval = event.approvals.get()
    service.approve(approval.pk, by=alice, digest=approval.digest)
    round_trip()
    assert receiver.got == []
    assert Delivery.objects.get().state == DeliveryState.SUPERSEDED


def test_a_halt_is_told(webhook: None, receiver: Receiver) -> None:
    Halt.objects.create(reason="migration of the database", created_by="root")
    until_quiet()
    (got,) = receiver.got
    assert got.body["title"] == "Automation is halted everywhere"
    assert "migration of the database" in got.body["text"]


def test_a_storm_is_told_once_and_what_it_brings_as_one(webhook: None, receiver: Receiver, settings: Any) -> None:
    settings.NOTIFY_WHEN = ["storm", "approvalNeeded"]
    policy = story.policy()
    policy.spec = {"targetNamespaces": ["shop"], "limits": {"stormFaults": 8}}
    policy.save()
    for number in range(12):
        start = ago(seconds=60 - number)
        story.play(cases.bad_rollout(start, f"app-{number}"), start, Phase.AWAITING_APPROVAL)
    until_quiet()
    kinds = [got.body["kind"] for got in receiver.got]
    assert sorted(kinds) == ["storm", "summary"]
    summary = next(got.body for got in receiver.got if got.body["kind"] == "summary")
    assert summary["title"] == "12 messages at once from ReCiSt"
    assert summary["text"].count("Your decision is needed") == 12
    assert Delivery.objects.filter(state=DeliveryState.GROUPED).count() == 12
    until_quiet()
    assert len(receiver.got) == 2


def test_the_past_is_no_news(webhook: None, receiver: Receiver, alice: User, settings: Any) -> None:
    settings.NOTIFY_WHEN = ["detected", "healed", "declined", "escalated"]
    HealingEvent.objects.update(notified=Notified.END)
    until_quiet()
    assert receiver.got == []


def test_other_parts_announce_by_name(webhook: None, receiver: Receiver, settings: Any) -> None:
    settings.NOTIFY_WHEN = ["warning"]
    message = Message("warning", "Disk of db fills up in 3 hours", "", "2026-11-23T00:00:00Z", "recist/warning/17")
    assert announce(message, "warning/17") == 1
    announce(message, "warning/17")
    until_quiet()
    assert [got.body["title"] for got in receiver.got] == ["Disk of db fills up in 3 hours"]


@pytest.fixture
def alice() -> User:
    user = story.approver()
    story.tell_all(datetime.now(UTC), user)
    return user
