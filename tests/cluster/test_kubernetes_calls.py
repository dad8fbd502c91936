"""The adapter against recorded answers and against servers that fail in every way."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from healing.cluster.config import ClusterConfig
from healing.cluster.kubernetes import KubernetesCluster
from healing.cluster.transport import Transport
from healing.ports import errors
from tests.cluster.server import Answer, Request, Server, recorded, replay


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("errors/400-labelselector", errors.Invalid),
        ("errors/400-malformed-json", errors.Invalid),
        ("errors/401-bad-token", errors.Unauthorized),
        ("errors/403-list", errors.Forbidden),
        ("errors/403-serviceaccount-not-found", errors.Invalid),
        ("errors/404-pod", errors.NotFound),
        ("errors/404-unknown-resource", errors.NotFound),
        ("errors/405-put-on-collection", errors.Invalid),
        ("errors/409-alreadyexists", errors.AlreadyExists),
        ("errors/409-conflict-patch-old-resourceversion", errors.Conflict),
        ("errors/409-delete-precondition-uid", errors.Conflict),
        ("errors/410-continue-expired", errors.Expired),
        ("errors/415-patch-application-json", errors.Invalid),
        ("errors/422-several-causes", errors.Invalid),
        ("errors/429-eviction-blocked-by-pdb", errors.DisruptionBudgetExceeded),
        ("errors/429-storage-initializing", errors.RateLimited),
        ("errors/504-too-large-resourceversion", errors.Unavailable),
    ],
)
def test_every_recorded_error_has_its_type(
    server: Server, cluster: KubernetesCluster, name: str, expected: type[errors.SourceError]
) -> None:
    server.answer(replay(name))
    with pytest.raises(errors.SourceError) as caught:
        cluster.evict("eviction-pdb", "web", timeout_seconds=2.0)
    assert type(caught.value) is expected
    assert caught.value.status == recorded(name)["response"]["status"]
    body = recorded(name)["response"]["body"]
    assert (body["message"] if isinstance(body, dict) else body).split("\n")[0][:40] in str(caught.value)


def test_a_blocked_eviction_names_the_budget(server: Server, cluster: KubernetesCluster) -> None:
    server.answer(replay("errors/429-eviction-blocked-by-pdb"))
    with pytest.raises(errors.DisruptionBudgetExceeded, match="budget web needs 2 healthy pods and has 2 currently"):
        cluster.evict("eviction-pdb", "web-6587d598c-9pdfm", uid="u-1", dry_run=True)
    [request] = server.requests
    assert request.path == "/api/v1/namespaces/eviction-pdb/pods/web-6587d598c-9pdfm/eviction"
    assert request.query["dryRun"] == "All"
    assert request.json["deleteOptions"] == {"preconditions": {"uid": "u-1"}, "dryRun": ["All"]}


def test_a_list_follows_its_pages_and_names_its_items(server: Server, cluster: KubernetesCluster) -> None:
    server.answer(replay("lists/page-1"), replay("lists/page-2"))
    found = cluster.list("ConfigMap")
    pages = [recorded(f"lists/page-{number}")["response"]["body"] for number in (1, 2)]
    assert len(found.items) == sum(len(page["items"]) for page in pages)
    assert {(item["kind"], item["apiVersion"]) for item in found.items} == {("ConfigMap", "v1")}
    assert found.resource_version == pages[1]["metadata"]["resourceVersion"]
    assert server.requests[1].query["continue"] == pages[0]["metadata"]["continue"]


def test_a_list_starts_over_when_its_pages_are_gone(server: Server, cluster: KubernetesCluster) -> None:
    server.answer(
        replay("lists/page-1"), replay("errors/410-continue-expired"), replay("lists/page-1"), replay("lists/page-2")
    )
    total = sum(len(recorded(f"lists/page-{number}")["response"]["body"]["items"]) for number in (1, 2))
    assert len(cluster.list("ConfigMap").items) == total
    assert [("continue" in request.query) for request in server.requests] == [False, True, False, True]


def test_reads_are_repeated_until_they_succeed(server: Server, cluster: KubernetesCluster) -> None:
    pod = {"kind": "Pod", "metadata": {"name": "a"}}
    server.answer(
        Answer(503, "upstream connect error", "text/plain"),
        Answer(200, json.dumps(pod)[:10], length=500),
        Answer(hang_up=True),
        Answer(200, pod),
    )
    assert cluster.get("Pod", "n", "a") == pod
    assert len(server.requests) == 4


def test_writes_are_never_repeated_once_sent(server: Server, cluster: KubernetesCluster) -> None:
    for answer in (Answer(503), Answer(hang_up=True), Answer(201, '{"a', length=50)):
        server.answer(answer)
        server.requests.clear()
        with pytest.raises((errors.Unavailable, errors.BadResponse)) as caught:
            cluster.create("ConfigMap", "n", {"metadata": {"name": "a"}})
        assert caught.value.retryable
        assert len(server.requests) == 1


def test_a_throttled_write_waits_as_long_as_the_server_says(server: Server, cluster: KubernetesCluster) -> None:
    server.answer(Answer(429, "slow down", "text/plain", {"Retry-After": "0.3"}), Answer(201, {"kind": "ConfigMap"}))
    started = time.monotonic()
    cluster.create("ConfigMap", "n", {"metadata": {"name": "a"}})
    assert time.monotonic() - started >= 0.3
    server.answer(Answer(429, "slow down", "text/plain", {"Retry-After": "60"}))
    started = time.monotonic()
    with pytest.raises(errors.RateLimited) as caught:
        cluster.create("ConfigMap", "n", {"metadata": {"name": "a"}})
    assert caught.value.retry_after_seconds == 60
    assert time.monotonic() - started < 10  # not the minute


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(200, "<html>a login page</html>", "text/html"), errors.BadResponse),
        (Answer(200, "[]"), errors.BadResponse),
        (Answer(200, b"\xff\xfe\x00"), errors.BadResponse),
        (Answer(200, {"kind": "PodList", "items": 3, "metadata": {}}), errors.BadResponse),
        (Answer(302, "", headers={"Location": "/login"}), errors.BadResponse),
        (Answer(500, {"kind": "Status", "message": "etcd", "code": 500}), errors.Unavailable),
        (Answer(404, "404 page not found", "text/plain"), errors.NotFound),
    ],
)
def test_garbage_is_named(
    server: Server, cluster: KubernetesCluster, answer: Answer, expected: type[errors.SourceError]
) -> None:
    server.answer(answer)
    with pytest.raises(errors.SourceError) as caught:
        cluster.list("Pod", "n", timeout_seconds=1.5)
    assert type(caught.value) is expected


def _never(server: Server) -> Callable[[Request], Answer]:
    def handler(request: Request) -> Answer:
        server.closing.wait(10)
        return Answer(200, {})

    return handler


def _drop_by_drop(server: Server) -> Callable[[Request], Answer]:
    pause: Any = lambda: server.closing.wait(0.05)  # noqa: E731
    return lambda request: Answer(200, chunks=[b" ", pause] * 200)


@pytest.mark.parametrize("hanging", [_never, _drop_by_drop])
def test_a_hanging_server_costs_no_more_than_the_timeout(
    server: Server, cluster: KubernetesCluster, hanging: Callable[[Server], Callable[[Request], Answer]]
) -> None:
    server.handler = hanging(server)
    started = time.monotonic()
    with pytest.raises(errors.Unavailable, match=r"time|answer within"):
        cluster.get("Pod", "n", "a", timeout_seconds=1.0)
    assert time.monotonic() - started < 4.0


def test_a_closed_port_is_unavailable_for_reads_and_writes(server: Server, cluster: KubernetesCluster) -> None:
    server.close()
    for call in (
        lambda: cluster.get("Pod", "n", "a", timeout_seconds=1.0),
        lambda: cluster.delete("Pod", "n", "a", timeout_seconds=1.0),
    ):
        started = time.monotonic()
        with pytest.raises(errors.Unavailable, match="cannot be reached"):
            call()
        assert time.monotonic() - started < 4.0


def test_a_cluster_that_is_away_is_tried_once_a_call_until_it_is_back(
    server: Server, cluster: KubernetesCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    opened = Transport.open

    def counting(self: Transport, *args: Any, **options: Any) -> Any:
        tries[-1] += 1
        return opened(self, *args, **options)

    monkeypatch.setattr(Transport, "open", counting)
    gone = KubernetesCluster(ClusterConfig(tmp_path / "not-there-yet"), default_timeout_seconds=3.0)
    for _ in range(3):
        tries.append(0)
        with pytest.raises(errors.Unavailable):
            gone.get("Pod", "shop", "web")
    assert tries == [4, 1, 1]
    server.handler = lambda request: Answer(503, "not yet", "text/plain")
    (tmp_path / "not-there-yet").write_text(server.kubeconfig(tmp_path).read_text())
    tries.append(0)
    with pytest.raises(errors.Unavailable):
        gone.get("Pod", "shop", "web")
    assert tries[-1] == 4, "it answers again: what it says is worth asking for again"
    gone.close()


def test_a_kubeconfig_that_changes_is_read_again(server: Server, cluster: KubernetesCluster, tmp_path: Path) -> None:
    server.answer(Answer(200, {"gitVersion": "v1.36.2"}))
    assert cluster.version() == "v1.36.2"
    path = server.kubeconfig(tmp_path, token="renewed")
    os.utime(path, (1, 1))
    cluster.version()
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer secret", "Bearer renewed"]


def test_an_unusable_kubeconfig_says_what_to_do(tmp_path: Path) -> None:
    for content in (None, "", "{", "kind: Config"):
        path = tmp_path / "config"
        if content is not None:
            path.write_text(content)
        with pytest.raises(errors.Unavailable, match=r"kubeconfig|KUBECONFIG"):
            KubernetesCluster(ClusterConfig(path)).version(timeout_seconds=1.5)


def test_access_reviews(server: Server, cluster: KubernetesCluster) -> None:
    server.answer(replay("errors/selfsubjectaccessreview-allowed"), replay("errors/selfsubjectaccessreview-denied"))
    assert cluster.can_i("delete", "Deployment", "n", subresource="scale") is True
    assert cluster.can_i("delete", "Deployment", "n") is False
    assert server.requests[0].json["spec"]["resourceAttributes"] == {
        "verb": "delete",
        "group": "apps",
        "resource": "deployments",
        "namespace": "n",
        "subresource": "scale",
    }


def test_unknown_kinds_are_discovered_once(server: Server, cluster: KubernetesCluster) -> None:
    def handler(request: Request) -> Answer:
        if request.path == "/apis":
            return replay("discovery/apis")
        if request.path == "/apis/rbac.authorization.k8s.io/v1":
            return replay("discovery/apis-rbac.authorization.k8s.io-v1")
        if request.path == "/apis/rbac.authorization.k8s.io/v1/clusterroles":
            return Answer(200, {"items": [], "metadata": {"resourceVersion": "7"}})
        return Answer(200, {"resources": []})

    server.handler = handler
    assert cluster.list("ClusterRole").resource_version == "7"
    before = len(server.requests)
    cluster.list("ClusterRole")
    assert len(server.requests) == before + 1
    with pytest.raises(errors.NotFound, match="no resource type of kind 'Nonsense'"):
        cluster.list("Nonsense")


def test_what_is_sent_for_each_write(server: Server, cluster: KubernetesCluster) -> None:
    server.answer(Answer(200, {"kind": "Deployment"}))
    cluster.patch("Deployment", "n", "a/b", {"spec": {}}, patch_type="apply", force=True, dry_run=True)
    cluster.patch("Deployment", "n", "a", {"spec": {"replicas": 2}}, patch_type="merge", subresource="scale")
    cluster.patch("Deployment", "n", "a", [{"op": "test", "path": "/a", "value": 1}], patch_type="json")
    cluster.delete("Pod", "n", "a", uid="u", grace_seconds=0)
    apply, merge, json_patch, delete = server.requests
    assert apply.path == "/apis/apps/v1/namespaces/n/deployments/a%2Fb"
    assert apply.query == {"fieldManager": "recist", "dryRun": "All", "force": "true"}
    assert apply.headers["content-type"] == "application/apply-patch+yaml"
    assert apply.json == {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {}}
    assert merge.path.endswith("/deployments/a/scale")
    assert merge.headers["content-type"] == "application/merge-patch+json"
    assert json_patch.json == [{"op": "test", "path": "/a", "value": 1}]
    assert delete.json["preconditions"] == {"uid": "u"}
    assert delete.json["gracePeriodSeconds"] == 0


def test_logs_are_text_and_may_be_absent(server: Server, cluster: KubernetesCluster) -> None:
    server.answer(Answer(200, b"one\n\xfftwo\n", "text/plain"), Answer(204))
    assert cluster.pod_logs("n", "p", "c", previous=True, tail_lines=5) == "one\n\ufffdtwo\n"
    assert server.requests[0].query == {"container": "c", "previous": "true", "tailLines": "5", "limitBytes": "1000000"}
    assert cluster.pod_logs("n", "p", "c") == ""
