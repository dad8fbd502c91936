"""Who may do what: one table of every page, API operation and socket, tried as everybody.

A new address that is not in the table fails the test: decide who may use it, and write it down here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
from django.http import HttpResponseBase
from django.test import Client

from healing.models import Role
from tests.access import world

pytestmark = pytest.mark.django_db

VIEWER, OPERATOR, APPROVER, ADMIN = Role.VIEWER, Role.OPERATOR, Role.APPROVER, Role.ADMIN

# Where the role has to hold:
AT_EVENT = "at the event's place"  # who may not see the event is not told that it exists
SOMEWHERE = "at any place; what is shown is only what the person may see"
EVERYWHERE = "everywhere"
LIST = "nowhere in particular: everybody signed in gets what they may see, which may be nothing"
SIGNED_IN = "nowhere: everybody who is signed in"
PUBLIC = "nowhere: everybody"
OWNED = "everywhere, where it is somebody else's; others are not told that it exists"
BY_TOKEN = "by an API token only: sessions do not open it"


@dataclass(frozen=True)
class Row:
    """``is_there`` False: the tests have no such thing, so who is let in finds nothing."""

    role: Role | None
    where: str
    body: dict[str, Any] | None = None
    is_there: bool = True


def event(role: Role, body: dict[str, Any] | None = None) -> Row:
    return Row(role, AT_EVENT, body)


def somewhere(role: Role, body: dict[str, Any] | None = None, *, is_there: bool = True) -> Row:
    return Row(role, SOMEWHERE, body, is_there)


def everywhere(role: Role, body: dict[str, Any] | None = None, *, is_there: bool = True) -> Row:
    return Row(role, EVERYWHERE, body, is_there)


LISTED = Row(None, LIST)
_DECIDE = {"digest": "{digest}", "comment": "because"}
_CHOICE = {"choice": "{strategy_id}:{other_digest}", "comment": "because"}
_HAND = {"comment": "because", "reason": "because", "what": "this"}
_OBJECT = {"cluster": "default", "kind": "Deployment", "namespace": "shop", "name": "orders"}
_SPEC = {"spec": {"targetNamespaces": ["shop"]}}
_LESSON = {"about": "cause", "isRight": True}
_NOTE = {"version": 1, "title": "a note", "text": "a note"}
_GROUP = {"ids": "{approval_id}", "digest": "{group_digest}"}

PAGES: dict[str, Row] = {
    "GET /login/": Row(None, PUBLIC),
    "GET /logout/": Row(None, PUBLIC),
    "GET /": somewhere(VIEWER),
    "GET /history/": somewhere(VIEWER),
    "GET /palette/": somewhere(VIEWER),
    "GET /halt/": somewhere(VIEWER),
    "POST /halt/": everywhere(OPERATOR, {"reason": "stop", "cluster": "default"}),
    "POST /halt/lift/": everywhere(ADMIN, {"halt": "{halt_id}"}),
    "GET /demo/": somewhere(OPERATOR, is_there=False),
    "POST /demo/break/": somewhere(OPERATOR, is_there=False),
    "POST /demo/take-back/": somewhere(OPERATOR, is_there=False),
    "GET /events/<slug:name>/": event(VIEWER),
    "POST /events/<slug:name>/approvals/<int:approval_id>/approve/": event(APPROVER, _DECIDE),
    "POST /events/<slug:name>/approvals/<int:approval_id>/reject/": event(APPROVER, _DECIDE),
    "POST /events/<slug:name>/approvals/<int:approval_id>/override/": event(APPROVER, _CHOICE),
    "POST /events/<slug:name>/approvals/<int:approval_id>/edit/": event(APPROVER, _CHOICE),
    "POST /events/<slug:name>/approvals/<int:approval_id>/hold/": event(OPERATOR, {"minutes": "10", "comment": "x"}),
    "POST /events/<slug:name>/approvals/<int:approval_id>/end-hold/": Row(VIEWER, AT_EVENT),  # nobody holds it
    "POST /events/<slug:name>/take-over/": event(OPERATOR, _HAND),
    "POST /events/<slug:name>/give-back/": event(OPERATOR, _HAND),
    "POST /events/<slug:name>/fixed/": event(OPERATOR, _HAND),
    "POST /events/<slug:name>/actions/<int:action_id>/undo/": Row(APPROVER, AT_EVENT, _HAND, is_there=False),
    "GET /approvals/": somewhere(VIEWER),
    "GET /approvals/group/": somewhere(VIEWER),
    "POST /approvals/group/": somewhere(APPROVER, _GROUP),
    "GET /audit/": everywhere(ADMIN),
    "GET /audit/export.<str:kind>": everywhere(ADMIN),
    "GET /policies/": somewhere(VIEWER),
    "GET /policies/<int:policy_id>/": event(VIEWER),
    "GET /warnings/": somewhere(VIEWER),
    "POST /warnings/<int:warning_id>/prepare/": event(OPERATOR),
    "POST /warnings/<int:warning_id>/dismiss/": event(OPERATOR, {"reason": "because", "comment": "because"}),
    "GET /events/<slug:name>/postmortem/": event(VIEWER),
    "GET /events/<slug:name>/postmortem.md": event(VIEWER),
    "GET /knowledge/": somewhere(VIEWER),
    "GET /knowledge/topics/": somewhere(VIEWER),
    "GET /knowledge/learned/": somewhere(VIEWER),
    "GET /knowledge/<slug:ref>/": somewhere(VIEWER, is_there=False),
    "GET /knowledge/notes/new/": somewhere(OPERATOR),
    "POST /knowledge/<slug:ref>/teach/": somewhere(OPERATOR, is_there=False),
    "GET /knowledge/<slug:ref>/edit/": somewhere(OPERATOR, is_there=False),
    "POST /knowledge/<slug:ref>/remove/": somewhere(OPERATOR, is_there=False),
    "POST /knowledge/topics/<int:topic_id>/rename/": everywhere(OPERATOR, is_there=False),
    "POST /knowledge/notices/<int:notice_id>/dismiss/": everywhere(OPERATOR, is_there=False),
    "GET /insight/": somewhere(VIEWER),
    "GET /map/": somewhere(VIEWER),
    "GET /map/<str:cluster>/<str:namespace>/<str:kind>/<str:name>/": Row(VIEWER, AT_EVENT, is_there=False),
    "GET /tokens/": Row(None, SIGNED_IN),
    "POST /tokens/<int:token_id>/revoke/": Row(ADMIN, OWNED),
    "GET /password/": Row(None, SIGNED_IN),
    "GET /password/changed/": Row(None, SIGNED_IN),
    "GET /oidc/<slug:provider_id>/login/": Row(None, PUBLIC, is_there=False),
    "GET /oidc/<slug:provider_id>/login/callback/": Row(None, PUBLIC, is_there=False),
}

#: The tests of access have no cluster to ask.
_NO_CLUSTER = 503
_API = "/api/v1"
API: dict[str, Row] = {
    f"GET {_API}/events": LISTED,
    f"POST {_API}/events": event(
        OPERATOR, {"target": {"kind": "Deployment", "namespace": "shop", "name": "orders"}, "message": "it is slow"}
    ),
    f"GET {_API}/events/{{name}}": event(VIEWER),
    f"POST {_API}/events/{{name}}/take-over": event(OPERATOR, {"reason": "because"}),
    f"POST {_API}/events/{{name}}/give-back": event(OPERATOR, {"reason": "because"}),
    f"POST {_API}/events/{{name}}/fixed": event(OPERATOR, {"what": "this"}),
    f"POST {_API}/events/{{name}}/actions/{{action_id}}/undo": Row(APPROVER, AT_EVENT, {"reason": "x"}, is_there=False),
    f"GET {_API}/approvals": LISTED,
    f"GET {_API}/approvals/groups": LISTED,
    f"POST {_API}/approvals/groups/approve": somewhere(APPROVER, {"approvals": [1], "digest": "{group_digest}"}),
    f"GET {_API}/approvals/{{approval_id}}": event(VIEWER),
    f"POST {_API}/approvals/{{approval_id}}/approve": event(APPROVER, _DECIDE),
    f"POST {_API}/approvals/{{approval_id}}/reject": event(APPROVER, {"comment": "because"}),
    f"POST {_API}/approvals/{{approval_id}}/override": event(APPROVER, {"strategyId": 1, "digest": "x"}),
    f"POST {_API}/approvals/{{approval_id}}/edit": event(APPROVER, {"parameters": [{}], "digest": "{digest}"}),
    f"POST {_API}/approvals/{{approval_id}}/hold": event(OPERATOR, {"seconds": 600, "reason": "because"}),
    f"DELETE {_API}/approvals/{{approval_id}}/hold": event(VIEWER),  # nobody holds it
    f"GET {_API}/autonomy": LISTED,
    f"GET {_API}/audit": everywhere(ADMIN),
    f"GET {_API}/audit/verify": everywhere(ADMIN),
    f"GET {_API}/audit/export.{{kind}}": everywhere(ADMIN),
    f"GET {_API}/brakes/halts": LISTED,
    f"POST {_API}/brakes/halts": everywhere(OPERATOR, {"reason": "stop", "cluster": "default"}),
    f"DELETE {_API}/brakes/halts/{{halt_id}}": everywhere(ADMIN),
    f"POST {_API}/brakes/circuit-resets": event(ADMIN, _OBJECT),
    f"GET {_API}/health": LISTED,
    f"GET {_API}/policies": LISTED,
    f"POST {_API}/policies": event(ADMIN, {"name": "new", "spec": {"targetNamespaces": ["shop"]}}),
    f"POST {_API}/policies/preview": LISTED,
    f"POST {_API}/policies/replay": LISTED,
    f"GET {_API}/policies/{{policy_id}}": event(VIEWER),
    f"PUT {_API}/policies/{{policy_id}}": event(ADMIN, _SPEC),
    f"PATCH {_API}/policies/{{policy_id}}": event(ADMIN, {"enabled": False}),
    f"DELETE {_API}/policies/{{policy_id}}": event(ADMIN),
    f"GET {_API}/policies/{{policy_id}}/revisions": event(VIEWER),
    f"POST {_API}/policies/{{policy_id}}/revisions/{{number}}/restore": Row(ADMIN, AT_EVENT, is_there=False),
    f"GET {_API}/warnings": LISTED,
    f"GET {_API}/warnings/{{warning_id}}": event(VIEWER),
    f"POST {_API}/warnings/{{warning_id}}/prepare": event(OPERATOR),
    f"POST {_API}/warnings/{{warning_id}}/dismiss": event(OPERATOR, {"reason": "because"}),
    f"GET {_API}/insight": LISTED,
    f"GET {_API}/insight/export.csv": LISTED,
    f"GET {_API}/knowledge/entries": LISTED,
    f"GET {_API}/knowledge/entries/{{ref}}": somewhere(VIEWER, is_there=False),
    f"POST {_API}/knowledge/entries/{{ref}}/lessons": somewhere(OPERATOR, _LESSON, is_there=False),
    f"POST {_API}/knowledge/notes": everywhere(OPERATOR, {"text": "a note", "title": "a note"}),
    f"PUT {_API}/knowledge/notes/{{ref}}": somewhere(OPERATOR, _NOTE, is_there=False),
    f"DELETE {_API}/knowledge/notes/{{ref}}": somewhere(OPERATOR, is_there=False),
    f"GET {_API}/knowledge/topics": LISTED,
    f"PUT {_API}/knowledge/topics/{{topic_id}}": everywhere(OPERATOR, {"name": "x"}, is_there=False),
    f"GET {_API}/knowledge/success": LISTED,
    f"GET {_API}/knowledge/postmortems/{{name}}": event(VIEWER),
    f"PUT {_API}/knowledge/postmortems/{{name}}": event(OPERATOR, {"markdown": "what happened", "version": 0}),
    f"GET {_API}/tokens": Row(None, SIGNED_IN),
    f"POST {_API}/tokens": Row(None, SIGNED_IN, {"name": "mine", "scopes": ["read"]}),
    f"DELETE {_API}/tokens/{{token_id}}": Row(ADMIN, OWNED),
    f"POST {_API}/webhooks/alertmanager": Row(None, BY_TOKEN, {"version": "4", "alerts": []}),
    f"GET {_API}/webhooks/alerts": LISTED,
}

SOCKETS: dict[str, Row] = {
    "/ws/now/": somewhere(VIEWER),
    "/ws/frame/": somewhere(VIEWER),
    "/ws/events/<slug:name>/": event(VIEWER),
}


def expected(row: Row, who: str) -> set[str]:
    """The verdicts that are right for this person."""
    past = {"in"} if row.is_there else {"hidden"}
    if row.where == PUBLIC:
        return past | {"login"} if who == "nobody" else past
    if who == "nobody" or row.where == BY_TOKEN:
        return {"login"}
    if row.where == SIGNED_IN:
        return past
    if row.where == LIST:
        return {"in", "out"} if who == "stranger" else past
    assert row.role is not None
    if who == "stranger":
        return {"out", "hidden"}
    if who == "elsewhere":
        return {SOMEWHERE: past, EVERYWHERE: {"out", "hidden"}}.get(row.where, {"out", "hidden"})
    if Role(who).rank >= row.role.rank:
        return past
    if row.where == OWNED:
        return {"hidden"}
    return {"out"} if row.is_there else {"out", "hidden"}  # who may not need not be told that it is not there


def filled(value: Any, names: dict[str, str]) -> Any:
    """``{name}`` replaced in every text."""
    if isinstance(value, dict):
        return {key: filled(item, names) for key, item in value.items()}
    if (isinstance(value, str) and value.startswith("{")) or (isinstance(value, str) and ":{" in value):
        return re.sub(r"\{(\w+)\}", lambda match: names[match[1]], value)
    return value


def content(response: HttpResponseBase) -> str:
    return "" if response.streaming else response.content.decode()  # type: ignore[attr-defined]


def wrong(table: dict[str, Row]) -> list[str]:
    """Every cell that is not as the table says."""
    people, names, found = world.people(), world.names(), []
    clients = {who: Client(raise_request_exception=False) for who in people}
    for who, user in people.items():
        if user is not None:
            clients[who].force_login(user)
    for key, row in table.items():
        method, path = key.split(" ", 1)
        address = re.sub(r"[<{](?:\w+:)?(\w+)[>}]", lambda match: names[match[1]], path)
        for who, client in clients.items():
            with world.undone():
                response = world.send(client, method, address, filled(row.body, names), is_api=path.startswith(_API))
            got, right = world.verdict(response), expected(row, who)
            if (response.status_code >= 500 and response.status_code != _NO_CLUSTER) or got not in right:
                found.append(f"{key} as {who}: {response.status_code} is {got!r}, not {sorted(right)}")
            elif who in ("stranger", "elsewhere") and got == "in" and names["name"] in content(response):
                found.append(f"{key} as {who}: shows an event of another namespace")
    return found


def test_every_address_is_in_the_table() -> None:
    assert world.pages() - {key.split(" ", 1)[1] for key in PAGES} == set(), "pages that nobody has decided about"
    assert world.operations() - set(API) == set(), "operations that nobody has decided about"
    assert world.sockets() == set(SOCKETS)


@pytest.mark.timeout(600)
def test_every_page_as_everybody() -> None:
    found = wrong(PAGES)
    assert not found, "\n".join(found)


@pytest.mark.timeout(600)
def test_every_operation_as_everybody() -> None:
    found = wrong(API)
    assert not found, "\n".join(found)
