"""Receivers that are slow, busy, broken or hostile; and a sender that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes, policy as email_policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.db import connection
from django.utils import timezone

from healing.lifecycle import Phase
from healing.models import Delivery, DeliveryState
from healing.notifications import Message, announce, outbox, senders
from healing.safe_http import Allowed
from recist_web.environment import PROJECT_DIR
from tests.notifications.conftest import make_due, round_trip, until_quiet
from tests.notifications.receiver import Answer, Receiver
from tests.parts.plugin import Parts


def tell(number: int = 1, kind: str = "halted") -> Delivery:
    message = Message(kind, f"Message {number}", "Something happened.", "2026-11-23T00:00:00Z", f"recist/{number}")
    assert announce(message, f"test/{number}")
    return Delivery.objects.latest("pk")


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_what_may_work_later_is_tried_again(webhook: None, receiver: Receiver, status: int) -> None:
    receiver.answers = [Answer(status, body=b"busy")]
    row = tell()
    before = timezone.now()
    round_trip()
    after = timezone.now()
    row.refresh_from_db()
    assert (row.state, row.attempts) == (DeliveryState.QUEUED, 1)
    assert row.error == f"The receiver answered {status}: busy."
    assert timedelta(seconds=4) <= row.next_attempt_at - before
    assert row.next_attempt_at - after <= timedelta(seconds=6)
    assert round_trip() == 0
    make_due()
    round_trip()
    row.refresh_from_db()
    assert (row.state, row.attempts) == (DeliveryState.DELIVERED, 2)
    first, second = receiver.got
    assert first.headers["X-ReCiSt-Delivery"] == second.headers["X-ReCiSt-Delivery"]


def test_a_busy_receiver_is_left_alone_as_long_as_it_asks(webhook: None, receiver: Receiver) -> None:
    receiver.answers = [Answer(429, {"Retry-After": "120"})]
    tell(1)
    tell(2)
    round_trip()
    assert len(receiver.got) == 1
    waits = [(row.next_attempt_at - timezone.now()).total_seconds() for row in Delivery.objects.all()]
    assert all(110 < seconds < 121 for seconds in waits)


def test_pauses_grow_to_a_limit(webhook: None) -> None:
    row = tell()
    pauses = []
    for attempts in (1, 2, 3, 12):
        Delivery.objects.filter(pk=row.pk).update(state=DeliveryState.SENDING, attempts=attempts)
        row.refresh_from_db()
        before = timezone.now()
        outbox.again(row, "no")
        after = timezone.now()
        row.refresh_from_db()
        pauses.append((row.next_attempt_at - after, row.next_attempt_at - before))
    for (least, most), want in zip(pauses, (5, 10, 20, 900), strict=True):
        assert least <= timedelta(seconds=1.2 * want)
        assert most >= timedelta(seconds=0.8 * want)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_what_would_be_refused_again_is_given_up_and_says_why(webhook: None, receiver: Receiver, status: int) -> None:
    receiver.answers = [Answer(status, body=b"no_service at /hook")]
    row = tell()
    until_quiet()
    row.refresh_from_db()
    assert (row.state, row.attempts) == (DeliveryState.FAILED, 1)
    assert f"The receiver answered {status}" in row.error


def test_redirects_are_not_followed(webhook: None, receiver: Receiver) -> None:
    receiver.answers = [Answer(302, {"Location": f"{receiver.url}/elsewhere"})]
    row = tell()
    until_quiet()
    row.refresh_from_db()
    assert [got.path for got in receiver.got] == ["/hook"]
    assert row.state == DeliveryState.FAILED
    assert "redirects are not followed" in row.error


def test_who_hangs_is_left_and_tried_again(webhook: None, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "_READ_SECONDS", 0.3)
    receiver.answers = [Answer(hang=True)]
    row, started = tell(), time.monotonic()
    round_trip()
    assert time.monotonic() - started < 20
    row.refresh_from_db()
    assert (row.state, row.error) == (DeliveryState.QUEUED, "The receiver does not answer in time.")


def test_an_answer_that_never_ends_is_cut_off(
    webhook: None, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(senders, "TOTAL_SECONDS", 0.4)
    receiver.answers = [Answer(500, drip=True)]
    row, started = tell(), time.monotonic()
    round_trip()
    assert time.monotonic() - started < 20
    row.refresh_from_db()
    assert row.state == DeliveryState.QUEUED


def test_nobody_there(webhook: None, receiver: Receiver, settings: Any) -> None:
    settings.NOTIFY_WEBHOOK_URL = "http://127.0.0.1:9/hook"
    row = tell()
    round_trip()
    row.refresh_from_db()
    assert row.state == DeliveryState.QUEUED
    assert row.error.startswith("The receiver cannot be reached")


def test_a_secret_is_in_no_row_and_no_log(slack: None, receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    secret = "/services/T000/B000/hunter2hunter2"
    receiver.answers = [Answer(404, body=f"nothing at {secret}".encode())]
    row = tell()
    until_quiet()
    row.refresh_from_db()
    assert row.state == DeliveryState.FAILED
    assert "hunter2" not in f"{row.__dict__}{caplog.text}"


def test_a_private_address_is_refused_before_anything_is_sent(webhook: None, receiver: Receiver, settings: Any) -> None:
    settings.NOTIFICATION_ALLOWED = Allowed()
    row = tell()
    until_quiet()
    row.refresh_from_db()
    assert row.state == DeliveryState.FAILED
    assert "private address" in row.error
    assert "NOTIFICATION_ALLOW_PRIVATE" in row.error
    assert receiver.got == []


def test_one_receiver_that_hangs_holds_up_no_other(
    slack: None, webhook: None, receiver: Receiver, settings: Any
) -> None:
    tell()
    now = timezone.now()
    first, second = outbox.due(now)
    assert outbox.claim(first, now)
    tell(2)
    assert outbox.due(now) == [second]  # the receiver of the first is busy with it


def test_at_most_a_few_are_sent_at_once(webhook: None, receiver: Receiver) -> None:
    for number in range(8):
        row = tell(number)
        Delivery.objects.filter(pk=row.pk).update(channel_key=f"receiver-{number}")
    now = timezone.now()
    first = outbox.due(now)
    assert len(first) == outbox.MAX_IN_FLIGHT
    assert all(outbox.claim(pk, now) for pk in first)
    assert outbox.due(now) == []
    assert outbox.due(now + outbox.LEASE + timedelta(seconds=1)) == first  # their senders are taken for dead


def test_only_one_of_two_senders_gets_a_row(webhook: None) -> None:
    row, now = tell(), timezone.now()
    assert outbox.claim(row.pk, now)
    assert outbox.claim(row.pk, now) is None


def test_who_lost_a_row_does_not_write_to_it(webhook: None) -> None:
    row, now = tell(), timezone.now()
    slow = outbox.claim(row.pk, now)
    assert slow is not None
    later = now + outbox.LEASE + timedelta(seconds=1)
    assert outbox.due(later) == [row.pk]
    assert outbox.claim(row.pk, later)
    outbox.gave_up(slow, "much too late")
    row.refresh_from_db()
    assert (row.state, row.attempts) == (DeliveryState.SENDING, 2)


def test_what_is_no_news_any_more_is_given_up(webhook: None, receiver: Receiver) -> None:
    row = tell()
    old = timezone.now() - outbox.GIVE_UP_AFTER - timedelta(minutes=1)
    Delivery.objects.filter(pk=row.pk).update(created_at=old, attempts=30, error="The receiver answered 500.")
    assert round_trip() == 0
    row.refresh_from_db()
    assert (row.state, row.error) == (DeliveryState.FAILED, "The receiver answered 500.")


def test_an_incident_is_not_resolved_before_it_was_opened(pagerduty: None, receiver: Receiver) -> None:
    from tests.dashboard import cases, story
    from tests.notifications.conftest import ago

    receiver.answers = [Answer(500)]
    event = story.play(cases.memory_limit(ago(minutes=2)), ago(minutes=2), Phase.DIAGNOSING)
    trigger, resolve = tell(1), tell(2)
    Delivery.objects.filter(pk__in=[trigger.pk, resolve.pk]).update(event=event)
    round_trip()
    assert round_trip() == 0
    make_due()
    until_quiet()
    assert [got.body["dedup_key"] for got in receiver.got] == ["recist/1", "recist/1", "recist/2"]


# --- a killed sender -------------------------------------------------------------------------------------------------

_SENDER = """
import django, sys
django.setup()
from django.conf import settings
from healing.safe_http import Allowed
settings.NOTIFICATION_ALLOWED = Allowed.parse(["127.0.0.0/8"])
settings.NOTIFICATION_SECRETS = {"NOTIFY_WEBHOOK_KEY": "a-key-of-webhooks"}
from healing.notifications.tasks import deliver
deliver(int(sys.argv[1]))
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.both_databases
def test_a_sender_killed_in_the_middle_sends_again_under_the_same_key(
    webhook: None, receiver: Receiver, test_parts: Parts
) -> None:
    receiver.answers = [Answer(hang=True)]
    row = tell()
    name = connection.settings_dict["NAME"]
    url = (
        f"sqlite:///{name}"
        if test_parts.on_sqlite
        else f"postgres://recist@127.0.0.1:{test_parts.postgres_port}/{name}"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", _SENDER, str(row.pk)],
        cwd=PROJECT_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "recist_web.settings", "DATABASE_URL": url},
    )
    try:
        assert receiver.came.wait(40)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    row.refresh_from_db()
    assert (row.state, row.attempts) == (DeliveryState.SENDING, 1)
    assert round_trip() == 0  # it might be alive
    assert round_trip(at=timezone.now() + outbox.LEASE + timedelta(seconds=1)) == 1
    row.refresh_from_db()
    assert (row.state, row.attempts) == (DeliveryState.DELIVERED, 2)
    assert [got.body["id"] for got in receiver.got] == [row.key, row.key]


# --- e-mail ----------------------------------------------------------------------------------------------------------


class Mailbox:
    """A real SMTP server's handler."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuse = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(message_from_bytes(envelope.content, policy=email_policy.default))  # type: ignore[arg-type]
        return "250 OK"


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    box = Mailbox()
    from recist_web.supervisor.ports import free_port

    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", controller.port
    settings.EMAIL_IS_SET = True
    settings.NOTIFY_EMAIL_TO = ["sre@example.com", "oncall@example.com"]
    yield box
    controller.stop()


def test_an_email_arrives_with_its_link(mailbox: Mailbox) -> None:
    from tests.notifications.test_telling import waiting

    event = waiting()
    until_quiet()
    (mail,) = mailbox.mails
    assert mail["To"] == "sre@example.com, oncall@example.com"
    assert mail["Subject"].startswith("[ReCiSt] Your decision is needed")
    assert Delivery.objects.get().key in mail["Message-ID"]
    assert f"https://recist.example.com/events/{event.name}/" in mail.get_content()


@pytest.mark.parametrize(
    ("refusal", "state"), [("451 try later", DeliveryState.QUEUED), ("550 no such user", DeliveryState.FAILED)]
)
def test_a_mail_server_that_refuses(mailbox: Mailbox, refusal: str, state: DeliveryState) -> None:
    mailbox.refuse = refusal
    row = tell()
    round_trip()
    row.refresh_from_db()
    assert row.state == state
    assert refusal[:3] in row.error


def test_without_a_mail_server_the_row_says_so(mailbox: Mailbox, settings: Any) -> None:
    settings.EMAIL_IS_SET = False
    row = tell()
    round_trip()
    row.refresh_from_db()
    assert (row.state, row.error) == (DeliveryState.FAILED, "E-mail cannot be sent: SMTP_URL is not set.")
