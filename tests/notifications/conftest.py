"""A receiver, channels to it, and events that are worth telling of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from healing.models import Delivery, DeliveryState
from healing.notifications import outbox, tasks
from healing.notifications.collect import collect
from healing.safe_http import Allowed
from tests.notifications.receiver import Receiver

SLACK_PATH = "/services/T000/B000/hunter2hunter2"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def loopback(settings: Any, db: None) -> None:
    """No channel, loopback may be called, nothing is remembered of another test."""
    settings.NOTIFICATION_ALLOWED = Allowed.parse(["127.0.0.0/8"])
    settings.NOTIFICATION_SECRETS = {}
    settings.NOTIFY_EMAIL_TO = []
    settings.NOTIFY_WEBHOOK_URL = ""
    settings.NOTIFY_WHEN = ["approvalNeeded", "approvalExpiring", "escalated", "storm", "halted"]
    settings.PUBLIC_URL = "https://recist.example.com"
    settings.EMAIL_IS_SET = False
    cache.clear()


@pytest.fixture
def slack(settings: Any, receiver: Receiver) -> None:
    settings.NOTIFICATION_SECRETS = {
        **settings.NOTIFICATION_SECRETS,
        "NOTIFY_SLACK_URL": f"{receiver.url}{SLACK_PATH}",
    }


@pytest.fixture
def webhook(settings: Any, receiver: Receiver) -> None:
    settings.NOTIFICATION_SECRETS = {**settings.NOTIFICATION_SECRETS, "NOTIFY_WEBHOOK_KEY": "a-key-of-webhooks"}
    settings.NOTIFY_WEBHOOK_URL = f"{receiver.url}/hook"


@pytest.fixture
def pagerduty(settings: Any, receiver: Receiver) -> None:
    settings.NOTIFICATION_SECRETS = {**settings.NOTIFICATION_SECRETS, "NOTIFY_PAGERDUTY_KEY": "R0UT1NGKEY0000"}
    settings.PAGERDUTY_URL = f"{receiver.url}/v2/enqueue"


def ago(**how_long: float) -> datetime:
    return datetime.now(UTC) - timedelta(**how_long)


def round_trip(*, at: datetime | None = None) -> int:
    """What a tick and its workers do, in this process. Returns how many rows were tried."""
    collect()
    now, count = at or timezone.now(), 0
    for pk in outbox.due(now):
        row = outbox.claim(pk, now)
        if row is not None:
            tasks.deliver_claimed(row)
            count += 1
    return count


def until_quiet() -> None:
    """Round trips until nothing is due."""
    for _ in range(60):
        if not round_trip():
            return
    pytest.fail("There is always something to send.")


def make_due() -> None:
    """As if the time of the next try had come."""
    Delivery.objects.filter(state=DeliveryState.QUEUED).update(next_attempt_at=timezone.now())
