"""People and events for the dashboard's tests."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.test import Client

from healing.models import HealingEvent
from tests.dashboard import story


@pytest.fixture
def alice(db: None) -> User:
    return story.approver()


@pytest.fixture
def vera(db: None) -> User:
    return story.viewer()


@pytest.fixture
def told(alice: User) -> dict[str, HealingEvent]:
    """Events in every phase and with every outcome."""
    return story.tell_all(datetime.now(UTC), alice)


@pytest.fixture
def browser(alice: User, client: Client) -> Client:
    """A signed-in approver."""
    client.force_login(alice)
    return client
