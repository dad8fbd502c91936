"""Policies over HTTP: one schema, errors in the field's words, resources keep what is theirs."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from healing.access import Role
from healing.models import AuditEntry, Policy, RoleBinding
from healing.policies.spec import PolicySpec
from tests.api.conftest import Caller
from tests.dashboard import story

SPEC = {"targetNamespaces": ["shop"], "thresholds": {"cpu": 0.8}, "approval": {"mode": "always"}}


def test_a_policy_is_made_read_changed_and_deleted(as_admin: Caller, as_vera: Caller) -> None:
    status, made = as_admin("post", "/policies", {"name": "shop", "spec": SPEC})
    assert status == 201
    assert made["spec"]["thresholds"]["cpu"] == 0.8
    assert made["spec"]["limits"]["maxAttempts"] == 3, "defaults are filled in"
    assert made["revision"] == 1
    assert as_vera("get", f"/policies/{made['id']}") == (200, made)
    assert [item["id"] for item in as_vera("get", "/policies")[1]["items"]] == [made["id"]]
    change = {"enabled": False, "spec": {**SPEC, "paused": True}}
    as_admin.headers["If-Match"] = '"1"'
    status, changed = as_admin("put", f"/policies/{made['id']}", change)
    assert (status, changed["enabled"], changed["spec"]["paused"]) == (200, False, True)
    assert PolicySpec.model_validate(Policy.objects.get().spec).paused
    as_admin.headers["If-Match"] = '"2"'
    assert as_admin("delete", f"/policies/{made['id']}") == (204, None)
    assert not Policy.objects.exists()


@pytest.mark.parametrize("said", [{}, {"autonomy": "heal"}, {"autonomy": "propose"}])
def test_what_is_read_and_put_back_says_no_more_than_before(as_admin: Caller, said: dict[str, Any]) -> None:
    """An autonomy that nobody has chosen would end a cluster's first day of watching."""
    path = f"/policies/{as_admin('post', '/policies', {'name': 'shop', 'spec': {**SPEC, **said}})[1]['id']}"
    as_admin.headers["If-Match"] = "*"
    for method, changed in (("put", {}), ("put", {"paused": True}), ("patch", {"paused": False})):
        read = as_admin("get", path)[1]
        spec = changed if method == "patch" else {**read["spec"], **changed}
        body = {"spec": spec, "enabled": read["enabled"]}
        status, after = as_admin(method, path, body)
        assert (status, after["spec"]) == (200, {**read["spec"], **changed})
        assert Policy.objects.get().spec.get("autonomy") == said.get("autonomy")
    assert after["revision"] == 3, "the first of these changed nothing"
    status, after = as_admin("post", f"{path}/revisions/1/restore", {})
    assert (status, after["spec"].get("autonomy")) == (200, said.get("autonomy"))


def test_nobodys_change_is_lost(as_admin: Caller) -> None:
    path = f"/policies/{as_admin('post', '/policies', {'name': 'shop', 'spec': SPEC})[1]['id']}"
    status, problem = as_admin("put", path, {"spec": SPEC})
    assert (status, problem["type"]) == (428, "precondition-required")
    as_admin.headers["If-Match"] = '"1"'
    status, first = as_admin("patch", path, {"spec": {"thresholds": {"cpu": 0.7}, "limits": {"maxAttempts": 2}}})
    assert (status, first["revision"], first["spec"]["thresholds"]["cpu"]) == (200, 2, 0.7)
    assert first["spec"]["approval"]["mode"] == "always", "what a patch does not name stays"
    status, problem = as_admin("patch", path, {"spec": {"paused": True}})
    assert (status, problem["type"]) == (412, "changed-meanwhile")
    assert problem["changes"] == [
        {"field": "limits.maxAttempts", "before": 3, "after": 2},
        {"field": "thresholds.cpu", "before": 0.8, "after": 0.7},
    ]
    assert "by root (limits.maxAttempts, thresholds.cpu)" in problem["detail"]
    for text in ("7", '"seven"', '"-1"', '"\u0662"'):
        as_admin.headers["If-Match"] = text.encode().decode("latin-1")
        assert as_admin("patch", path, {"spec": {"paused": True}})[0] == 412, text
    assert as_admin("delete", path)[0] == 412
    as_admin.headers["If-Match"] = "*"
    assert as_admin("patch", path, {"spec": {"paused": True}})[0] == 200


def test_history_tells_who_and_what_and_brings_back(as_admin: Caller, as_vera: Caller) -> None:
    path = f"/policies/{as_admin('post', '/policies', {'name': 'shop', 'spec': SPEC})[1]['id']}"
    as_admin.headers["If-Match"] = "*"
    as_admin("patch", path, {"spec": {"thresholds": {"cpu": 0.7}}})
    as_admin("patch", path, {"enabled": False})
    status, restored = as_admin("post", f"{path}/revisions/1/restore", {})
    assert (status, restored["spec"]["thresholds"]["cpu"], restored["enabled"]) == (200, 0.8, True)
    items = as_vera("get", f"{path}/revisions")[1]["items"]
    assert [(i["number"], i["kind"], i["actor"], i["origin"]) for i in items] == [
        (4, "restored", "root", "app"),
        (3, "changed", "root", "app"),
        (2, "changed", "root", "app"),
        (1, "created", "root", "app"),
    ]
    assert items[0]["note"] == "As in revision 1."
    assert items[1]["changes"] == [{"field": "enabled", "before": True, "after": False}]
    assert as_admin("post", f"{path}/revisions/9/restore", {})[0] == 404
    entries = AuditEntry.objects.filter(target="shop").order_by("seq")
    assert [entry.action for entry in entries] == ["policy.created", *["policy.changed"] * 3]
    assert entries[1].actor == "root"
    assert entries[1].before["spec"]["thresholds"]["cpu"] == 0.8
    assert entries[1].after["spec"]["thresholds"]["cpu"] == 0.7


def test_a_name_is_taken_once(as_admin: Caller) -> None:
    body = {"name": "shop", "spec": SPEC}
    assert as_admin("post", "/policies", body)[0] == 201
    status, problem = as_admin("post", "/policies", body)
    assert (status, problem["type"]) == (409, "exists")


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "spec.targetNamespaces"),
        ({"targetNamespaces": []}, "spec.targetNamespaces"),
        ({"targetNamespaces": ["*"]}, "spec.targetNamespaces.0"),
        ({"targetNamespaces": ["a", "a"]}, "spec.targetNamespaces"),
        ({**SPEC, "targetLabels": {"app": "*"}}, "spec.targetLabels"),
        ({**SPEC, "thresholds": {"cpu": 1.5}}, "spec.thresholds.cpu"),
        ({**SPEC, "thresholds": {"gpu": 0.5}}, "spec.thresholds.gpu"),
        ({**SPEC, "allowedActions": ["reboot"]}, "spec.allowedActions.0"),
        ({**SPEC, "approval": {"mode": "sometimes"}}, "spec.approval.mode"),
        ({**SPEC, "limits": {"maxAttempts": "many"}}, "spec.limits.maxAttempts"),
        ({**SPEC, "wishes": 3}, "spec.wishes"),
    ],
)
def test_errors_name_the_field_as_it_is_written(as_admin: Caller, spec: dict[str, Any], field: str) -> None:
    as_admin.headers["If-Match"] = "*"
    for method, path, body in (
        ("post", "/policies", {"name": "x", "spec": spec}),
        ("put", f"/policies/{story.policy().pk}", {"spec": spec}),
    ):
        status, problem = as_admin(method, path, body)
        assert status == 422
        assert field in {error["field"] for error in problem["errors"]}, problem


@pytest.mark.parametrize("name", ["", "Shop", "a b", "x" * 254, "-x", None, 7])
def test_a_bad_name_is_refused(as_admin: Caller, name: object) -> None:
    assert as_admin("post", "/policies", {"name": name, "spec": SPEC})[0] == 422


def test_changing_policies_is_an_admins(as_alice: Caller) -> None:
    policy = story.policy()
    as_alice.headers["If-Match"] = "*"
    for method, path, body in (
        ("post", "/policies", {"name": "x", "spec": SPEC}),
        ("put", f"/policies/{policy.pk}", {"spec": SPEC}),
        ("patch", f"/policies/{policy.pk}", {"enabled": False}),
        ("delete", f"/policies/{policy.pk}", None),
    ):
        status, problem = as_alice(method, path, body)
        assert (status, problem["type"]) == (403, "forbidden"), method
        assert "Ask an admin" in problem["detail"]


def test_an_admin_of_one_namespace_keeps_to_it(as_alice: Caller, alice: User) -> None:
    RoleBinding.objects.create(user=alice, role=Role.ADMIN, namespace="shop")
    as_alice.headers["If-Match"] = "*"
    status, made = as_alice("post", "/policies", {"name": "shop", "spec": SPEC})
    assert status == 201
    grab = {"spec": {"targetNamespaces": ["shop", "bank"]}}
    assert as_alice("patch", f"/policies/{made['id']}", grab)[0] == 403
    assert as_alice("post", "/policies", {"name": "all", "spec": {"targetNamespaces": ["bank"]}})[0] == 403
    assert as_alice("patch", f"/policies/{made['id']}", {"spec": {"paused": True}})[0] == 200


@pytest.mark.parametrize("pk", [0, 10**6, 10**30])
def test_unknown_policies(as_admin: Caller, pk: int) -> None:
    as_admin.headers["If-Match"] = "*"
    assert as_admin("get", f"/policies/{pk}")[0] == 404
    assert as_admin("put", f"/policies/{pk}", {"spec": SPEC})[0] == 404
    assert as_admin("delete", f"/policies/{pk}")[0] == 404
