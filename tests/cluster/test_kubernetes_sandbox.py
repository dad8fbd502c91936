"""The adapter against a whole API server: the embedded cluster."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import pytest
import yaml

from healing.cluster import crds, transport
from healing.cluster.config import ClusterConfig
from healing.cluster.kubernetes import KubernetesCluster
from healing.ports import errors
from healing.ports.cluster import Object
from tests.cluster.sandbox import RunningSandbox, eventually
from tests.cluster.users import Admin


def deployment(name: str, replicas: int = 2, image: str = "registry.example.com/shop/web:1.0") -> Object:
    labels = {"app": name}
    container = {"name": "web", "image": image}
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def test_create_patch_scale_and_delete(live: KubernetesCluster, namespace: str) -> None:
    created = live.create("Deployment", namespace, deployment("web"))
    assert created["metadata"]["generation"] == 1
    scaled = live.patch("Deployment", namespace, "web", {"spec": {"replicas": 1}}, subresource="scale")
    assert scaled["kind"] == "Scale"
    patched = live.patch("Deployment", namespace, "web", {"metadata": {"labels": {"a": "b"}}}, patch_type="strategic")
    assert patched["metadata"]["labels"]["a"] == "b"
    dry = live.patch("Deployment", namespace, "web", {"spec": {"replicas": 9}}, dry_run=True)
    assert dry["spec"]["replicas"] == 9
    assert live.get("Deployment", namespace, "web")["spec"]["replicas"] == 1
    live.delete("Deployment", namespace, "web", uid=created["metadata"]["uid"])
    with pytest.raises(errors.NotFound):
        live.get("Deployment", namespace, "web")


def test_preconditions(live: KubernetesCluster, namespace: str) -> None:
    made = live.create("ConfigMap", namespace, {"metadata": {"name": "c"}, "data": {"a": "1"}})
    with pytest.raises(errors.AlreadyExists):
        live.create("ConfigMap", namespace, {"metadata": {"name": "c"}})
    live.patch("ConfigMap", namespace, "c", {"data": {"a": "2"}})
    stale = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"a": "3"}}
    with pytest.raises(errors.Conflict):
        live.patch("ConfigMap", namespace, "c", stale)
    with pytest.raises(errors.Conflict):
        live.delete("ConfigMap", namespace, "c", uid="00000000-0000-0000-0000-000000000000")
    live.create("ConfigMap", namespace, {"metadata": {"name": "d"}, "data": {"a": "1"}})
    with pytest.raises(errors.Conflict, match="recist"):  # an update owns the field, not an apply
        live.patch("ConfigMap", namespace, "d", {"data": {"a": "2"}}, patch_type="apply")
    live.patch("ConfigMap", namespace, "d", {"data": {"a": "2"}}, patch_type="apply", force=True)
    assert live.get("ConfigMap", namespace, "d")["data"] == {"a": "2"}


def test_eviction_obeys_a_budget(live: KubernetesCluster, namespace: str) -> None:
    live.create("Deployment", namespace, deployment("web"))
    budget = {"metadata": {"name": "web"}, "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}}}
    live.create("PodDisruptionBudget", namespace, budget)

    def ready() -> list[Object]:
        pods = live.list("Pod", namespace, label_selector="app=web").items
        conditions = [(pod, c) for pod in pods for c in pod["status"].get("conditions", ())]
        return [pod for pod, c in conditions if (c["type"], c["status"]) == ("Ready", "True")]

    eventually(lambda: len(ready()) == 2)
    eventually(lambda: live.get("PodDisruptionBudget", namespace, "web")["status"].get("currentHealthy") == 2)
    victim = ready()[0]["metadata"]
    with pytest.raises(errors.DisruptionBudgetExceeded, match="web"):
        live.evict(namespace, victim["name"], uid=victim["uid"], dry_run=True)
    live.patch("PodDisruptionBudget", namespace, "web", {"spec": {"minAvailable": 1}})
    eventually(lambda: live.get("PodDisruptionBudget", namespace, "web")["status"].get("disruptionsAllowed") == 1)
    live.evict(namespace, victim["name"], uid=victim["uid"])
    eventually(lambda: victim["name"] not in {pod["metadata"]["name"] for pod in ready()})
    assert isinstance(live.pod_logs(namespace, ready()[0]["metadata"]["name"], "web"), str)


def test_a_watch_tells_what_happens_and_stops_when_told(live: KubernetesCluster, namespace: str) -> None:
    version = live.list("ConfigMap", namespace).resource_version
    stop = threading.Event()
    seen: list[tuple[str, str, str]] = []

    def watch() -> None:
        stream = live.watch("ConfigMap", namespace, resource_version=version, stop=stop)
        seen.extend((event.type, event.object["metadata"]["name"], event.object["kind"]) for event in stream)

    thread = threading.Thread(target=watch)
    thread.start()
    live.create("ConfigMap", namespace, {"metadata": {"name": "x"}})
    live.delete("ConfigMap", namespace, "x")
    eventually(lambda: len(seen) == 2)
    assert seen == [("ADDED", "x", "ConfigMap"), ("DELETED", "x", "ConfigMap")]
    started = time.monotonic()
    stop.set()
    thread.join(60)
    assert time.monotonic() - started < 10.0  # a watch lasts for minutes


def test_our_resource_types_are_served_and_checked(live: KubernetesCluster, namespace: str) -> None:
    assert crds.apply(live) == ["healingevents.recist.io", "selfhealingpolicies.recist.io"]
    seed: Object = {
        "targetNamespaces": ["default"],
        "thresholds": {"cpu": 0.9, "memory": 0.85, "latencyMs": 500, "errorRate": 0.05},
        "allowedActions": ["restart", "scale"],
        "llmConfig": {"provider": "claude", "model": "claude-3-sonnet-20240229", "apiKeySecret": "llm-api-key"},
    }
    created = live.create("SelfHealingPolicy", namespace, {"metadata": {"name": "default-policy"}, "spec": seed})
    assert created["spec"] == seed
    wrongs: list[Object] = [
        {"targetNamespaces": []},
        seed | {"allowedActions": ["rm"]},
        seed | {"thresholds": {"cpu": 90}},
    ]
    for wrong in wrongs:
        with pytest.raises(errors.Invalid):
            live.create("SelfHealingPolicy", namespace, {"metadata": {"name": "wrong"}, "spec": wrong})


def test_permissions_and_versions(live: KubernetesCluster) -> None:
    assert live.can_i("delete", "Pod", "default")
    assert live.version().startswith("v1.")
    assert live.list("ClusterRole").resource_version


def test_a_token_that_the_server_takes_no_more_is_told_and_a_new_one_in_the_file_goes_on(
    sandbox: RunningSandbox,
    live: KubernetesCluster,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a ServiceAccount that is made anew: the tokens of the old one end at once, those of the new one are others."""
    monkeypatch.setattr(transport, "_RELOAD_AT_MOST_EVERY_SECONDS", 0.3)
    admin = Admin(sandbox, tmp_path)
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}]
    config = yaml.safe_load(admin.user("healer", (namespace,), rules).read_text())
    token = tmp_path / "token"
    token.write_text(config["users"][0]["user"].pop("token"))
    config["users"][0]["user"]["tokenFile"] = str(token)
    path = tmp_path / "by-file"
    path.write_text(yaml.safe_dump(config))
    cluster = KubernetesCluster(ClusterConfig(path))
    version = cluster.list("ConfigMap", namespace).resource_version

    live.delete("ServiceAccount", namespace, "healer")
    with pytest.raises(errors.Unauthorized, match="Unauthorized"):
        cluster.list("ConfigMap", namespace)
    with pytest.raises(errors.Unauthorized):
        next(iter(cluster.watch("ConfigMap", namespace, resource_version=version, timeout_seconds=5.0)))

    admin.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "healer"}})
    fresh = admin.post(f"/api/v1/namespaces/{namespace}/serviceaccounts/healer/token", {"spec": {}})
    token.write_text(fresh["status"]["token"])
    live.create("ConfigMap", namespace, {"metadata": {"name": "later"}})

    def goes_on() -> bool:
        try:
            names = {item["metadata"]["name"] for item in cluster.list("ConfigMap", namespace).items}
        except errors.Unauthorized:
            return False  # the file is not read again for every call
        return "later" in names

    eventually(goes_on, 15)
    watched = cluster.watch("ConfigMap", namespace, resource_version=version, timeout_seconds=5.0)
    assert "later" in {event.object["metadata"]["name"] for event in itertools.islice(watched, 1)}
    cluster.close()
    admin.close()
