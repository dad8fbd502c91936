"""The API server as other versions of Kubernetes: what is served, known and kept in each."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import given, strategies as st

from healing.sandbox.api import versions
from healing.sandbox.api.cluster import ApiServer
from healing.sandbox.api.schema import Type, model_type
from healing.sandbox.api.versions import NEWEST_MINOR, OLDEST_MINOR, KubernetesVersion
from tests.parts.kubectl import Kubectl
from tests.sandbox_api.running import RunningApi

MINORS = range(OLDEST_MINOR, NEWEST_MINOR + 1)
_SCHEMAS = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
#: in the schemas under their short name, which others share
_PACKAGES = {
    "CoreV1Event": "core", "CoreV1EventSeries": "core", "CoreV1EndpointPort": "core", "CoreV1ResourceClaim": "core",
    "EventsV1Event": "events", "EventsV1EventSeries": "events", "DiscoveryV1EndpointPort": "discovery",
    "RbacV1Subject": "rbac",
}  # fmt: skip


@functools.cache
def published(minor: int) -> dict[str, Any]:
    """Kubernetes' own definitions: ``io.k8s.api.core.v1.Pod`` -> schema."""
    found = json.loads((_SCHEMAS / f"v1.{minor}.0-local" / "_definitions.json").read_text())
    definitions: dict[str, Any] = found["$defs"]
    return definitions


def definition_of(model: str, kind: Type) -> str:
    """The full name of a model's definition; empty: it has none of its own."""
    version = "v2" if model.startswith("V2") else "v1"
    package = _PACKAGES.get(model, "")
    names = [
        name
        for name in published(NEWEST_MINOR)
        if name.endswith(f".{version}.{kind.name}") and (not package or f".api.{package}." in name)
    ]
    return names[0] if len(names) == 1 else ""


@functools.cache
def models() -> dict[str, Type]:
    """All types that the built-in resources are made of."""
    found: dict[str, Type] = {}

    def walk(kind: Type | None) -> None:
        if kind is None:
            return
        if kind.kind in ("list", "map"):
            walk(kind.element)
        elif kind.kind == "struct" and kind.model and kind.model not in found:
            found[kind.model] = kind
            for child in kind.fields.values():
                walk(child)

    for resource in ApiServer().registry:
        if resource.model:
            walk(model_type(resource.model))
    return found


# --- the facts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minor", MINORS)
def test_a_version_knows_the_fields_that_its_published_schema_has(minor: int) -> None:
    unknown = KubernetesVersion(minor).unknown_fields
    checked, wrong = 0, []
    for model, kind in models().items():
        theirs = published(minor).get(definition_of(model, kind))
        if theirs is None:
            continue  # a type that came later: so did the field that leads to it
        for field in kind.fields:
            checked += 1
            if (field in theirs.get("properties", {})) == ((model, field) in unknown):
                wrong.append((model, field))
    assert checked > 1000
    assert wrong == []


def test_all_facts_are_about_fields_there_are() -> None:
    rows = versions._rows()
    there = {(model, field) for model, kind in models().items() for field in kind.fields}
    assert {(model, field) for model, field, _, _ in rows} <= there
    assert all(OLDEST_MINOR <= since <= kept <= NEWEST_MINOR for _, _, since, kept in rows)
    assert len({row[:2] for row in rows}) == len(rows)


@pytest.mark.parametrize("minor", MINORS)
def test_every_resource_that_is_served_was_there_then(minor: int) -> None:
    theirs = {
        (found["group"], found["version"], found["kind"])
        for definition in published(minor).values()
        for found in definition.get("x-kubernetes-group-version-kind", ())
    }
    registry = ApiServer(kubernetes=KubernetesVersion(minor)).registry
    assert {(item.group, item.version, item.kind) for item in registry} <= theirs
    assert len(list(registry)) > 40


@given(st.integers(OLDEST_MINOR, NEWEST_MINOR), st.sampled_from(["1.{}", "v1.{}", "1.{}.7", " v1.{}.0 "]))
def test_a_version_is_read_as_people_write_it(minor: int, form: str) -> None:
    assert KubernetesVersion.of(form.format(minor)).minor == minor


@pytest.mark.parametrize("text", ["", "1.25", "1.38", "2.30", "29", "1.3x", "1.", "v1", "1.30.4-eks", "1.030030"])
def test_other_versions_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"one of 1\.26 to 1\.37"):
        KubernetesVersion.of(text)


# --- over HTTP ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[int, RunningApi]]:
    started: dict[int, RunningApi] = {}
    try:
        for minor in (26, 27, 29, 33, 37):
            api = RunningApi(server=ApiServer(kubernetes=KubernetesVersion(minor)))
            started[minor] = api.__enter__()
            api.namespace("shop")
        yield started
    finally:
        for api in started.values():
            api.__exit__(None, None, None)


V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
BETA = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
PLAIN = "application/json"


@pytest.mark.parametrize("minor", [26, 29, 33, 37])
def test_the_version_document(servers: dict[int, RunningApi], minor: int) -> None:
    found = servers[minor].http.get("/version").json()
    assert (found["major"], found["minor"]) == ("1", str(minor))
    assert found["gitVersion"].startswith(f"v1.{minor}.")
    known = published(minor)["io.k8s.apimachinery.pkg.version.Info"]["properties"]
    assert found.keys() == known.keys()
    if minor >= 33:
        assert (found["emulationMinor"], found["minCompatibilityMinor"]) == (str(minor), str(minor - 1))
    assert servers[minor].http.get("/openapi/v2").json()["info"]["version"] == found["gitVersion"]


@pytest.mark.parametrize(
    ("minor", "accept", "version"),
    [
        (26, f"{V2},{BETA},{PLAIN}", ""),
        (29, f"{V2},{BETA},{PLAIN}", "v2beta1"),
        (29, f"{V2},{PLAIN}", ""),
        (33, f"{V2},{BETA},{PLAIN}", "v2"),
        (33, f"{BETA},{PLAIN}", ""),
        (37, f"{V2},{BETA},{PLAIN}", "v2"),
        (37, PLAIN, ""),
    ],
)
def test_aggregated_discovery_is_what_the_version_has(
    servers: dict[int, RunningApi], minor: int, accept: str, version: str
) -> None:
    http = servers[minor].http
    core, groups = (http.get(path, headers={"Accept": accept}) for path in ("/api", "/apis"))
    if version:
        assert {core.json()["kind"], groups.json()["kind"]} == {"APIGroupDiscoveryList"}
        assert groups.json()["apiVersion"] == f"apidiscovery.k8s.io/{version}"
        assert f"v={version};" in groups.headers["content-type"]
    else:
        assert (core.json()["kind"], groups.json()["kind"]) == ("APIVersions", "APIGroupList")
        assert groups.headers["content-type"] == "application/json"


@pytest.mark.parametrize("minor", [26, 29, 33, 37])
def test_resource_lists(servers: dict[int, RunningApi], minor: int) -> None:
    http = servers[minor].http
    core = {item["name"] for item in http.get("/api/v1").json()["resources"]}
    assert ("pods/resize" in core) == (minor >= 33)
    assert {"pods/eviction", "pods/log", "pods/status"} <= core
    reviews = {item["name"] for item in http.get("/apis/authentication.k8s.io/v1").json()["resources"]}
    assert ("selfsubjectreviews" in reviews) == (minor >= 28)
    for gone in ("/apis/autoscaling/v2beta2", "/apis/policy/v1beta1", "/apis/batch/v1beta1"):
        assert http.get(gone).status_code == 404


@pytest.mark.parametrize("minor", [26, 29, 33, 37])
def test_pods_are_resized_in_place_only_where_that_is_served(servers: dict[int, RunningApi], minor: int) -> None:
    http = servers[minor].http
    pods = "/api/v1/namespaces/shop/pods"
    body = {"metadata": {"name": "sized"}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    made = http.post(pods, json=body)
    assert made.status_code == 201, made.text
    assert ("generation" in made.json()["metadata"]) == (minor >= 33)
    patch = {"spec": {"containers": [{"name": "web", "resources": {"requests": {"cpu": "100m"}}}]}}
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    answer = http.patch(f"{pods}/sized/resize", content=json.dumps(patch), headers=headers)
    if minor < 33:
        assert answer.status_code == 404
        assert answer.json()["message"] == "the server could not find the requested resource"
    else:
        assert answer.status_code == 200, answer.text
    kept = http.get(f"{pods}/sized").json()["spec"]["containers"][0]["resources"]
    assert (kept == {"requests": {"cpu": "100m"}}) == (minor >= 33)


def pod_with_a_sidecar(name: str) -> dict[str, Any]:
    sidecar = {"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}
    spec = {"initContainers": [sidecar], "containers": [{"name": "web", "image": "web:1"}]}
    return {"metadata": {"name": name}, "spec": spec}


def test_a_field_from_the_future_is_warned_about_and_left_out_or_refused(servers: dict[int, RunningApi]) -> None:
    http = servers[26].http
    pods = "/api/v1/namespaces/shop/pods"
    made = http.post(pods, json=pod_with_a_sidecar("side"))
    assert made.status_code == 201
    assert 'unknown field \\"spec.initContainers[0].restartPolicy\\"' in made.headers["warning"]
    assert "restartPolicy" not in made.json()["spec"]["initContainers"][0]
    strict = http.post(pods, json=pod_with_a_sidecar("strict"), params={"fieldValidation": "Strict"})
    assert strict.status_code == 400
    assert 'unknown field "spec.initContainers[0].restartPolicy"' in strict.json()["message"]


def test_a_field_of_a_feature_that_is_off_is_left_out_without_a_word(servers: dict[int, RunningApi]) -> None:
    """PodDisruptionBudgets of 1.26 know the field; the feature behind it is off until 1.27."""
    body = {
        "metadata": {"name": "web"},
        "spec": {"minAvailable": 1, "selector": {}, "unhealthyPodEvictionPolicy": "AlwaysAllow"},
    }
    budgets = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets"
    strict = {"fieldValidation": "Strict"}
    old = servers[26].http.post(budgets, json=body, params=strict)
    assert old.status_code == 201
    assert "unhealthyPodEvictionPolicy" not in old.json()["spec"]
    assert "unhealthyPodEvictionPolicy" not in json.dumps(old.json()["metadata"]["managedFields"])
    assert servers[27].http.post(budgets, json=body, params=strict).json()["spec"] == body["spec"]
    patch = {"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}}
    headers = {"Content-Type": "application/merge-patch+json"}
    again = servers[26].http.patch(f"{budgets}/web", content=json.dumps(patch), headers=headers)
    assert again.json()["metadata"]["resourceVersion"] == old.json()["metadata"]["resourceVersion"], "nothing changed"


def test_a_sidecar_is_kept_where_it_is_known(servers: dict[int, RunningApi]) -> None:
    for minor in (29, 33, 37):
        made = servers[minor].http.post("/api/v1/namespaces/shop/pods", json=pod_with_a_sidecar("side"))
        assert made.json()["spec"]["initContainers"][0]["restartPolicy"] == "Always"
        assert "warning" not in made.headers


@pytest.mark.parametrize(
    ("minor", "cause"),
    [
        (26, "resourceVersionMatch is forbidden for watch"),
        (29, "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"),
        (33, "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"),
        (37, ""),
    ],
)
def test_a_watch_that_begins_with_what_there_is(servers: dict[int, RunningApi], minor: int, cause: str) -> None:
    params = {
        "watch": "1",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "1",
    }
    answer = servers[minor].http.get("/api/v1/namespaces", params=params)
    if cause:
        assert answer.status_code == 422
        assert answer.json()["reason"] == "Invalid"
        assert [item["message"] for item in answer.json()["details"]["causes"]] == [f"Forbidden: {cause}"]
    else:
        events = [json.loads(line) for line in answer.text.splitlines()]
        assert {event["type"] for event in events[:-1]} >= {"ADDED", "BOOKMARK"}


def test_a_watch_without_a_version_begins_with_what_there_is_everywhere(servers: dict[int, RunningApi]) -> None:
    params = {"watch": "1", "timeoutSeconds": "1", "allowWatchBookmarks": "true"}
    answer = servers[26].http.get("/api/v1/namespaces", params=params)
    assert [json.loads(line)["type"] for line in answer.text.splitlines()].count("ADDED") >= 4
    assert "initial-events-end" not in answer.text


@pytest.mark.parametrize("minor", [26, 37])
def test_kubectl_of_today_works_with_it(servers: dict[int, RunningApi], minor: int, tmp_path: Path) -> None:
    kubectl = Kubectl(servers[minor].kubeconfig(tmp_path))
    assert f"v1.{minor}.0" in kubectl("version")
    assert "pods" in kubectl("api-resources", "--api-group=")
    explained = kubectl("explain", "pod.spec.initContainers")
    assert "restartPolicy" in explained if minor == 37 else "restartPolicy\t" not in explained
    kubectl("-n", "shop", "create", "configmap", "seen", "--from-literal=a=b")
    assert "seen" in kubectl("-n", "shop", "get", "configmaps")
    manifest = {"apiVersion": "v1", "kind": "Pod", **pod_with_a_sidecar("kubectl")}
    refused = kubectl.run("-n", "shop", "create", "-f", "-", stdin=json.dumps(manifest))
    assert (refused.returncode == 0) == (minor == 37), refused.stderr
    if minor == 26:
        assert 'unknown field "spec.initContainers[0].restartPolicy"' in refused.stderr
