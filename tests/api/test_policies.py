"""Policies over HTTP: one schema, errors in the field's words, resources keep what is theirs."""

from __future__ import annotations

from typing import Any

import pytest

from healing.models import Policy
from healing.policies.spec import PolicySpec
from tests.api.conftest import Caller
from tests.dashboard import story

SPEC = {"targetNamespaces": ["shop"], "thresholds": {"cpu": 0.8}, "approval": {"mode": "always"}}


def test_a_policy_is_made_read_changed_and_deleted(as_admin: Caller, as_vera: Caller) -> None:
    status, made = as_admin("post", "/policies", {"name": "shop", "spec": SPEC})
    assert status == 201
    assert made["spec"]["thresholds"]["cpu"] == 0.8
    assert made["spec"]["limits"]["maxAttempts"] == 3, "defaults are filled in"
    assert as_vera("get", f"/policies/{made['id']}") == (200, made)
    assert [item["id"] for item in as_vera("get", "/policies")[1]["items"]] == [made["id"]]
    change = {"enabled": False, "spec": {**SPEC, "paused": True}}
    status, changed = as_admin("put", f"/policies/{made['id']}", change)
    assert (status, changed["enabled"], changed["spec"]["paused"]) == (200, False, True)
    assert PolicySpec.model_validate(Policy.objects.get().spec).paused
    assert as_admin("delete", f"/policies/{made['id']}") == (204, None)
    assert not Policy.objects.exists()


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


def test_a_policy_of_the_cluster_belongs_to_its_resource(as_admin: Caller) -> None:
    policy = story.policy()
    Policy.objects.filter(pk=policy.pk).update(source=Policy.Source.CLUSTER)
    for method, body in (("put", {"spec": SPEC}), ("delete", None)):
        status, problem = as_admin(method, f"/policies/{policy.pk}", body)
        assert (status, problem["type"]) == (409, "owned-by-cluster")
        assert "kubectl edit shp shop -n shop" in problem["detail"]
    assert Policy.objects.get().spec == policy.spec


def test_changing_policies_needs_the_permission(as_alice: Caller) -> None:
    policy = story.policy()
    assert as_alice("post", "/policies", {"name": "x", "spec": SPEC})[0] == 403
    assert as_alice("put", f"/policies/{policy.pk}", {"spec": SPEC})[0] == 403
    assert as_alice("delete", f"/policies/{policy.pk}")[0] == 403


@pytest.mark.parametrize("pk", [0, 10**6, 10**30])
def test_unknown_policies(as_admin: Caller, pk: int) -> None:
    assert as_admin("get", f"/policies/{pk}")[0] == 404
    assert as_admin("put", f"/policies/{pk}", {"spec": SPEC})[0] == 404
    assert as_admin("delete", f"/policies/{pk}")[0] == 404
