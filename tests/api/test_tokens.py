"""API tokens: made once, shown once, limited, ended. And changes that are sent twice."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from healing import api_tokens as tokens
from healing.audit import Actor
from healing.models import ApiToken, AuditEntry, Halt, HealingEvent, IdempotencyKey
from tests.api.conftest import Caller

NEW = {"name": "ci", "scopes": ["read"]}
ACTOR = Actor.system("test")


def token_of(user: User, *scopes: str, name: str = "t", expires_at: datetime | None = None) -> str:
    return tokens.create(user, name=name, scopes=scopes, expires_at=expires_at, actor=ACTOR)[1]


def by(token: str) -> Caller:
    caller = Caller(None)
    caller.headers["Authorization"] = f"Bearer {token}"
    return caller


@pytest.mark.both_databases
def test_a_token_is_shown_once_and_kept_as_a_hash(as_alice: Caller, alice: User) -> None:
    status, made = as_alice("post", "/tokens", NEW)
    assert status == 201
    text = made["token"]
    assert text.startswith("recist_")
    assert len(text) >= 7 + 43, "256 bits"
    row = ApiToken.objects.get()
    assert row.digest == hashlib.sha256(text.encode()).hexdigest()
    assert text not in str(row.__dict__)
    assert "token" not in as_alice("get", "/tokens")[1]["items"][0]
    assert by(text)("get", "/events")[0] == 200
    entry = AuditEntry.objects.get(action="token.created")
    assert (entry.actor_kind, entry.actor, entry.target) == ("person", "alice", "token alice/ci")
    assert text not in str(entry.__dict__)


def test_last_use_is_noted(alice: User) -> None:
    call = by(token_of(alice, "read"))
    call("get", "/events")
    row = ApiToken.objects.get()
    assert row.last_used_at is not None
    assert row.last_used_from == "127.0.0.1"


@pytest.mark.parametrize("what", ["revoked", "expired", "owner disabled", "changed"])
def test_a_token_that_ended_opens_nothing(alice: User, what: str) -> None:
    text = token_of(alice, "read")
    assert by(text)("get", "/events")[0] == 200
    if what == "revoked":
        assert tokens.revoke(ApiToken.objects.get(), actor=ACTOR)
        assert not tokens.revoke(ApiToken.objects.get(), actor=ACTOR)
    elif what == "expired":
        ApiToken.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    elif what == "owner disabled":
        User.objects.update(is_active=False)
    else:
        text = text[:-1] + ("A" if text[-1] != "A" else "B")
    status, problem = by(text)("get", "/events")
    assert (status, problem["type"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        (["read"], (200, 403, 403)),
        (["operate"], (200, 201, 403)),
        (["admin"], (200, 403, 200)),
        (["operate", "admin"], (200, 201, 200)),
        (["webhooks"], (403, 403, 403)),
    ],
)
def test_scopes_limit_even_an_admin(scopes: list[str], expected: tuple[int, int, int]) -> None:
    root = User.objects.create_superuser("root", password="x")
    call = by(token_of(root, *scopes))
    answers = (
        call("get", "/events"),
        call("post", "/brakes/halts", {"reason": "x"}),
        call("get", "/tokens?everybody=true"),
    )
    assert tuple(status for status, _ in answers) == expected
    assert all("token" in problem["detail"] for status, problem in answers if status == 403)


def test_no_scope_gives_more_than_its_owner_may(as_vera: Caller) -> None:
    vera = User.objects.get(username="vera")
    call = by(token_of(vera, "read", "operate", "decide", "admin"))
    assert call("post", "/brakes/halts", {"reason": "x"})[0] == 403
    assert call("get", "/tokens?everybody=true")[0] == 403


def test_decisions_need_the_scope_and_say_that_a_token_took_them(alice: User, told: dict[str, HealingEvent]) -> None:
    approval = told["waiting"].approvals.get()
    path, body = f"/approvals/{approval.pk}/approve", {"digest": approval.digest}
    status, problem = by(token_of(alice, "read", "operate", name="reader"))("post", path, body)
    assert (status, "token" in problem["detail"]) == (403, True)
    assert by(token_of(alice, "decide", name="bot"))("post", path, body)[0] == 200
    entry = AuditEntry.objects.filter(action__startswith="approval.").latest("seq")
    assert (entry.actor_kind, entry.actor) == ("token", "alice/bot")


def test_a_token_makes_no_token_and_ends_only_itself(alice: User) -> None:
    text = token_of(alice, "read", "admin", name="a")
    other = token_of(alice, "read", name="b")
    assert by(text)("post", "/tokens", NEW)[0] == 403
    mine = ApiToken.objects.get(name="a")
    assert by(text)("delete", f"/tokens/{ApiToken.objects.get(name='b').pk}")[0] == 403
    assert by(text)("delete", f"/tokens/{mine.pk}")[0] == 204
    assert by(text)("get", "/events")[0] == 401
    assert by(other)("get", "/events")[0] == 200


def test_tokens_of_others_are_the_admins_business(as_alice: Caller, as_vera: Caller, as_admin: Caller) -> None:
    pk = as_alice("post", "/tokens", NEW)[1]["id"]
    assert as_vera("get", "/tokens")[1]["items"] == []
    assert as_vera("get", "/tokens?everybody=true")[0] == 403
    assert as_vera("delete", f"/tokens/{pk}")[0] == 404
    assert [item["owner"] for item in as_admin("get", "/tokens?everybody=true")[1]["items"]] == ["alice"]
    assert as_admin("delete", f"/tokens/{pk}")[0] == 204
    assert ApiToken.objects.get().revoked_by == "root"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes.0"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, "expiresAt"),
        ({"expiresAt": "2999-01-01T00:00:00Z"}, "expiresAt"),
        ({"expiresAt": "2027-01-01T00:00:00"}, "expiresAt"),
        ({"owner": "root"}, "owner"),
    ],
)
def test_a_token_that_cannot_be_is_refused_with_the_field(as_alice: Caller, change: Any, field: str) -> None:
    status, problem = as_alice("post", "/tokens", {**NEW, **change})
    assert (status, problem["type"]) == (422, "invalid")
    assert [error["field"] for error in problem["errors"]] == [field]


def test_a_name_is_free_again_when_its_token_ended(as_alice: Caller) -> None:
    pk = as_alice("post", "/tokens", NEW)[1]["id"]
    assert as_alice("post", "/tokens", NEW)[0] == 422
    assert as_alice("delete", f"/tokens/{pk}")[0] == 204
    assert as_alice("post", "/tokens", NEW)[0] == 201


def test_a_session_needs_its_csrf_token_to_make_one(alice: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    refused = browser.post("/api/v1/tokens", NEW, content_type="application/json")
    assert (refused.status_code, refused["Content-Type"]) == (403, "application/problem+json")
    assert not ApiToken.objects.exists()


# --- the same change twice -------------------------------------------------------------------------------------------


def repeated(caller: Caller, key: str) -> Caller:
    caller.headers["Idempotency-Key"] = key
    return caller


@pytest.mark.both_databases
def test_the_same_key_does_it_once_and_answers_alike(as_admin: Caller) -> None:
    call = repeated(as_admin, str(uuid.uuid4()))
    first = call("post", "/brakes/halts", {"reason": "x"})
    assert first[0] == 201
    assert call("post", "/brakes/halts", {"reason": "x"}) == first
    assert Halt.objects.count() == 1
    assert repeated(as_admin, "another")("post", "/brakes/halts", {"reason": "x"})[0] == 409


def test_a_refusal_is_the_answer_too(as_admin: Caller) -> None:
    call = repeated(as_admin, "k-1")
    assert call("delete", "/brakes/halts/77")[0] == 404
    Halt.objects.create(pk=77, reason="x")
    assert call("delete", "/brakes/halts/77")[0] == 404
    assert repeated(as_admin, "k-2")("delete", "/brakes/halts/77")[0] == 204


def test_a_key_belongs_to_one_request(as_admin: Caller) -> None:
    call = repeated(as_admin, "k-1")
    assert call("post", "/brakes/halts", {"reason": "x"})[0] == 201
    status, problem = call("post", "/brakes/halts", {"reason": "y"})
    assert (status, problem["type"]) == (422, "idempotency-reused")


def test_keys_of_two_callers_are_two(as_admin: Caller, as_alice: Caller) -> None:
    assert repeated(as_admin, "k")("post", "/tokens", NEW)[0] == 201
    assert repeated(as_alice, "k")("post", "/tokens", NEW)[0] == 201
    assert ApiToken.objects.count() == 2


def test_a_request_that_was_broken_off_is_not_done_again(as_admin: Caller) -> None:
    call = repeated(as_admin, "k")
    call("post", "/brakes/halts", {"reason": "x"})
    IdempotencyKey.objects.update(status=None)
    status, problem = call("post", "/brakes/halts", {"reason": "x"})
    assert (status, problem["type"]) == (409, "idempotency-unfinished")


def test_who_may_not_may_try_again_when_they_may(as_vera: Caller) -> None:
    call = repeated(as_vera, "k")
    assert call("post", "/brakes/halts", {"reason": "x"})[0] == 403
    assert not IdempotencyKey.objects.exists()


def test_keys_end(as_admin: Caller) -> None:
    call = repeated(as_admin, "k")
    call("delete", "/brakes/halts/77")
    IdempotencyKey.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    Halt.objects.create(pk=77, reason="x")
    assert call("delete", "/brakes/halts/77")[0] == 204


@pytest.mark.parametrize("key", ["x" * 129, "", "a b"])
def test_what_is_no_key_is_refused(as_admin: Caller, key: str) -> None:
    status, problem = repeated(as_admin, key)("post", "/brakes/halts", {"reason": "x"})
    assert (status, problem["errors"][0]["field"]) == (422, "Idempotency-Key")


def test_a_new_token_is_in_no_stored_answer(as_alice: Caller) -> None:
    text = repeated(as_alice, "k")("post", "/tokens", NEW)[1]["token"]
    assert text not in IdempotencyKey.objects.get().body
    assert as_alice("post", "/tokens", NEW)[1]["token"] == "shown once"


# --- problems everywhere ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("get", "/nothing/here", 404), ("put", "/events", 405), ("get", "/events/a/b/c", 404)],
)
def test_what_django_answers_itself_is_a_problem_too(as_admin: Caller, method: str, path: str, status: int) -> None:
    answered, problem = as_admin(method, path)
    assert (answered, problem["status"]) == (status, status)


def test_a_bug_is_a_problem_without_its_secrets(
    as_admin: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret of the inside")

    monkeypatch.setattr("healing.api.tokens.page", broken)
    as_admin._client.raise_request_exception = False
    status, problem = as_admin("get", "/tokens")
    assert (status, problem["type"]) == (500, "internal")
    assert "secret" not in str(problem)
