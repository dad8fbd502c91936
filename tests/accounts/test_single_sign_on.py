"""Signing in with OpenID Connect, against a provider over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from healing.access import role_of
from healing.models import AuditEntry
from recist_web.settings.accounts import provider_of
from tests.accounts.provider import CLIENT_ID, CLIENT_SECRET, Provider

LOGIN = "/oidc/sso/login/"


@pytest.fixture
def provider(settings: Any, db: None) -> Iterator[Provider]:
    found = Provider()
    found.person = {"sub": "u-1", "preferred_username": "ada", "email": "ada@example.com", "groups": ["sre", "all"]}
    settings.OIDC_IS_SET = True
    settings.OIDC_ROLES = {"sre": "approver", "platform": "admin", "dev": "viewer"}
    settings.OIDC_GROUP_CLAIM = "groups"
    settings.SOCIALACCOUNT_PROVIDERS = provider_of(found.issuer, CLIENT_ID, CLIENT_SECRET)
    cache.clear()
    yield found
    found.stop()


def sign_in(provider: Provider, client: Client | None = None, query: str = "") -> tuple[Client, Any]:
    client = client or Client()
    away = client.get(LOGIN + query)
    assert away.status_code == 302, away.content
    assert away["Location"].startswith(f"{provider.issuer}/authorize?")
    back = provider.sign_in(away["Location"])
    return client, client.get(back.partition("testserver")[2])


def who(client: Client) -> User | None:
    key = client.session.get("_auth_user_id")
    return User.objects.get(pk=key) if key else None


def test_a_person_signs_in_and_has_the_role_of_their_groups(provider: Provider) -> None:
    client, answer = sign_in(provider, query="?next=/history/")
    assert (answer.status_code, answer["Location"]) == (302, "/history/")
    user = who(client)
    assert user is not None
    assert (user.username, user.email, user.is_staff, user.is_superuser) == ("ada", "ada@example.com", False, False)
    assert str(role_of(user)) == "approver"
    assert not user.has_usable_password()
    assert AuditEntry.objects.filter(action="role.synced", after={"groups": ["approver"]}).exists()
    assert provider.problems == []


def test_roles_follow_the_groups_at_every_sign_in(provider: Provider) -> None:
    sign_in(provider)
    provider.person["groups"] = ["platform", "dev"]
    sign_in(provider)
    user = User.objects.get()
    assert (str(role_of(user)), user.is_staff) == ("admin", True)
    provider.person["groups"] = ["dev"]
    sign_in(provider)
    user = User.objects.get()
    assert (str(role_of(user)), user.is_staff) == ("viewer", False)


def test_who_is_in_no_group_is_turned_away(provider: Provider) -> None:
    provider.person["groups"] = ["guests"]
    client, answer = sign_in(provider)
    assert answer.status_code == 403
    assert b"none of the groups" in answer.content
    assert who(client) is None
    assert not User.objects.exists()


def test_a_local_account_is_not_taken_over(provider: Provider) -> None:
    admin = User.objects.create_superuser("ada", email="ada@example.com", password="x")
    client, answer = sign_in(provider)
    user = who(client)
    assert user is not None, answer.content
    assert user.pk != admin.pk
    assert user.username != "ada"
    assert not user.is_superuser


@pytest.mark.parametrize(
    "lie",
    [
        lambda claims: {**claims, "nonce": "another"},
        lambda claims: {name: value for name, value in claims.items() if name != "nonce"},
        lambda claims: {**claims, "aud": "another-client"},
        lambda claims: {**claims, "iss": "https://elsewhere.example"},
        lambda claims: {**claims, "exp": 1},
    ],
)
def test_an_id_token_that_is_not_for_us_is_refused(provider: Provider, lie: Any) -> None:
    provider.lie = lie
    client, answer = sign_in(provider)
    assert answer.status_code == 400
    assert who(client) is None


def test_an_id_token_signed_by_somebody_else_is_refused(provider: Provider) -> None:
    provider.wrong_key = True
    client, answer = sign_in(provider)
    assert (answer.status_code, who(client)) == (400, None)


def test_userinfo_about_somebody_else_is_refused(provider: Provider) -> None:
    provider.userinfo_of_somebody_else = True
    client, answer = sign_in(provider)
    assert (answer.status_code, who(client)) == (400, None)


def test_an_answer_nobody_asked_for_is_refused(provider: Provider) -> None:
    """Another browser's code and state."""
    away = Client().get(LOGIN)
    back = provider.sign_in(away["Location"])
    thief = Client()
    assert thief.get(back.partition("testserver")[2]).status_code == 400
    assert who(thief) is None


def test_nobody_is_sent_elsewhere_afterwards(provider: Provider) -> None:
    _, answer = sign_in(provider, query="?next=https://evil.example/")
    assert answer["Location"] == "/"


def test_a_disabled_person_stays_out(provider: Provider) -> None:
    sign_in(provider)
    User.objects.update(is_active=False)
    client, answer = sign_in(provider)
    assert (answer.status_code, who(client)) == (403, None)


def test_a_provider_that_is_away_is_told(provider: Provider) -> None:
    provider.stop()
    answer = Client().get(LOGIN)
    assert answer.status_code == 502
    assert b"does not answer" in answer.content


def test_groups_may_be_words_or_lie_deeper(provider: Provider, settings: Any) -> None:
    settings.OIDC_GROUP_CLAIM = "realm_access.roles"
    provider.person = {"sub": "u-2", "preferred_username": "bob", "realm_access": {"roles": ["platform"]}}
    client, _ = sign_in(provider)
    user = who(client)
    assert user is not None
    assert str(role_of(user)) == "admin"


def test_the_sign_in_page_has_the_button_only_where_it_leads_somewhere(provider: Provider, settings: Any) -> None:
    page = Client().get("/login/?next=/history/").content.decode()
    assert f'href="{LOGIN}?next=%2Fhistory%2F"' in page
    assert "Sign in with single sign-on" in page
    settings.OIDC_IS_SET = False
    assert LOGIN not in Client().get("/login/").content.decode()
    assert Client().get(LOGIN).status_code == 404
