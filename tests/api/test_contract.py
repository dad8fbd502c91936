"""What holds for the API as a whole: who may call, limits, the OpenAPI document."""

from __future__ import annotations

import json
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from healing.api import api, auth, limits
from healing.models import CircuitReset, Halt
from tests.api.conftest import PASSWORD, Caller
from tests.dashboard import story

#: Every operation there is, with something in the place of its parameters.
OPERATIONS = [
    (method, re.sub(r"{\w+}", lambda found: "1" if found[0].endswith("_id}") else "he-x", path))
    for path, operations in api.get_openapi_schema(path_prefix="/")["paths"].items()
    for method in operations
]


def test_there_are_operations() -> None:
    assert len(OPERATIONS) > 40
    assert ("post", "/approvals/1/approve") in OPERATIONS


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_nothing_is_open_to_strangers(as_nobody: Caller, method: str, path: str) -> None:
    status, problem = as_nobody(method, path, {} if method in ("post", "put") else None)
    assert (status, problem["type"], problem["status"]) == (401, "unauthenticated", 401)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("post", "/brakes/halts", {"reason": "x"}),
        ("delete", "/brakes/halts/1", None),
        ("post", "/brakes/circuit-resets", {"cluster": "default", "kind": "Deployment", "namespace": "a", "name": "b"}),
    ],
)
def test_brakes_need_the_role_and_a_session_its_csrf_token(
    as_alice: Caller, as_vera: Caller, alice: User, method: str, path: str, body: object
) -> None:
    # Who may operate may pull the brake; letting go of it takes an admin.
    role, refused_to = ("operator", as_vera) if path == "/brakes/halts" else ("admin", as_alice)
    status, problem = refused_to(method, path, body)
    assert (status, problem["type"]) == (403, "forbidden")
    assert f"Ask an admin for the role '{role}'" in problem["detail"]
    alice.is_superuser = True
    alice.save()
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    refused = getattr(browser, method)(f"/api/v1{path}", body, content_type="application/json")
    assert refused.status_code == 403
    assert not Halt.objects.exists()
    assert not CircuitReset.objects.exists()
    status, _ = as_alice(method, path, body)
    assert status == {"/brakes/halts": 201, "/brakes/halts/1": 404}.get(path, 204)


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Bearer x", "Basic " + "bm9jb2xvbg==", "Basic AHg6eA=="])
def test_bad_credentials_are_a_401(header: str) -> None:
    response = Client().get("/api/v1/events", headers={"Authorization": header})
    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("Basic")


def test_a_disabled_person_is_a_stranger() -> None:
    bob = story.approver("bob", PASSWORD)
    call = Caller(bob)
    assert call("get", "/events")[0] == 200
    bob.is_active = False
    bob.save()
    assert call("get", "/events")[0] == 401


def test_guessing_passwords_is_slowed_down(as_vera: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MAX_FAILURES", 3)
    monkeypatch.setattr(limits, "counter", lambda key, _: f"limit.{key}")  # no new window begins in the middle
    good = dict(as_vera.headers)
    as_vera.headers["Authorization"] = "Basic dmVyYTp3cm9uZw=="
    assert [as_vera("get", "/events")[0] for _ in range(5)] == [401, 401, 401, 429, 429]
    as_vera.headers = good
    assert as_vera("get", "/events")[0] == 429


def test_one_person_cannot_flood_the_api(as_vera: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUESTS_A_MINUTE", 3)
    statuses = [as_vera("get", "/health")[0] for _ in range(8)]
    assert 429 in statuses
    assert statuses[:3] == [200, 200, 200]


def test_unreadable_and_oversized_bodies(as_admin: Caller) -> None:
    client = Client()
    options = {"content_type": "application/json", "headers": as_admin.headers}
    response = client.post("/api/v1/policies", "{not json", **options)
    assert (response.status_code, response.json()["type"]) == (400, "unreadable")
    huge = json.dumps({"name": "x" * 3_000_000})
    response = client.post("/api/v1/policies", huge, **options)
    assert (response.status_code, response.json()["type"]) == (413, "too-large")


def test_the_document_is_served_and_says_how_errors_look(client: Client) -> None:
    schema = client.get("/api/v1/openapi.json").json()
    assert schema["openapi"].startswith("3.")
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description"), f"{method} {path} says nothing"
            assert "401" in operation["responses"]
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"]
    assert set(schema["components"]["securitySchemes"]) == {"Basic", "Bearer", "Session", "WebhookBearer"}


def test_health_is_in_plain_words(as_vera: Caller) -> None:
    status, health = as_vera("get", "/health")
    assert status == 200
    assert {part["name"] for part in health["parts"]} >= {"Workers"}
