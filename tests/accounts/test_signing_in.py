"""Local accounts: the lock-out that hits nobody else, limits, cookies, and one's own password."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client, RequestFactory

from healing.models import AuditEntry
from recist_web import accounts
from recist_web.environment import PROJECT_DIR
from recist_web.middleware import ClientAddress

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def unlimited(db: None) -> None:
    cache.clear()


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice", password=PASSWORD)


def sign_in(name: str, password: str, address: str = "192.0.2.1") -> Any:
    return Client(REMOTE_ADDR=address).post("/login/", {"username": name, "password": password})


def test_who_guesses_is_locked_out_and_nobody_else(alice: User, settings: Any) -> None:
    User.objects.create_user("bob", password=PASSWORD)
    statuses = [sign_in("alice", "wrong").status_code for _ in range(settings.AXES_FAILURE_LIMIT + 1)]
    assert statuses[0] == 200
    assert statuses[-1] == 429
    locked = sign_in("alice", PASSWORD)
    assert (locked.status_code, locked["Retry-After"]) == (429, "300")
    assert b"too many tries" in locked.content
    assert sign_in("alice", PASSWORD, "198.51.100.7").status_code == 302, "from elsewhere she gets in"
    assert sign_in("bob", PASSWORD).status_code == 302, "others at the same address get in"
    failures = AuditEntry.objects.filter(action="login.failed", actor="alice")
    assert failures.count() >= settings.AXES_FAILURE_LIMIT
    assert {entry.address for entry in failures} == {"192.0.2.1"}


def test_the_right_password_starts_anew(alice: User, settings: Any) -> None:
    for _ in range(3):
        for _ in range(settings.AXES_FAILURE_LIMIT - 1):
            assert sign_in("alice", "wrong").status_code == 200
        cache.clear()
        assert sign_in("alice", PASSWORD).status_code == 302


def test_one_address_cannot_try_many_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "TRIES_OF_AN_ADDRESS", 3)
    statuses = [sign_in(f"name-{number}", "wrong").status_code for number in range(8)]
    assert statuses[:3] == [200] * 3
    assert 429 in statuses
    assert sign_in("name-1", "wrong", "198.51.100.9").status_code == 200


def test_a_lock_out_holds_for_basic_too(alice: User, settings: Any) -> None:
    from base64 import b64encode

    def basic(password: str) -> int:
        token = b64encode(f"alice:{password}".encode()).decode()
        return Client().get("/api/v1/events", headers={"Authorization": f"Basic {token}"}).status_code

    assert basic(PASSWORD) == 200
    for _ in range(settings.AXES_FAILURE_LIMIT):
        assert basic("wrong") in (401, 429)
    assert basic(PASSWORD) in (401, 429)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "203.0.113.5", "10.0.0.1"),
        (1, "203.0.113.5", "203.0.113.5"),
        (1, "6.6.6.6, 203.0.113.5", "203.0.113.5"),
        (2, "6.6.6.6, 203.0.113.5, 10.0.0.2", "203.0.113.5"),
        (2, "203.0.113.5", "10.0.0.1"),
        (1, "203.0.113.5:4711", "203.0.113.5"),
        (1, "[2001:db8::1]:443", "2001:db8::1"),
        (1, "nonsense", "0.0.0.0"),
        (1, "", "10.0.0.1"),
    ],
)
def test_callers_are_known_by_what_they_cannot_write(
    settings: Any, proxies: int, forwarded: str, expected: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    request = RequestFactory().get("/", headers={"X-Forwarded-For": forwarded}, REMOTE_ADDR="10.0.0.1")
    ClientAddress(lambda request: request.META["REMOTE_ADDR"])(request)  # type: ignore[arg-type, return-value]
    assert request.META["REMOTE_ADDR"] == expected


def test_ones_own_password_is_changed_and_ends_other_sessions(alice: User) -> None:
    here, there = Client(), Client()
    for client in (here, there):
        assert client.login(username="alice", password=PASSWORD)
    assert here.get("/password/").status_code == 200
    new = "a new and better one 7"
    weak = here.post("/password/", {"old_password": PASSWORD, "new_password1": "12345678", "new_password2": "12345678"})
    assert b"entirely numeric" in weak.content
    done = here.post("/password/", {"old_password": PASSWORD, "new_password1": new, "new_password2": new}, follow=True)
    assert b"Your password is changed" in done.content
    assert here.get("/password/").status_code == 200
    assert there.get("/password/").status_code == 302
    assert Client().get("/password/").status_code == 302


@pytest.mark.parametrize("path", ["/login/", "/password/", "/password/changed/", "/history/"])
def test_pages_forbid_what_they_do_not_need(alice: User, path: str) -> None:
    client = Client()
    if path != "/login/":
        client.force_login(alice)
    answer = client.get(path)
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer["X-Frame-Options"] == "DENY"
    assert b"<script>" not in answer.content
    assert b"style=" not in answer.content


def test_signing_in_needs_the_token_of_the_form(alice: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    assert browser.post("/login/", {"username": "alice", "password": PASSWORD}).status_code == 403
    browser.force_login(alice)
    assert browser.post("/password/", {}).status_code == 403


def test_a_deployment_is_safe_by_default() -> None:
    lines = (PROJECT_DIR / "tests" / "wiring" / "production.env").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    code = (
        "import django; django.setup(); from django.conf import settings as s; "
        "print(s.SESSION_COOKIE_NAME, s.SESSION_COOKIE_SECURE, s.SESSION_COOKIE_HTTPONLY, s.CSRF_COOKIE_SECURE, "
        "s.SECURE_SSL_REDIRECT, s.SECURE_HSTS_SECONDS)"
    )
    environment = {**kept, **given, "ENV_FILE": os.devnull, "DJANGO_SETTINGS_MODULE": "recist_web.settings"}
    for command, expected in (
        ([sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"], "no issues"),
        ([sys.executable, "-c", code], "__Host-recist-session True True True True 31536000"),
    ):
        done = subprocess.run(command, cwd=PROJECT_DIR, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, expected in done.stdout) == (0, True), done.stdout + done.stderr


def test_nothing_is_silenced() -> None:
    assert django_settings.SILENCED_SYSTEM_CHECKS == []
