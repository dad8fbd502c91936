"""One of everything that an address can name, in namespace shop; and people with every role."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpResponseBase
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from healing.api.app import api
from healing.approvals import bulk
from healing.dashboard.routing import websocket_urlpatterns
from healing.lifecycle import Phase
from healing.models import ApiToken, ApprovalState, Halt, Policy
from tests import stored
from tests.dashboard import cases, story
from tests.people import person

ROLES = ("viewer", "operator", "approver", "admin")


def people() -> dict[str, User | None]:
    """By what the columns of the table are called."""
    found: dict[str, User | None] = {"nobody": None, "stranger": person("stranger")}
    found |= {role: person(role, role) for role in ROLES}
    found["elsewhere"] = person("elsewhere", "admin", namespace="media")
    return found


def names() -> dict[str, str]:
    """Values for the parts of addresses."""
    now = datetime.now(UTC)
    event = story.play(cases.bad_rollout(now), now, Phase.AWAITING_APPROVAL)
    approval = event.approvals.get(state=ApprovalState.OPEN)
    other = event.strategies.get(key="restart")
    found = {
        "name": event.name,
        "approval_id": approval.pk,
        "action_id": 1_000_000_000,  # taking back has tests of its own, with a cluster
        "digest": approval.digest,
        "strategy_id": other.pk,
        "other_digest": other.digest,
        "group_digest": bulk.digest_of([approval]),
        "policy_id": Policy.objects.get().pk,
        "halt_id": Halt.objects.create(cluster="default", reason="test").pk,
        "number": 1,
        "cluster": "default",
        "namespace": "shop",
        "kind": "csv",
    }
    return {name: str(value) for name, value in {**found, **_more(event.name)}.items()}


def _more(event_name: str) -> dict[str, object]:
    """Rows of other areas."""
    owner = person("owner", "viewer")
    token = ApiToken.objects.create(owner=owner, name="t", digest="d" * 64, hint="rct_", scopes=["read"])
    found: dict[str, object] = {"token_id": token.pk, "provider_id": "none"}
    return {**found, "warning_id": stored.warning().pk, "ref": event_name, "topic_id": 1, "notice_id": 1}


def pages() -> set[str]:
    """Every address of ours outside the API and Django's admin, as ``/events/<slug:name>/``."""
    return {f"/{path}" for path in _walk(get_resolver()) if not path.startswith(("api/", "admin/"))}


def _walk(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            yield from _walk(entry, prefix + str(entry.pattern))
        elif isinstance(entry, URLPattern):
            yield prefix + str(entry.pattern)


def operations() -> set[str]:
    """Every operation of the API, as ``POST /api/v1/…``."""
    paths = api.get_openapi_schema()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def sockets() -> set[str]:
    """Every address of a socket."""
    return {f"/{pattern.pattern}" for pattern in websocket_urlpatterns}


@contextlib.contextmanager
def undone() -> Iterator[None]:
    """What happens inside did not happen."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def verdict(response: HttpResponseBase) -> str:
    """``in``: past the checks; ``out``: refused; ``login``: who are you?; ``hidden``: as if it were not there."""
    if response.status_code in (301, 302) and "/login/" in response.headers.get("Location", ""):
        return "login"
    return {401: "login", 403: "out", 404: "hidden"}.get(response.status_code, "in")


def send(client: Client, method: str, path: str, body: Any, *, is_api: bool) -> HttpResponseBase:
    """As the dashboard's forms or an API client would."""
    options: dict[str, Any] = {}
    if is_api and method != "GET":
        options = {"data": body or {}, "content_type": "application/json"}
    elif method == "POST":
        options = {"data": body or {}}
    return getattr(client, method.lower())(path, **options)  # type: ignore[no-any-return]
