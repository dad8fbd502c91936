"""Tables: the recorded columns and cells."""

from __future__ import annotations

import pytest

from healing.sandbox.api.meta import clone, parse_timestamp
from healing.sandbox.api.tables.columns import human_duration
from tests.sandbox_api.replay import RECORDINGS, exchange
from tests.sandbox_api.running import RunningApi

_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
#: need a CRD of their own; see test_custom_columns
_CUSTOM = {"custom-resource", "custom-resource-one"}
_NAMES = sorted(path.stem for path in (RECORDINGS / "tables").glob("*.json") if path.stem not in _CUSTOM)


@pytest.mark.parametrize("name", _NAMES)
def test_same_columns(api: RunningApi, name: str) -> None:
    recorded = exchange(f"tables/{name}.json")
    path = recorded.path
    ours = api.http.get(path, params=recorded.query, headers={"Accept": _TABLE}).json()

    def columns(table: dict[str, object]) -> list[tuple[object, ...]]:
        return [
            (column["name"], column["type"], column["format"], column["priority"])
            for column in table["columnDefinitions"]  # type: ignore[attr-defined]
        ]

    assert (ours["kind"], ours["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert columns(ours) == columns(recorded.answer)
    if name.startswith("empty-list") and "configmaps" not in path:
        assert ours["rows"] == recorded.answer["rows"]


def test_a_crash_looping_pod_is_printed_as_recorded(api: RunningApi) -> None:
    """The table holds the whole object, so its own cells can be held against ours."""
    recorded = exchange("tables/pods-includeobject-object.json").answer
    row = recorded["rows"][0]
    pod = clone(row["object"])
    namespace = pod["metadata"]["namespace"]
    # Its ReplicaSet is not here, and an orphan would be collected.
    del pod["metadata"]["ownerReferences"]
    restarted = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["finishedAt"]
    # The cell says "7 (4m36s ago)", so the server printed it then.
    now = parse_timestamp(restarted) + 4 * 60 + 36

    def put() -> None:
        api.server.clock = lambda: now
        api.server.store.commit("pods", "ADDED", (namespace, pod["metadata"]["name"]), pod, None)

    api.call(put)
    try:
        path = f"/api/v1/namespaces/{namespace}/pods"
        ours = api.http.get(path, params={"includeObject": "Object"}, headers={"Accept": _TABLE}).json()
        assert ours["rows"][0]["cells"] == row["cells"]
        assert ours["rows"][0]["object"]["spec"] == row["object"]["spec"]
        bare = api.http.get(path, params={"includeObject": "None"}, headers={"Accept": _TABLE}).json()
        assert bare["rows"][0]["object"] is None
    finally:
        import time

        api.call(lambda: setattr(api.server, "clock", time.time))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (119, "119s"), (120, "2m"), (127, "2m7s"), (599, "9m59s"), (600, "10m"), (10799, "179m"),
        (10800, "3h"), (11400, "3h10m"), (28800, "8h"), (172799, "47h"), (172800, "2d"), (176400, "2d1h"),
        (691200, "8d"), (63072000, "2y"), (-5, "<invalid>"),
    ],
)  # fmt: skip
def test_ages(seconds: int, text: str) -> None:
    assert human_duration(seconds) == text


def test_custom_columns(api: RunningApi) -> None:
    definition = exchange("crd/02-create.json").body
    api.namespace("columns")
    assert api.http.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=definition).status_code == 201
    base = "/apis/ops.example.com/v1alpha1/namespaces/columns/healthchecks"
    import time

    deadline = time.monotonic() + 60
    while api.http.get(base).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    body = {"apiVersion": "ops.example.com/v1alpha1", "kind": "HealthCheck", "metadata": {"name": "c"}}
    body["spec"] = {"severity": "high", "steps": ["look"]}
    assert api.http.post(base, json=body).status_code == 201
    ours = api.http.get(base, headers={"Accept": _TABLE}).json()
    recorded = exchange("tables/custom-resource.json").answer
    shown = [(c["name"], c["type"], c["priority"]) for c in ours["columnDefinitions"]]
    assert shown == [(c["name"], c["type"], c["priority"]) for c in recorded["columnDefinitions"]]
    expected = next(row["cells"] for row in recorded["rows"] if row["cells"][0] == "c")
    assert ours["rows"][0]["cells"][:-1] == expected[:-1]
