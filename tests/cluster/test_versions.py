"""Clusters of other versions: what they do not serve is looked up, and what we were not made for is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from healing.cluster import versions
from healing.cluster.kubernetes import KubernetesCluster
from healing.ports import errors
from healing.sandbox.api import versions as spoken
from recist_web.management.commands.run import Command
from tests.cluster.sandbox import RunningSandbox, running_sandbox
from tests.cluster.server import Answer, Request, Server

_UNSERVED = {
    "kind": "Status",
    "status": "Failure",
    "message": "the server could not find the requested resource",
    "reason": "NotFound",
    "details": {},
    "code": 404,
}
_PLURALS = {"HorizontalPodAutoscaler": "horizontalpodautoscalers", "PodDisruptionBudget": "poddisruptionbudgets"}


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("v1.25.16", "older"),
        ("v1.26.0", ""),
        ("v1.30.4-eks-a737599", ""),
        ("v1.37.2+k3s1", ""),
        ("v1.38.0-alpha.1", "newer"),
        ("v2.0.0", "does not say a version that we know"),
        ("", "does not say a version that we know"),
    ],
)
def test_what_is_said_of_a_version(version: str, said: str) -> None:
    advice = versions.advice(version)
    assert (said in advice) if said else not advice


def test_the_sandbox_can_be_each_of_those_we_are_made_for() -> None:
    assert (spoken.OLDEST_MINOR, spoken.NEWEST_MINOR) == (versions.OLDEST_MINOR, versions.NEWEST_MINOR)
    for minor in range(versions.OLDEST_MINOR, versions.NEWEST_MINOR + 1):
        said = spoken.KubernetesVersion.of(f"1.{minor}").git_version
        assert versions.minor_of(said) == minor
        assert not versions.advice(said)


def serving(**kinds: str) -> Any:
    """A server that has each of these kinds in that one version of its group, with one object called ``web``."""
    by_path = {f"/apis/{version}": kind for kind, version in kinds.items()}

    def handler(request: Request) -> Answer:
        for root, kind in by_path.items():
            group, plural = root.removeprefix("/apis/").partition("/")[0], _PLURALS[kind]
            version = root.removeprefix("/apis/")
            if request.path == f"/apis/{group}":
                named = {"groupVersion": version, "version": version.partition("/")[2]}
                return Answer(200, {"kind": "APIGroup", "versions": [named], "preferredVersion": named})
            if request.path == root:
                return Answer(200, {"resources": [{"name": plural, "kind": kind, "namespaced": True}]})
            if request.path == f"{root}/namespaces/shop/{plural}":
                if request.method == "POST":
                    return Answer(201, request.json)
                items = [{"metadata": {"name": "web", "namespace": "shop"}}]
                return Answer(200, {"apiVersion": version, "metadata": {"resourceVersion": "7"}, "items": items})
            if request.path.startswith(f"{root}/namespaces/shop/{plural}/"):
                if request.path.endswith("/web"):
                    return Answer(200, {"apiVersion": version, "kind": kind, "metadata": {"name": "web"}})
                return Answer(404, {**_UNSERVED, "message": f'{plural} "x" not found', "details": {"name": "x"}})
        return Answer(404, _UNSERVED)

    return handler


def test_an_api_that_is_served_in_an_older_version_is_found_there(server: Server, cluster: KubernetesCluster) -> None:
    server.handler = serving(HorizontalPodAutoscaler="autoscaling/v2beta2", PodDisruptionBudget="policy/v1beta1")
    [scaler] = cluster.list("HorizontalPodAutoscaler", "shop").items
    assert scaler["apiVersion"] == "autoscaling/v2beta2"
    assert cluster.get("HorizontalPodAutoscaler", "shop", "web")["apiVersion"] == "autoscaling/v2beta2"
    body = {"apiVersion": "policy/v1", "metadata": {"name": "new"}, "spec": {}}
    assert cluster.create("PodDisruptionBudget", "shop", body)["apiVersion"] == "policy/v1beta1"
    # It is looked for once, not at every call.
    asked = len([r for r in server.requests if r.path == "/apis/autoscaling"])
    cluster.list("HorizontalPodAutoscaler", "shop")
    assert asked == 1 == len([r for r in server.requests if r.path == "/apis/autoscaling"])


def test_a_missing_object_is_no_missing_api(server: Server, cluster: KubernetesCluster) -> None:
    server.handler = serving(PodDisruptionBudget="policy/v1")
    with pytest.raises(errors.NotFound, match="not found"):
        cluster.get("PodDisruptionBudget", "shop", "gone")
    assert [r.path for r in server.requests] == ["/apis/policy/v1/namespaces/shop/poddisruptionbudgets/gone"]


def test_an_api_that_is_not_there_at_all_is_asked_for_once_in_a_while(
    server: Server, cluster: KubernetesCluster
) -> None:
    server.handler = serving()
    for _ in range(3):
        with pytest.raises(errors.NotFound, match="could not find the requested resource"):
            cluster.list("HTTPRoute", "shop")
    assert len([r for r in server.requests if r.path == "/apis/gateway.networking.k8s.io"]) == 1


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running_sandbox(tmp_path_factory.mktemp("versions"), with_crds=False) as started:
        yield started


def test_an_older_gateway_api_is_read_in_its_own_version(sandbox: RunningSandbox) -> None:
    """As installed with Gateway API 0.8 and older: HTTPRoute in v1beta1 only."""
    cluster = sandbox.connect()
    name = "httproutes.gateway.networking.k8s.io"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    try:
        cluster.delete("CustomResourceDefinition", "", name)
    except errors.NotFound:
        pass
    definition = {
        "metadata": {"name": name, "annotations": {"api-approved.kubernetes.io": "https://example.com/1"}},
        "spec": {
            "group": "gateway.networking.k8s.io",
            "scope": "Namespaced",
            "names": {
                "kind": "HTTPRoute",
                "plural": "httproutes",
                "singular": "httproute",
                "listKind": "HTTPRouteList",
            },
            "versions": [
                {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}},
            ],
        },
    }
    _eventually_created(cluster, definition)
    route = {"metadata": {"name": "web"}, "spec": {"rules": []}}
    _eventually(lambda: cluster.create("HTTPRoute", "default", route))
    [found] = cluster.list("HTTPRoute", "default").items
    assert found["apiVersion"] == "gateway.networking.k8s.io/v1beta1"
    assert cluster.get("HTTPRoute", "default", "web")["metadata"]["uid"] == found["metadata"]["uid"]
    version = cluster.list("HTTPRoute", "default").resource_version
    cluster.patch("HTTPRoute", "default", "web", {"metadata": {"labels": {"a": "b"}}})
    seen = next(iter(cluster.watch("HTTPRoute", "default", resource_version=version, timeout_seconds=5.0)))
    assert seen.object["metadata"]["labels"] == {"a": "b"}
    cluster.delete("HTTPRoute", "default", "web")
    cluster.close()


def _eventually_created(cluster: KubernetesCluster, definition: dict[str, Any]) -> None:
    _eventually(lambda: cluster.create("CustomResourceDefinition", "", definition))


def _eventually(do: Any) -> None:
    from tests.cluster.sandbox import eventually

    def done() -> bool:
        try:
            do()
        except errors.AlreadyExists:
            return True
        except errors.SourceError:
            return False
        return True

    eventually(done)


@pytest.mark.parametrize("version", ["v1.25.9", "v1.36.2"])
def test_run_says_what_it_thinks_of_the_version(
    server: Server, tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """The server is old, and then too empty to start on: that has to come after the warning."""
    path = server.kubeconfig(tmp_path)
    server.handler = lambda request: (
        Answer(200, {"gitVersion": version}) if request.path == "/version" else Answer(404, _UNSERVED)
    )
    settings.VAR_DIR = tmp_path / "var"
    said: list[str] = []
    monkeypatch.setattr(Command, "say", lambda _self, text: said.append(text))
    from django.core.management import CommandError

    with pytest.raises(CommandError):
        Command().handle(
            kubeconfig=path, context=None, echo=False, apply_crds=True, namespace=[], prometheus=None, loki=None
        )
    warned = [text for text in said if text.startswith("Warning: ")]
    assert bool(warned) == (version == "v1.25.9")
