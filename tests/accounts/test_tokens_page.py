"""The page /tokens/: a token is shown once, to the one who made it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from healing import api_tokens as tokens
from healing.audit import Actor
from healing.models import ApiToken

FORM = {"name": "ci", "scopes": ["read", "operate"], "days": "30"}


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", password="x")


@pytest.fixture
def browser(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client


def test_a_token_is_made_shown_once_used_and_revoked(browser: Client) -> None:
    made = browser.post("/tokens/", FORM)
    assert made.status_code == 201
    (text,) = re.findall(r"recist_[\w-]{43}", made.content.decode())
    assert "no-store" in made["Cache-Control"]
    assert text not in browser.get("/tokens/").content.decode()
    script = Client(headers={"Authorization": f"Bearer {text}"})
    assert script.get("/api/v1/tokens").status_code == 200
    row = ApiToken.objects.get()
    assert row.scopes == ["read", "operate"]
    answer = browser.post(f"/tokens/{row.pk}/revoke/", follow=True)
    assert "The token ci is revoked" in answer.content.decode()
    assert script.get("/api/v1/tokens").status_code == 401


@pytest.mark.parametrize(
    ("change", "says"),
    [({"name": " "}, "Give a name"), ({"scopes": []}, "Choose at least one of"), ({"days": "9999"}, "how long")],
)
def test_what_is_missing_is_said_and_what_was_written_stays(browser: Client, change: Any, says: str) -> None:
    answer = browser.post("/tokens/", {**FORM, **change})
    assert answer.status_code == 422
    assert says in answer.content.decode()
    assert not ApiToken.objects.exists()


def test_strangers_and_other_people(browser: Client, alice: User) -> None:
    bob, root = User.objects.create_user("bob"), User.objects.create_superuser("root")
    row, _ = tokens.create(bob, name="bobs-own", scopes=["read"], expires_at=None, actor=Actor.system("t"))
    assert Client().get("/tokens/").status_code == 302
    assert b"bobs-own" not in browser.get("/tokens/").content
    assert browser.post(f"/tokens/{row.pk}/revoke/").status_code == 404
    browser.force_login(root)
    assert b"bobs-own" in browser.get("/tokens/").content
    assert browser.post(f"/tokens/{row.pk}/revoke/").status_code == 302
    row.refresh_from_db()
    assert row.revoked_by == "root"


def test_forms_need_their_csrf_token(alice: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    assert browser.post("/tokens/", FORM).status_code == 403
