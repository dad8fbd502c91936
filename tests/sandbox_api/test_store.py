"""The Cluster the world works with: versions, listeners, owners, quotas; without HTTP."""

from __future__ import annotations

import functools
import time
from typing import Any

import pytest

from healing.sandbox.api.cluster import ApiServer
from healing.sandbox.ports import ApiError, Object
from tests.sandbox_api.running import ADMIN


@pytest.fixture
def server() -> ApiServer:
    return ApiServer()


def _pod(name: str, **spec: Any) -> Object:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "a", "image": "x"}], **spec}}


def _config(name: str, owner: Object | None = None, *, blocks: bool = False) -> Object:
    metadata: Object = {"name": name}
    if owner is not None:
        reference = {key: owner[key] for key in ("apiVersion", "kind")}
        reference |= {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "blockOwnerDeletion": blocks}
        metadata["ownerReferences"] = [reference]
    return {"metadata": metadata, "data": {"k": "1"}}


def test_listeners_hear_changes_in_one_order(server: ApiServer) -> None:
    """A listener that writes does not get ahead of the others."""
    heard: list[tuple[str, str]] = []

    def writes(type_: str, new: Object, _old: Object | None) -> None:
        if type_ == "ADDED":
            server.mutate(
                "configmaps", "default", new["metadata"]["name"], lambda o: o["data"].update(k="2"), user=ADMIN
            )

    server.subscribe("configmaps", writes)
    stop = server.subscribe("configmaps", lambda t, n, _o: heard.append((t, n["data"]["k"])))
    server.create("configmaps", "default", _config("c"), user=ADMIN)
    assert heard == [("ADDED", "1"), ("MODIFIED", "2")]
    stop()
    server.delete("configmaps", "default", "c", user=ADMIN)
    assert len(heard) == 2


def test_an_equal_object_writes_nothing(server: ApiServer) -> None:
    created = server.create("configmaps", "default", _config("c"), user=ADMIN)
    version = server.store.version
    assert server.update("configmaps", "default", "c", created, user=ADMIN) is created
    assert server.store.version == version
    stale = {**created, "metadata": {**created["metadata"], "resourceVersion": "1"}}
    with pytest.raises(ApiError) as conflict:
        server.update("configmaps", "default", "c", stale, user=ADMIN)
    assert (conflict.value.code, conflict.value.reason) == (409, "Conflict")


def test_what_was_read_stays_as_it_was(server: ApiServer) -> None:
    before = server.create("configmaps", "default", _config("c"), user=ADMIN)
    server.mutate("configmaps", "default", "c", lambda o: o["data"].update(k="2"), user=ADMIN)
    assert before["data"] == {"k": "1"}


def test_dependents_go_with_their_owner(server: ApiServer) -> None:
    owner = server.create("configmaps", "default", _config("owner"), user=ADMIN)
    child = server.create("configmaps", "default", _config("child", owner), user=ADMIN)
    server.create("configmaps", "default", _config("grandchild", child), user=ADMIN)
    server.delete("configmaps", "default", "owner", user=ADMIN)
    assert [obj["metadata"]["name"] for obj in server.list("configmaps", "default")] == ["kube-root-ca.crt"]


def test_a_dependent_of_nobody_is_collected(server: ApiServer) -> None:
    owner = server.create("configmaps", "default", _config("owner"), user=ADMIN)
    server.delete("configmaps", "default", "owner", user=ADMIN)
    server.create("configmaps", "default", _config("late", owner), user=ADMIN)
    assert server.get("configmaps", "default", "late") is None


def test_foreground_waits_for_pods_to_end(server: ApiServer) -> None:
    owner = server.create("configmaps", "default", _config("owner"), user=ADMIN)
    pod = _pod("p", nodeName="node1")
    pod["metadata"]["ownerReferences"] = _config("x", owner, blocks=True)["metadata"]["ownerReferences"]
    server.create("pods", "default", pod, user=ADMIN)
    server.delete("configmaps", "default", "owner", user=ADMIN, propagation="Foreground")
    held = server.get("configmaps", "default", "owner")
    assert held is not None
    assert held["metadata"]["finalizers"] == ["foregroundDeletion"]
    terminating = server.get("pods", "default", "p")
    assert terminating is not None
    assert terminating["metadata"]["deletionGracePeriodSeconds"] == 30
    server.delete("pods", "default", "p", user=ADMIN, grace_seconds=0)
    assert server.get("configmaps", "default", "owner") is None


def test_deleting_a_pod_takes_its_grace(server: ApiServer) -> None:
    events: list[tuple[str, Any]] = []
    server.subscribe("pods", lambda t, n, _o: events.append((t, n["metadata"].get("deletionGracePeriodSeconds"))))
    server.create("pods", "default", _pod("p", nodeName="node1"), user=ADMIN)
    server.delete("pods", "default", "p", user=ADMIN)
    server.delete("pods", "default", "p", user=ADMIN, grace_seconds=60)  # longer than what runs: nothing
    server.delete("pods", "default", "p", user=ADMIN, grace_seconds=0)
    assert events == [("ADDED", None), ("MODIFIED", 30), ("MODIFIED", 0), ("DELETED", 0)]


def test_a_used_claim_waits_for_its_pod(server: ApiServer) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}},
    }
    created = server.create("persistentvolumeclaims", "default", claim, user=ADMIN)
    assert created["spec"]["resources"]["requests"]["storage"] == "1Gi"
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    server.create("pods", "default", _pod("p", volumes=[volume]), user=ADMIN)
    server.delete("persistentvolumeclaims", "default", "data", user=ADMIN)
    assert server.get("persistentvolumeclaims", "default", "data") is not None
    server.delete("pods", "default", "p", user=ADMIN)
    assert server.get("persistentvolumeclaims", "default", "data") is None


@pytest.mark.parametrize(
    ("hard", "resources", "message"),
    [
        ({"pods": "1"}, {}, "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"),
        (
            {"requests.cpu": "100m"},
            {"requests": {"cpu": "80m"}},
            "exceeded quota: q, requested: requests.cpu=80m, used: requests.cpu=80m, limited: requests.cpu=100m",
        ),
        (
            {"limits.memory": "128Mi"},
            {"limits": {"memory": "96Mi"}},
            "exceeded quota: q, requested: limits.memory=96Mi, used: limits.memory=96Mi, limited: limits.memory=128Mi",
        ),
    ],
)
def test_quotas_count_what_is_there(server: ApiServer, hard: Object, resources: Object, message: str) -> None:
    server.create("resourcequotas", "default", {"metadata": {"name": "q"}, "spec": {"hard": hard}}, user=ADMIN)
    containers = [{"name": "a", "image": "x", "resources": resources}]
    server.create("pods", "default", _pod("one", containers=containers), user=ADMIN)
    with pytest.raises(ApiError) as refused:
        server.create("pods", "default", _pod("two", containers=containers), user=ADMIN)
    assert refused.value.status["message"] == f'pods "two" is forbidden: {message}'


def test_limit_ranges_fill_in_and_bound(server: ApiServer) -> None:
    limit = {"type": "Container", "max": {"cpu": "200m"}, "default": {"cpu": "100m"}, "defaultRequest": {"cpu": "10m"}}
    server.create("limitranges", "default", {"metadata": {"name": "l"}, "spec": {"limits": [limit]}}, user=ADMIN)
    pod = server.create("pods", "default", _pod("p"), user=ADMIN)
    assert pod["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "100m"}, "requests": {"cpu": "10m"}}
    containers = [{"name": "a", "image": "x", "resources": {"limits": {"cpu": "1"}}}]
    with pytest.raises(ApiError) as refused:
        server.create("pods", "default", _pod("big", containers=containers), user=ADMIN)
    assert "maximum cpu usage per Container is 200m, but limit is 1" in refused.value.status["message"]


def test_similar_events_are_combined(server: ApiServer) -> None:
    about = server.create("configmaps", "default", _config("c"), user=ADMIN)
    for index in range(14):
        server.record_event(
            about,
            type="Warning",
            reason="FailedCreate",
            message=f"pod-{index} is forbidden",
            component="replicaset-controller",
        )
    events = server.list("events", "default")
    combined = [event for event in events if event["message"].startswith("(combined from similar events)")]
    assert len(events) == 11
    assert [event["count"] for event in combined] == [4]


def test_binding_happens_once(server: ApiServer) -> None:
    server.create("pods", "default", _pod("p"), user=ADMIN)
    assert server.bind("default", "p", "node1", ADMIN)["spec"]["nodeName"] == "node1"
    with pytest.raises(ApiError) as conflict:
        server.bind("default", "p", "node2", ADMIN)
    assert conflict.value.code == 409


def test_five_thousand_pods(server: ApiServer) -> None:
    """Lists share the stored objects, and a status update costs little; generous bounds for a busy machine."""
    for index in range(5000):
        server.create("pods", "default", _pod(f"p{index:04d}", nodeName="node1"), user=ADMIN)
    started = time.thread_time()
    listed = server.list("pods", "default")
    assert len(listed) == 5000
    assert listed[0] is server.get("pods", "default", "p0000")
    assert time.thread_time() - started < 0.5
    started = time.thread_time()
    for index in range(0, 5000, 10):
        status = {"phase": "Running", "podIP": f"10.0.0.{index}"}
        change = functools.partial(dict.update, status=status)
        server.mutate("pods", "default", f"p{index:04d}", change, user=ADMIN, subresource="status")
    assert (time.thread_time() - started) / 500 < 0.01
