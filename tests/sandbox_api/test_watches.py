"""Watches: order, selectors, bookmarks, ends, other forms."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.sandbox_api.running import RunningApi

_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def _watch(
    api: RunningApi, path: str, seconds: int = 1, accept: str = "application/json", **query: str
) -> list[dict[str, Any]]:
    """All events of a watch that ends after ``seconds``."""
    params = {"watch": "true", "timeoutSeconds": str(seconds), **query}
    answer = api.http.get(path, params=params, headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def _path(api: RunningApi, name: str) -> str:
    api.namespace(name)
    return f"/api/v1/namespaces/{name}/configmaps"


def _put(api: RunningApi, path: str, name: str, **labels: str) -> None:
    answer = api.http.post(path, json={"metadata": {"name": name, "labels": labels}, "data": {"k": "1"}})
    assert answer.status_code == 201, answer.text


def _patch(api: RunningApi, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.http.patch(path, json=body, headers={"Content-Type": "application/merge-patch+json"})
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


def _version(api: RunningApi, path: str) -> str:
    return str(api.http.get(path).json()["metadata"]["resourceVersion"])


def test_changes_since_a_list_come_in_order(api: RunningApi) -> None:
    path = _path(api, "watch-order")
    version = _version(api, path)
    _put(api, path, "a", app="web")
    _patch(api, f"{path}/a", {"data": {"k": "2"}})
    _patch(api, f"{path}/a", {"data": {"k": "2"}})  # changes nothing, so it is no event
    api.http.delete(f"{path}/a")
    events = _watch(api, path, resourceVersion=version)
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))
    assert versions[0] > int(version)


def test_a_selector_translates(api: RunningApi) -> None:
    """What stops matching is DELETED with its last matching content and the new version."""
    path = _path(api, "watch-selector")
    version = _version(api, path)
    _put(api, path, "a", app="web")
    out = _patch(api, f"{path}/a", {"metadata": {"labels": {"app": "quarantine"}}})
    _patch(api, f"{path}/a", {"data": {"k": "unseen"}})
    _patch(api, f"{path}/a", {"metadata": {"labels": {"app": "web"}}})
    api.http.delete(f"{path}/a")
    events = _watch(api, path, resourceVersion=version, labelSelector="app=web")
    assert [event["type"] for event in events] == ["ADDED", "DELETED", "ADDED", "DELETED"]
    gone = events[1]["object"]["metadata"]
    assert gone["labels"] == {"app": "web"}
    assert gone["resourceVersion"] == out["metadata"]["resourceVersion"]


def test_other_namespaces_and_names_stay_out(api: RunningApi) -> None:
    path, other = _path(api, "watch-here"), _path(api, "watch-there")
    version = _version(api, path)
    for where in (path, other):
        _put(api, where, "a")
        _put(api, where, "b")
    events = _watch(api, path, resourceVersion=version, fieldSelector="metadata.name=b")
    assert [(e["object"]["metadata"]["namespace"], e["object"]["metadata"]["name"]) for e in events] == [
        ("watch-here", "b")
    ]
    everywhere = _watch(api, "/api/v1/configmaps", resourceVersion=version)
    assert len(everywhere) == 4


def test_initial_events_end_with_a_bookmark(api: RunningApi) -> None:
    path = _path(api, "watch-initial")
    _put(api, path, "a")
    query = {"allowWatchBookmarks": "true", "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    events = _watch(api, path, 1, "application/json", fieldSelector="metadata.name!=kube-root-ca.crt", **query)
    assert [event["type"] for event in events[:2]] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    refused = api.http.get(path, params={"watch": "true", "sendInitialEvents": "true"})
    assert refused.status_code == 422


def test_a_bookmark_comes_before_the_end_only_if_wanted(api: RunningApi) -> None:
    path = "/api/v1/namespaces/default/pods"
    version = _version(api, path)
    with_bookmarks = _watch(api, path, resourceVersion=version, allowWatchBookmarks="true")
    assert [event["type"] for event in with_bookmarks] == ["BOOKMARK"]
    bookmark = with_bookmarks[0]["object"]
    assert (bookmark["kind"], bookmark["spec"], bookmark["status"]) == ("Pod", {"containers": None}, {})
    assert _watch(api, path, resourceVersion=version) == []


def test_a_watch_as_table(api: RunningApi) -> None:
    path = _path(api, "watch-table")
    version = _version(api, path)
    _put(api, path, "a")
    _patch(api, f"{path}/a", {"data": {"k": "2", "l": "3"}})
    events = _watch(api, path, accept=_TABLE, resourceVersion=version)
    assert [event["object"]["kind"] for event in events] == ["Table", "Table"]
    assert events[0]["object"]["columnDefinitions"]
    assert events[1]["object"]["columnDefinitions"] is None
    assert events[1]["object"]["rows"][0]["cells"][:2] == ["a", 2]


def test_a_watch_of_metadata(api: RunningApi) -> None:
    path = _path(api, "watch-partial")
    version = _version(api, path)
    _put(api, path, "a")
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"
    event = _watch(api, path, accept=accept, resourceVersion=version)[0]
    assert event["object"].keys() == {"kind", "apiVersion", "metadata"}


def test_too_much_history_expires(api: RunningApi) -> None:
    path = _path(api, "watch-history")
    version = int(_version(api, path))
    api.call(lambda: setattr(api.server.store.table("configmaps"), "forgotten_version", version + 1))
    events = _watch(api, path, resourceVersion=str(version))
    assert [event["type"] for event in events] == ["ERROR"]
    assert (events[0]["object"]["code"], events[0]["object"]["reason"]) == (410, "Expired")


def test_injected_faults_reach_the_client(api: RunningApi) -> None:
    path = "/api/v1/namespaces/default/secrets"
    faults = "/sandbox/v1/api/faults"
    for fault, status in (({"kind": "error", "code": 503}, 503), ({"kind": "throttle", "seconds": 2}, 429)):
        assert api.http.post(faults, json={**fault, "path": path, "count": 1}).status_code == 200
        answer = api.http.get(path)
        assert answer.status_code == status
        assert api.http.get(path).status_code == 200
    assert answer.headers["retry-after"] == "2"
    api.http.post(faults, json={"kind": "latency", "path": path, "count": 1, "seconds": 0.2})
    started = time.monotonic()
    assert api.http.get(path).status_code == 200
    assert time.monotonic() - started >= 0.2
    assert api.http.post(faults, json={"kind": "nonsense"}).status_code == 400
    assert api.http.delete(faults).json() == {"faults": []}


def test_dropped_connections(api: RunningApi) -> None:
    import httpx
    import pytest

    path = "/api/v1/namespaces/default/secrets"
    api.http.post("/sandbox/v1/api/faults", json={"kind": "drop", "path": path, "count": 1})
    with pytest.raises(httpx.TransportError):
        api.http.get(path)
    assert api.http.get(path).status_code == 200
