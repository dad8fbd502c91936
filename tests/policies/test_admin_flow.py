"""The admin over a live cluster: try out, save, conflicts, what others changed meanwhile, history and restore."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from healing.admin.spec_fields import to_initial
from healing.audit import Actor
from healing.cluster.kubernetes import KubernetesCluster
from healing.models import Policy, PolicyRevision, RoleBinding
from healing.policies.spec import PolicySpec
from healing.policy_changes import rows, service
from tests.dashboard import story
from tests.parts.kubectl import Kubectl

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def posted(spec: PolicySpec, **changes: Any) -> dict[str, Any]:
    values = {name: value for name, value in to_initial(spec).items() if value not in (None, False)}
    return {"name": "shop", "namespace": "", "enabled": "on", **values, **changes}


def text(response: Any) -> str:
    return re.sub(r"\s+", " ", response.content.decode())


def change_url(policy: Policy) -> str:
    return reverse("admin:healing_policy_change", args=[policy.pk])


def workload(live: KubernetesCluster, namespace: str, name: str, labels: dict[str, str]) -> None:
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "x"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    live.create("Deployment", namespace, {"metadata": {"name": name}, "spec": spec})


def test_trying_out_shows_workloads_and_decisions_and_saves_nothing(
    joined: str, namespace: str, admin: Client, live: KubernetesCluster
) -> None:
    told = story.tell_all(datetime.now(UTC), story.approver())
    policy = story.policy()
    workload(live, namespace, "cart", {"app": "cart", "tier": "front"})
    workload(live, namespace, "ledger", {"app": "ledger"})
    before = (policy.spec, policy.revision, PolicyRevision.objects.count())
    spec = PolicySpec(target_namespaces=["shop", namespace])
    url = change_url(policy)
    page = text(admin.post(url, posted(spec, _tryout="1", revision=policy.revision)))
    assert "Workloads it covers now: 2" in page
    assert f"Deployment {namespace}/<strong>cart</strong>" in page
    assert "<code>targetNamespaces</code>" in page
    assert "There is no namespace shop in the cluster" in page
    assert f"0 of {len(told)} would come out differently" in page
    # Narrower: only one of them; and less is done unasked.
    narrow = spec.model_copy(update={"target_labels": {"tier": "front"}})
    page = text(admin.post(url, posted(narrow, _tryout="1")))
    assert "Workloads it covers now: 1" in page
    page = text(admin.post(url, posted(spec, _tryout="1", autonomy="observe")))
    assert "only diagnosed" in page
    assert f"0 of {len(told)} would come out differently" not in page
    assert "The recorded evaluation under it: 0 of" not in page
    policy.refresh_from_db()
    assert (policy.spec, policy.revision, PolicyRevision.objects.count()) == before


def test_a_policy_made_here_becomes_a_resource_and_is_edited_there(
    joined: str, namespace: str, admin: Client, live: KubernetesCluster
) -> None:
    spec = PolicySpec(target_namespaces=[namespace])
    response = admin.post("/admin/healing/policy/add/", posted(spec, namespace=namespace), follow=True)
    assert f"Its SelfHealingPolicy resource is {namespace}/shop" in text(response)
    assert live.get("SelfHealingPolicy", namespace, "shop")["spec"] == {"targetNamespaces": [namespace]}
    policy = Policy.objects.get()
    response = admin.post(change_url(policy), posted(spec, limits__max_attempts="5", revision=1), follow=True)
    assert "was changed in its resource" in text(response)
    assert live.get("SelfHealingPolicy", namespace, "shop")["spec"]["limits"] == {"maxAttempts": 5}


def test_conflicts_are_shown_and_taken_over_by_tick(
    joined: str, applied: str, admin: Client, live: KubernetesCluster
) -> None:
    policy = rows.store(joined, live.get("SelfHealingPolicy", applied, "shop"))
    data = posted(policy.parsed(), thresholds__cpu="0.7", revision=policy.revision)
    page = text(admin.post(change_url(policy), data))
    assert "Others have set these fields" in page
    assert "kubectl-client-side-apply" in page
    assert "<code>0.8</code>" in page
    assert "<code>0.7</code>" in page
    assert live.get("SelfHealingPolicy", applied, "shop")["spec"]["thresholds"] == {"cpu": 0.8}
    assert admin.post(change_url(policy), {**data, "take_over": "thresholds.cpu"}).status_code == 302
    assert live.get("SelfHealingPolicy", applied, "shop")["spec"]["thresholds"] == {"cpu": 0.7}


def test_what_somebody_else_changed_is_kept_and_said(
    joined: str, applied: str, admin: Client, live: KubernetesCluster, kubectl: Kubectl
) -> None:
    policy = rows.store(joined, live.get("SelfHealingPolicy", applied, "shop"))
    kubectl("patch", "shp", "shop", "-n", applied, "--type=merge", "-p", '{"spec": {"autonomy": "propose"}}')
    response = admin.post(change_url(policy), posted(policy.parsed(), limits__max_attempts="5", revision="1"))
    page = text(response)
    assert "was changed by kubectl-patch (autonomy) since you opened it" in page
    form = response.context["adminform"].form
    assert (form.initial["autonomy"], form.initial["limits__max_attempts"], form.initial["revision"]) == (
        "propose",
        5,
        2,
    )
    assert "limits" not in live.get("SelfHealingPolicy", applied, "shop")["spec"]


def test_an_outage_loses_nothing_that_was_typed(
    joined: str, applied: str, admin: Client, live: KubernetesCluster, settings: Any
) -> None:
    from recist_web.clusters import ClusterTarget

    policy = rows.store(joined, live.get("SelfHealingPolicy", applied, "shop"))
    settings.CLUSTERS = {joined: ClusterTarget(joined, kubeconfig=settings.VAR_DIR / "no-such-kubeconfig")}
    page = text(admin.post(change_url(policy), posted(policy.parsed(), limits__max_attempts="7", revision="1")))
    assert "does not answer, so nothing was changed" in page
    assert re.search(r'name="limits__max_attempts" value="7"|value="7"[^>]*name="limits__max_attempts"', page)


def test_history_shows_who_and_brings_back(admin: Client) -> None:
    place = service.Place("default", "", "shop")
    actor = Actor("person", "root")
    made = service.create(place, PolicySpec(target_namespaces=["shop"]), enabled=True, actor=actor)
    later = made.policy.parsed().model_copy(update={"paused": True})
    service.change(made.policy.pk, later, enabled=True, actor=Actor("person", "eve"), revision=1)
    history = reverse("admin:healing_policy_history", args=[made.policy.pk])
    page = text(admin.get(history))
    assert "2 · changed by eve here" in page
    assert "<code>paused</code>" in page
    assert "?restore=1" in page
    response = admin.get(change_url(made.policy) + "?restore=1")
    assert "The values of revision 1 are filled in" in text(response)
    assert response.context["adminform"].form.initial["paused"] is False
    data = posted(made.policy.parsed(), restored="1", revision="2")
    assert admin.post(change_url(made.policy), data).status_code == 302
    newest = PolicyRevision.objects.filter(policy=made.policy).first()
    assert newest is not None
    assert (newest.kind, newest.note, newest.spec["paused"]) == ("restored", "As in revision 1.", False)
    assert admin.get(change_url(made.policy) + "?restore=99").status_code == 404
    assert admin.get(history.replace(str(made.policy.pk), "99999")).status_code == 302


def test_an_admin_of_one_namespace_keeps_to_it(client: Client) -> None:
    user = User.objects.create_user("sam", is_staff=True)
    RoleBinding.objects.create(user=user, role="admin", namespace="shop")
    client.force_login(user)
    url = "/admin/healing/policy/add/"
    assert client.post(url, posted(PolicySpec(target_namespaces=["shop"]))).status_code == 302
    response = client.post(url, posted(PolicySpec(target_namespaces=["shop", "bank"]), name="more"))
    assert "Ask an admin" in text(response)
    theirs = story.policy("bank", "bank")
    assert client.post(change_url(theirs), posted(PolicySpec(target_namespaces=["shop"]))).status_code == 403
    assert Policy.objects.count() == 2
