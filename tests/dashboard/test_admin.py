"""The admin site: the policy form is the schema, resources and records cannot be written."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from healing.admin.policy_form import PolicyForm
from healing.admin.spec_fields import form_fields, leaves, to_data, to_initial
from healing.models import HealingEvent, Policy
from healing.policies.spec import PolicySpec
from recist_web.clusters import ClusterTarget
from tests.dashboard import story

ADD = "/admin/healing/policy/add/"


@pytest.fixture
def admin(db: None, client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def filled(**changes: Any) -> dict[str, Any]:
    """The form as a browser sends it after somebody filled in the namespace."""
    values = to_initial(PolicySpec(target_namespaces=["shop"]))
    data = {name: value for name, value in values.items() if value not in (None, False)}
    return {"name": "shop", "namespace": "", "enabled": "on", **data, **changes}


def test_the_form_has_every_field_of_the_schema_and_keeps_its_values(db: None) -> None:
    assert len(form_fields(PolicySpec)) == sum(1 for _ in leaves(PolicySpec)) > 30
    spec = PolicySpec.model_validate(
        {
            "targetNamespaces": ["a", "b"],
            "targetLabels": {"app": "x", "tier": "y"},
            "thresholds": {"cpu": None, "latencyMs": 250},
            "allowedActions": ["restart", "evict"],
            "containment": {"pauseRollouts": False},
        }
    )
    form = PolicyForm(data={k: v for k, v in {**filled(), **to_initial(spec)}.items() if v not in (None, False)})
    form.is_valid()
    assert PolicySpec.model_validate(to_data(PolicySpec, form.cleaned_data)) == spec


def test_a_policy_is_made_and_changed(admin: Client) -> None:
    response = admin.post(ADD, filled(approval__mode="always"))
    assert response.status_code == 302, response.context["errors"]
    policy = Policy.objects.get()
    assert (policy.source, policy.parsed().approval.mode) == ("admin", "always")
    change = reverse("admin:healing_policy_change", args=[policy.pk])
    page = admin.get(change).content.decode()
    assert 'name="thresholds__cpu"' in page
    assert admin.post(change, filled(target_namespaces="shop, media", thresholds__cpu="")).status_code == 302
    policy.refresh_from_db()
    assert policy.parsed().target_namespaces == ["shop", "media"]
    assert policy.parsed().thresholds.cpu is None


def test_of_several_clusters_one_is_chosen(admin: Client, settings: Settings) -> None:
    assert 'name="cluster"' not in admin.get(ADD).content.decode()
    settings.CLUSTERS = {name: ClusterTarget(name) for name in ("default", "eu", "us")}
    assert 'name="cluster"' in admin.get(ADD).content.decode()
    assert admin.post(ADD, filled(cluster="eu")).status_code == 302
    assert admin.post(ADD, filled(cluster="us")).status_code == 302
    assert admin.post(ADD, filled(cluster="us")).status_code == 200  # there is one of that name
    assert admin.post(ADD, filled(cluster="mars")).status_code == 200
    assert set(Policy.objects.values_list("cluster", "name")) == {("eu", "shop"), ("us", "shop")}
    policy = Policy.objects.get(cluster="eu")
    change = reverse("admin:healing_policy_change", args=[policy.pk])
    assert admin.post(change, filled(cluster="us", target_namespaces="media")).status_code == 302
    policy.refresh_from_db()
    assert (policy.cluster, policy.parsed().target_namespaces) == ("eu", ["media"])


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"target_namespaces": ""}, "target_namespaces", "required"),
        ({"target_namespaces": "*"}, "target_namespaces", "'*'"),
        ({"target_labels": "app=*"}, "target_labels", "wildcard"),
        ({"target_labels": "app"}, "target_labels", "empty"),
        ({"thresholds__cpu": "1.5"}, "thresholds__cpu", "less than or equal to 1"),
        ({"thresholds__cpu": "nan"}, "thresholds__cpu", "number"),
        ({"thresholds__cpu": "many"}, "thresholds__cpu", "number"),
        ({"limits__max_attempts": "0"}, "limits__max_attempts", "greater than or equal to 1"),
        ({"approval__mode": "sometimes"}, "approval__mode", "valid choice"),
        ({"allowed_actions": ["reboot"]}, "allowed_actions", "valid choice"),
        ({"name": ""}, "name", "required"),
    ],
)
def test_a_wrong_value_is_refused_at_its_field(admin: Client, change: dict[str, Any], field: str, says: str) -> None:
    response = admin.post(ADD, filled(**change))
    assert response.status_code == 200
    errors = response.context["adminform"].form.errors
    assert says in " ".join(errors[field]), errors
    assert not Policy.objects.exists()


def test_a_name_that_is_taken_is_said_to_be(admin: Client) -> None:
    assert admin.post(ADD, filled()).status_code == 302
    response = admin.post(ADD, filled())
    assert "already" in " ".join(response.context["adminform"].form.errors["name"])


def test_what_a_gitops_tool_owns_is_read_only_and_says_why(admin: Client) -> None:
    policy = story.policy()
    Policy.objects.filter(pk=policy.pk).update(source=Policy.Source.CLUSTER, managed_by="Argo CD payments")
    change = reverse("admin:healing_policy_change", args=[policy.pk])
    page = admin.get(change).content.decode()
    assert "managed by Argo CD payments" in page
    assert "Change it in the repository" in page
    assert 'name="_save"' not in page
    assert "_tryout" not in page
    assert admin.post(change, filled()).status_code == 403
    assert admin.post(reverse("admin:healing_policy_delete", args=[policy.pk]), {"post": "yes"}).status_code == 403
    admin.post("/admin/healing/policy/", {"action": "delete_selected", "_selected_action": [policy.pk], "post": "yes"})
    assert Policy.objects.get().spec == policy.spec


def test_records_can_be_inspected_and_not_written(admin: Client, told: dict[str, HealingEvent]) -> None:
    event = told["healed"]
    rows = {
        "healingevent": event,
        "approval": event.approvals.get(),
        "strategy": event.strategies.first(),
        "actionrun": event.actions.get(),
        "timelineentry": event.timeline.first(),
    }
    for model, row in rows.items():
        assert row is not None
        assert admin.get(f"/admin/healing/{model}/").status_code == 200
        assert admin.get(f"/admin/healing/{model}/{row.pk}/change/").status_code == 200
        assert admin.get(f"/admin/healing/{model}/add/").status_code == 403
        assert admin.post(f"/admin/healing/{model}/{row.pk}/change/", {"state": "x"}).status_code == 403
        assert admin.post(f"/admin/healing/{model}/{row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_staff_without_the_permission_may_look(client: Client, db: None) -> None:
    user = User.objects.create_user("sam", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_policy"))
    client.force_login(user)
    policy = story.policy()
    change = reverse("admin:healing_policy_change", args=[policy.pk])
    assert client.get(change).status_code == 200
    assert client.post(change, filled()).status_code == 403
