"""The official Python client, unchanged, with the kubeconfig the sandbox writes."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

from tests.sandbox_api.running import ADMIN, RunningApi


@pytest.fixture(scope="module")
def connection(api: RunningApi, tmp_path_factory: pytest.TempPathFactory) -> client.ApiClient:
    path = api.kubeconfig(tmp_path_factory.mktemp("client"))
    made: client.ApiClient = config.new_client_from_config(config_file=str(path))
    return made


def _deployment(name: str = "web") -> dict[str, Any]:
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": name, "image": "registry.local/web:1.0"}]},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels}, "spec": spec}


def test_deployments_are_created_patched_and_scaled(connection: client.ApiClient, space: str) -> None:
    apps: Any = client.AppsV1Api(connection)
    created = apps.create_namespaced_deployment(space, _deployment(), field_manager="tester")
    assert created.spec.strategy.rolling_update.max_surge == "25%"
    assert created.metadata.managed_fields[0].manager == "tester"
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "registry.local/web:2.0"}]}}}}
    patched = apps.patch_namespaced_deployment("web", space, patch)
    assert patched.spec.template.spec.containers[0].image == "registry.local/web:2.0"
    assert patched.metadata.generation == 2
    dry = apps.patch_namespaced_deployment_scale("web", space, {"spec": {"replicas": 9}}, dry_run="All")
    assert dry.spec.replicas == 9
    assert apps.read_namespaced_deployment_scale("web", space).spec.replicas == 1
    apps.patch_namespaced_deployment_scale("web", space, {"spec": {"replicas": 3}})
    assert apps.read_namespaced_deployment("web", space).spec.replicas == 3
    apps.delete_namespaced_deployment("web", space)
    with pytest.raises(ApiException) as gone:
        apps.read_namespaced_deployment("web", space)
    assert (gone.value.status, gone.value.reason) == (404, "Not Found")


def test_an_old_version_conflicts(connection: client.ApiClient, space: str) -> None:
    core: Any = client.CoreV1Api(connection)
    first = core.create_namespaced_config_map(space, {"metadata": {"name": "c"}, "data": {"k": "1"}})
    core.patch_namespaced_config_map("c", space, {"data": {"k": "2"}})
    first.data = {"k": "3"}
    with pytest.raises(ApiException) as conflict:
        core.replace_namespaced_config_map("c", space, first)
    assert conflict.value.status == 409
    current = core.read_namespaced_config_map("c", space)
    current.data = {"k": "3"}
    assert core.replace_namespaced_config_map("c", space, current).data == {"k": "3"}


def test_pages_and_watches(connection: client.ApiClient, space: str) -> None:
    core: Any = client.CoreV1Api(connection)
    for index in range(5):
        core.create_namespaced_config_map(space, {"metadata": {"name": f"c{index}", "labels": {"set": "x"}}})
    page = core.list_namespaced_config_map(space, limit=2, label_selector="set=x")
    names = [item.metadata.name for item in page.items]
    while page.metadata._continue:
        page = core.list_namespaced_config_map(
            space, limit=2, label_selector="set=x", _continue=page.metadata._continue
        )
        names += [item.metadata.name for item in page.items]
    assert names == [f"c{index}" for index in range(5)]
    core.delete_namespaced_config_map("c0", space)
    seen = [
        (event["type"], event["object"].metadata.name)
        for event in watch.Watch().stream(
            core.list_namespaced_config_map,
            space,
            label_selector="set=x",
            resource_version=page.metadata.resource_version,
            timeout_seconds=1,
        )
    ]
    assert seen == [("DELETED", "c0")]


def test_server_side_apply_and_the_dynamic_client(connection: client.ApiClient, space: str) -> None:
    dynamic_client: Any = dynamic.DynamicClient(connection)
    deployments = dynamic_client.resources.get(api_version="apps/v1", kind="Deployment")
    body = _deployment()
    deployments.server_side_apply(body=body, name="web", namespace=space, field_manager="gitops")
    other = {**body, "spec": {**body["spec"], "replicas": 5}}
    with pytest.raises(ApiException) as conflict:
        deployments.server_side_apply(body=other, name="web", namespace=space, field_manager="someone")
    assert conflict.value.status == 409
    assert 'conflict with \\"gitops\\": .spec.replicas' in str(conflict.value.body)
    applied = deployments.server_side_apply(
        body=other, name="web", namespace=space, field_manager="someone", force_conflicts=True
    )
    assert applied.spec.replicas == 5


def test_evictions_respect_budgets(connection: client.ApiClient, api: RunningApi, space: str) -> None:
    core: Any = client.CoreV1Api(connection)

    def fill() -> None:
        pod = {
            "metadata": {"name": "p", "labels": {"app": "p"}},
            "spec": {"nodeName": "n", "containers": [{"name": "a", "image": "x"}]},
        }
        api.server.create("pods", space, pod, user=ADMIN)
        running = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        api.server.mutate("pods", space, "p", lambda obj: obj.update(status=running), user=ADMIN, subresource="status")
        budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}}}
        api.server.create("poddisruptionbudgets.policy", space, budget, user=ADMIN)

    api.call(fill)
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name="p", namespace=space))
    with pytest.raises(ApiException) as blocked:
        core.create_namespaced_pod_eviction("p", space, eviction)
    assert blocked.value.status == 429


def test_a_restricted_token(api: RunningApi, connection: client.ApiClient, space: str) -> None:
    """A ServiceAccount's token may do what its Role says, and is told what it may not."""
    rbac: Any = client.RbacAuthorizationV1Api(connection)
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
    rbac.create_namespaced_role(space, {"metadata": {"name": "r"}, "rules": [rule]})
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": space}
    reference = {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
    rbac.create_namespaced_role_binding(space, {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [subject]})
    core: Any = client.CoreV1Api(connection)
    token = core.create_namespaced_service_account_token("default", space, {"spec": {"expirationSeconds": 600}})
    settings = client.Configuration(host=api.url)
    settings.api_key["authorization"] = f"Bearer {token.status.token}"
    with client.ApiClient(settings) as restricted:
        mine: Any = client.CoreV1Api(restricted)
        assert mine.list_namespaced_pod(space).items == []
        with pytest.raises(ApiException) as forbidden:
            mine.delete_namespaced_pod("p", space)
        assert forbidden.value.status == 403
        assert "cannot delete resource" in str(forbidden.value.body)
        reviews: Any = client.AuthorizationV1Api(restricted)
        review = reviews.create_self_subject_access_review(
            {"spec": {"resourceAttributes": {"namespace": space, "verb": "list", "resource": "pods"}}}
        )
        assert review.status.allowed


def test_events_in_both_groups(connection: client.ApiClient, api: RunningApi, space: str) -> None:
    about = api.call(lambda: api.server.create("configmaps", space, {"metadata": {"name": "c"}}, user=ADMIN))
    api.call(
        lambda: api.server.record_event(about, type="Normal", reason="Seen", message="it was seen", component="kubelet")
    )
    core: Any = client.CoreV1Api(connection)
    old = core.list_namespaced_event(space, field_selector="reason=Seen").items[0]
    assert (old.message, old.involved_object.name, old.count) == ("it was seen", "c", 1)
    # The client's own model refuses the null eventTime that real servers send here.
    new = api.http.get(f"/apis/events.k8s.io/v1/namespaces/{space}/events").json()["items"][0]
    assert (new["note"], new["regarding"]["name"], new["deprecatedCount"]) == ("it was seen", "c", 1)
