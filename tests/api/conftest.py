"""Callers of the API and something to ask about."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from healing.models import HealingEvent
from tests.dashboard import story

PASSWORD = "correct horse battery"


class Caller:
    """Calls operations as one person with HTTP Basic, as a script does."""

    def __init__(self, user: User | None) -> None:
        self._client = Client()
        self.headers: dict[str, str] = {}
        if user is not None:
            token = b64encode(f"{user.get_username()}:{PASSWORD}".encode()).decode()
            self.headers["Authorization"] = f"Basic {token}"

    def __call__(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        options: dict[str, Any] = {"headers": self.headers}
        if body is not None:
            options |= {"data": body, "content_type": "application/json"}
        response = getattr(self._client, method)(f"/api/v1{path}", **options)
        expected = "application/problem+json" if response.status_code >= 400 else "application/json"
        if response.content:
            assert response["Content-Type"].startswith(expected), response["Content-Type"]
        return response.status_code, response.json() if response.content else None


@pytest.fixture(autouse=True)
def unlimited(db: None) -> None:
    """Limits that start at nought."""
    cache.clear()


@pytest.fixture
def alice() -> User:
    return story.approver(password=PASSWORD)


@pytest.fixture
def told(alice: User) -> dict[str, HealingEvent]:
    return story.tell_all(datetime.now(UTC), alice)


@pytest.fixture
def as_alice(alice: User) -> Caller:
    """An approver."""
    return Caller(alice)


@pytest.fixture
def as_vera() -> Caller:
    """A viewer."""
    return Caller(story.viewer(password=PASSWORD))


@pytest.fixture
def as_admin() -> Caller:
    return Caller(User.objects.create_superuser("root", password=PASSWORD))


@pytest.fixture
def as_nobody() -> Caller:
    return Caller(None)
