"""metrics.k8s.io tells what a world's programs use, and `kubectl top` can read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.kubectl import Kubectl
from tests.sandbox_api.lived import lived_shop
from tests.sandbox_api.running import RunningApi


@pytest.fixture(scope="module")
def shop() -> Iterator[RunningApi]:
    with RunningApi(server=lived_shop()) as api:
        yield api


@pytest.fixture(scope="module")
def kubectl(shop: RunningApi, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    directory: Path = tmp_path_factory.mktemp("kubectl")
    return Kubectl(shop.kubeconfig(directory))


def _rows(text: str) -> dict[str, list[str]]:
    return {name: values for name, *values in (line.split() for line in text.splitlines())}


def test_top_shows_what_pods_use(shop: RunningApi, kubectl: Kubectl) -> None:
    rows = _rows(kubectl("top", "pods", "--namespace", "shop", "--no-headers"))
    pods = shop.call(lambda: list(shop.server.list("pods", "shop")))
    running = {
        pod["metadata"]["name"]
        for pod in pods
        if pod["status"]["phase"] == "Running" and pod["spec"]["nodeName"] != "node3"
    }
    assert set(rows) == running
    assert any(pod["spec"].get("nodeName") == "node3" for pod in pods)
    gateway = next(values for name, values in rows.items() if name.startswith("gateway-"))
    cores, memory = int(gateway[0].removesuffix("m")), int(gateway[1].removesuffix("Mi"))
    assert 1 <= cores <= 500
    assert 72 <= memory <= 256


def test_top_selects_by_labels_and_adds_containers(kubectl: Kubectl) -> None:
    text = kubectl("top", "pods", "-n", "shop", "-l", "app=cart", "--containers", "--no-headers")
    assert text.splitlines()
    assert all(line.split()[0].startswith("cart-") and line.split()[1] == "cart" for line in text.splitlines())


def test_top_shows_nodes_whose_kubelet_answers(kubectl: Kubectl) -> None:
    rows = _rows(kubectl("top", "nodes", "--no-headers"))
    assert rows["node3"] == ["<unknown>"] * 4
    for name in ("node1", "node2"):
        assert int(rows[name][0].removesuffix("m")) > 0
        assert 0 < int(rows[name][3].removesuffix("%")) < 100


def test_objects_have_the_api_form(shop: RunningApi) -> None:
    found = shop.http.get("/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods").json()
    assert (found["kind"], found["apiVersion"]) == ("PodMetricsList", "metrics.k8s.io/v1beta1")
    item = found["items"][0]
    assert set(item) == {"metadata", "timestamp", "window", "containers"}
    name = item["metadata"]["name"]
    one = shop.http.get(f"/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/{name}").json()
    assert one == {"kind": "PodMetrics", "apiVersion": "metrics.k8s.io/v1beta1", **item}
    absent = shop.http.get("/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/nobody")
    assert absent.status_code == 404
    assert absent.json()["message"] == 'podmetrics.metrics.k8s.io "shop/nobody" not found'
    assert shop.http.delete(f"/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/{name}").status_code == 405
    assert shop.http.get("/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods?watch=true").status_code == 405


def test_the_group_is_discovered_as_on_a_real_server(shop: RunningApi) -> None:
    recorded = Path(__file__).parents[1] / "recordings" / "discovery" / "aggregated-apis.json"
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    wanted, found = (
        next(item for item in document["items"] if item["metadata"]["name"] == "metrics.k8s.io")["versions"]
        for document in (
            json.loads(recorded.read_text())["response"]["body"],
            shop.http.get("/apis", headers={"Accept": accept}).json(),
        )
    )
    assert found == wanted
    assert shop.http.get("/openapi/v2").status_code == 200
    assert shop.http.get("/openapi/v3/apis/metrics.k8s.io/v1beta1").status_code == 200
