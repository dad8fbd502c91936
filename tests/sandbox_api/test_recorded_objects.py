"""Recorded sequences: patches, leases, custom resources, kinds, namespaces, pages, discovery."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.sandbox_api.replay import RECORDINGS, Exchange, Replayer, compare, differences, exchange, normal
from tests.sandbox_api.running import ADMIN, RunningApi

_CONTROLLER = ADMIN.__class__(
    "system:deployment-controller", ("system:masters",), field_manager="kube-controller-manager"
)


def _names(directory: str) -> list[str]:
    return sorted(path.stem for path in (RECORDINGS / directory).glob("*.json"))


@pytest.fixture(scope="module")
def replayer(api: RunningApi) -> Replayer:
    for name in ("patches", "lease", "crd", "table"):
        api.namespace(name)
    return Replayer(api.http)


def _as_the_controller(api: RunningApi, name: str) -> None:
    """What the recorded cluster's deployment controller wrote right after the creation."""

    def note(obj: dict[str, object]) -> None:
        obj["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "1"}  # type: ignore[index]
        times = {"lastTransitionTime": "2026-01-01T00:00:00Z", "lastUpdateTime": "2026-01-01T00:00:00Z"}
        conditions = [
            {"type": kind, "status": "True", "reason": "R", "message": "m", **times}
            for kind in ("Available", "Progressing")
        ]
        obj["status"] = {"observedGeneration": 1, "conditions": conditions}

    api.call(
        lambda: api.server.mutate("deployments.apps", "patches", name, note, user=_CONTROLLER, subresource="status")
    )


def _patch(replayer: Replayer, api: RunningApi, name: str) -> None:
    recorded = exchange(f"patches/{name}.json")
    answer = replayer.send(recorded)
    if name == "01-create":
        _as_the_controller(api, "shop")
    elif name == "31-apply-creates-201":
        _as_the_controller(api, "applied")
    whole = recorded.status not in (200, 201) or recorded.path.endswith("/scale")
    found = compare(recorded, answer, without=() if whole else ("status",))
    # The recorded status conditions carry times the real type always has.
    assert [text for text in found if "f:lastTransitionTime" not in text and "f:lastUpdateTime" not in text] == []


def _lease(replayer: Replayer, api: RunningApi, name: str) -> None:
    recorded = exchange(f"lease/{name}.json")
    answer = replayer.send(recorded)
    if name == "08-renewtime-without-fraction":
        # The message quotes the object with its fields in the order of Go's struct.
        assert answer.status_code == recorded.status
        assert answer.json()["message"].rpartition('": ')[2] == recorded.answer["message"].rpartition('": ')[2]
        return
    assert compare(recorded, answer) == []


def _sorted_causes(status: object) -> object:
    if isinstance(status, dict) and "causes" in (status.get("details") or {}):
        status["details"]["causes"].sort(key=lambda cause: (cause["field"], cause["message"]))
        status.pop("message")
    return status


def _custom_resource(replayer: Replayer, api: RunningApi, name: str) -> None:
    recorded = exchange(f"crd/{name}.json")
    if name == "02-create":
        # Long enough for the next request to come too early.
        api.server.custom.serve_seconds = 1.0
    if name == "04-get":
        _wait_until_established(api)
    answer = replayer.send(recorded)
    if name == "10-cr-create-several-causes-422":
        # Properties are walked in no fixed order.
        assert answer.status_code == 422
        assert differences(_sorted_causes(normal(recorded.answer)), _sorted_causes(normal(answer.json()))) == []
        return
    assert compare(recorded, answer) == []
    headers = {
        "03-get-resource-at-once": ("retry-after", "1"),
        "12-cr-unknown-field-pruned": ("warning", '299 - "unknown field \\"spec.colour\\""'),
    }
    if name in headers:
        key, value = headers[name]
        assert answer.headers[key] == value


def _wait_until_established(api: RunningApi) -> None:
    deadline = time.monotonic() + 60
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/healthchecks.ops.example.com"
    while time.monotonic() < deadline:
        conditions = api.http.get(path).json()["status"]["conditions"] or []
        if any(item["type"] == "Established" and item["status"] == "True" for item in conditions):
            break
        time.sleep(0.01)
    while api.http.get("/apis/ops.example.com/v1alpha1/healthchecks").status_code != 200:
        assert time.monotonic() < deadline, "the CRD was not established"
        time.sleep(0.01)


Step = Callable[[Replayer, RunningApi, str], None]


@pytest.mark.parametrize(("directory", "step"), [("patches", _patch), ("lease", _lease), ("crd", _custom_resource)])
def test_a_sequence_from_its_first_to_its_last_step(
    replayer: Replayer, api: RunningApi, directory: str, step: Step
) -> None:
    """In one test: each step stands on those before, wherever tests are run side by side."""
    said = {name: _problem(step, replayer, api, name) for name in _names(directory)}
    assert {name: problem for name, problem in said.items() if problem} == {}


def _problem(step: Step, replayer: Replayer, api: RunningApi, name: str) -> str:
    try:
        step(replayer, api, name)
    except (AssertionError, ValueError) as error:
        return str(error) or repr(error)
    return ""


@pytest.mark.parametrize("name", [name for name in _names("kinds") if name.endswith("-create")])
def test_kinds_get_their_defaults(replayer: Replayer, name: str) -> None:
    recorded = exchange(f"kinds/{name}.json")
    assert compare(recorded, replayer.send(recorded)) == []


def test_a_namespace_goes_with_its_contents(api: RunningApi) -> None:
    api.namespace("leaving")
    pod = {
        "metadata": {"name": "a", "namespace": "leaving"},
        "spec": {"nodeName": "node1", "containers": [{"name": "web", "image": "x"}]},
    }
    assert api.http.post("/api/v1/namespaces/leaving/pods", json=pod).status_code == 201
    names = ("delete", "get-terminating", "delete-again-200", "create-in-terminating-403")
    for recorded in (exchange(f"namespaces/{name}.json") for name in names):
        answer = Replayer(api.http).send(recorded)
        found = compare(recorded, answer)
        # Which labels the creator owned, and the report on what remains, depend on the time of asking.
        assert [text for text in found if "managedFields" not in text and ".status.conditions" not in text] == []
    # The pod's kubelet ends it; then nothing holds the namespace.
    api.http.delete("/api/v1/namespaces/leaving/pods/a", params={"gracePeriodSeconds": 0})
    deadline = time.monotonic() + 60
    while api.http.get("/api/v1/namespaces/leaving").status_code == 200:
        assert time.monotonic() < deadline, "the namespace stayed"
        time.sleep(0.01)


def test_pages(api: RunningApi) -> None:
    api.namespace("pages")
    for index in range(5):
        body = {"metadata": {"name": f"page-{index}", "labels": {"set": "page"}}, "data": {"k": "1"}}
        assert api.http.post("/api/v1/namespaces/pages/configmaps", json=body).status_code == 201
    path = "/api/v1/namespaces/pages/configmaps"
    first = api.http.get(path, params={"limit": 2, "labelSelector": "set=page"}).json()
    recorded = exchange("lists/page-1-labelselector.json").answer
    assert differences(normal(recorded), normal(first)) in ([], _names_of_namespaces(recorded, first))
    # Between the pages one object goes and one comes; the list stays as it was.
    api.http.delete(f"{path}/page-4")
    api.http.post(path, json={"metadata": {"name": "page-9", "labels": {"set": "page"}}})
    params = {"limit": 2, "labelSelector": "set=page", "continue": first["metadata"]["continue"]}
    second = api.http.get(path, params=params).json()
    params["continue"] = second["metadata"]["continue"]
    third = api.http.get(path, params=params).json()
    names = [item["metadata"]["name"] for page in (first, second, third) for item in page["items"]]
    assert names == [f"page-{index}" for index in range(5)]
    assert "continue" not in third["metadata"]
    assert {page["metadata"]["resourceVersion"] for page in (first, second, third)} == {
        first["metadata"]["resourceVersion"]
    }


def _names_of_namespaces(recorded: object, ours: object) -> list[str]:
    """The recording was made in another namespace; nothing else may differ."""
    found = differences(normal(recorded), normal(ours))
    return found if all(".metadata.namespace" in text for text in found) else []


@pytest.mark.parametrize("name", ["empty", "labelselector-set", "partial-object-metadata"])
def test_lists(api: RunningApi, name: str) -> None:
    recorded = exchange(f"lists/{name}.json")
    space = f"lists-{name}"
    api.namespace(space)
    for item in recorded.answer["items"]:
        body = {
            "metadata": {"name": item["metadata"]["name"], "labels": item["metadata"]["labels"]},
            "data": {"k": "1"},
        }
        api.http.post(f"/api/v1/namespaces/{space}/configmaps", json=body)
    moved = Exchange(
        recorded.name,
        recorded.method,
        recorded.path.replace("/errors/", f"/{space}/"),
        recorded.query,
        recorded.headers,
        None,
        recorded.status,
        recorded.answer_headers,
        recorded.answer,
    )
    found = compare(moved, Replayer(api.http).send(moved))
    assert [text for text in found if ".metadata.namespace" not in text] == []


#: groups of the recorded server that the sandbox leaves out
_LEFT_OUT = frozenset(
    "apiregistration.k8s.io certificates.k8s.io flowcontrol.apiserver.k8s.io "
    "metrics.k8s.io node.k8s.io resource.k8s.io".split()
)
_DOCUMENTS = [
    name
    for name in _names("discovery")
    if name.startswith("api") and not any(group in name for group in _LEFT_OUT) and name not in ("apis", "api")
]


@pytest.mark.parametrize("name", _DOCUMENTS)
def test_resources_are_described_as_by_a_real_server(api: RunningApi, name: str) -> None:
    """Every resource the sandbox serves, with the same names, verbs and hash; it may serve fewer."""
    recorded = exchange(f"discovery/{name}.json")
    ours = api.http.get(recorded.path).json()
    theirs = {item["name"]: item for item in recorded.answer["resources"]}
    assert {key: value for key, value in ours.items() if key != "resources"} == {
        key: value for key, value in recorded.answer.items() if key != "resources"
    }
    assert ours["resources"]
    for item in ours["resources"]:
        assert item == theirs[item["name"]]


def test_groups(api: RunningApi) -> None:
    recorded = exchange("discovery/apis.json")
    ours = api.http.get("/apis").json()
    theirs = {group["name"]: group for group in recorded.answer["groups"]}
    assert ours["kind"] == "APIGroupList"
    assert set(theirs) - {group["name"] for group in ours["groups"]} == set(_LEFT_OUT)
    for group in ours["groups"]:
        if group["name"] in theirs:
            assert group == theirs[group["name"]]


@pytest.mark.parametrize("name", ["aggregated-api", "aggregated-apis"])
def test_aggregated_discovery(api: RunningApi, name: str) -> None:
    recorded = exchange(f"discovery/{name}.json")
    answer = Replayer(api.http).send(recorded)
    assert answer.headers["content-type"] == recorded.answer_headers["Content-Type"]
    theirs = {item["metadata"].get("name"): item for item in recorded.answer["items"]}
    for item in answer.json()["items"]:
        if item["metadata"].get("name") not in theirs:
            continue
        known = {version["version"]: version for version in theirs[item["metadata"].get("name")]["versions"]}
        for version in item["versions"]:
            resources = {entry["resource"]: entry for entry in known[version["version"]]["resources"]}
            for entry in version["resources"]:
                expected = resources[entry["resource"]]
                assert {k: v for k, v in entry.items() if k != "subresources"} == {
                    k: v for k, v in expected.items() if k != "subresources"
                }
                for sub in entry.get("subresources", []):
                    assert sub in expected["subresources"]
    again = api.http.get(recorded.path, headers={**recorded.headers, "If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "name", ["group-404", "group-apps", "healthz", "livez", "readyz", "unknown-path-404", "version-404"]
)
def test_other_documents(api: RunningApi, name: str) -> None:
    recorded = exchange(f"discovery/{name}.json")
    assert compare(recorded, Replayer(api.http).send(recorded)) == []


def test_version(api: RunningApi) -> None:
    recorded = exchange("discovery/version.json").answer
    ours = api.http.get("/version").json()
    assert ours.keys() == recorded.keys()
    assert (ours["major"], ours["minor"], ours["gitVersion"]) == ("1", "36", "v1.36.2")
