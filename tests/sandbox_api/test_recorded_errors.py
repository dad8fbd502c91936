"""The recorded errors, in the order that makes their state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from healing.sandbox.api.authz import service_account_user
from tests.sandbox_api.replay import RECORDINGS, Replayer, compare, differences, exchange, normal
from tests.sandbox_api.running import ADMIN, RunningApi

#: what the others need, or change
_FIRST = ["201-configmap-created", "409-alreadyexists", "200-put"]
_LAST = ["200-delete-dryrun", "200-delete-configmap", "200-deletecollection", "200-delete-deployment"]
#: told apart below
_OTHERWISE = {
    "410-continue-expired",
    "410-list-exact-compacted",
    "422-pod-immutable-spec",
    "422-pod-resources-without-resize",
    "422-patch-wrong-type",
    "429-eviction-blocked-by-pdb",
    "429-storage-initializing",
    "selfsubjectreview",
    "watch-future-resourceversion",
    "410-inside-200-watch-old-resourceversion",
}
_RESTRICTED = {
    "403-cluster-scope",
    "403-delete",
    "403-eviction",
    "403-get",
    "403-list",
    "403-patch-scale",
    "403-watch",
    "selfsubjectaccessreview-denied",
}
_ALL = sorted(path.stem for path in (RECORDINGS / "errors").glob("*.json"))
_PLAIN = _FIRST + [name for name in _ALL if name not in {*_FIRST, *_LAST, *_OTHERWISE}] + _LAST


@pytest.fixture(scope="module")
def replayer() -> Iterator[tuple[Replayer, RunningApi, dict[str, str]]]:
    with RunningApi(anonymous_is_admin=False) as api:
        authenticator = api.app.authenticator
        api.http.headers["Authorization"] = f"Bearer {authenticator.admin_token}"
        api.namespace("errors")
        user = service_account_user("errors", "restricted")
        tokens = {"restricted": authenticator.add_token(user)}
        deployment = exchange("errors/405-put-on-collection.json").body

        def fill() -> None:
            api.server.create("deployments.apps", "errors", deployment, user=ADMIN)
            container = {"name": "web", "image": "registry.local/web:1.0"}
            pod: dict[str, Any] = {
                "metadata": {"name": "run", "labels": {"app": "run"}},
                "spec": {"containers": [container]},
            }
            pod["spec"]["terminationGracePeriodSeconds"] = 1
            api.server.create("pods", "errors", pod, user=ADMIN)

        api.call(fill)
        yield Replayer(api.http), api, tokens


def _headers(name: str, tokens: dict[str, str]) -> dict[str, str]:
    if name in _RESTRICTED:
        return {"Authorization": f"Bearer {tokens['restricted']}"}
    if name == "401-bad-token":
        return {"Authorization": "Bearer wrong"}
    if name == "403-anonymous":
        return {"Authorization": ""}
    return {}


def test_same_answers(replayer: tuple[Replayer, RunningApi, dict[str, str]]) -> None:
    """In one test: some stand on what those before have created, wherever tests are run side by side."""
    sender, _, tokens = replayer
    said = {name: _differences(sender, tokens, name) for name in _PLAIN}
    assert {name: found for name, found in said.items() if found} == {}


def _differences(sender: Replayer, tokens: dict[str, str], name: str) -> list[str]:
    recorded = exchange(f"errors/{name}.json")
    answer = sender.send(recorded, _headers(name, tokens))
    found = compare(recorded, answer)
    if name == "200-deletecollection":
        # The recorded pod had started; ours, never scheduled, is answered in its last state.
        found = [
            text for text in found if not any(part in text for part in (".status", ".spec", "deletion", "generation"))
        ]
    return found


@pytest.mark.parametrize("name", ["422-pod-immutable-spec", "422-pod-resources-without-resize"])
def test_a_pods_spec_stays(replayer: tuple[Replayer, RunningApi, dict[str, str]], name: str) -> None:
    """The real server ends the message in a diff of its internal structs; everything before it is the same."""
    sender, api, _ = replayer
    api.namespace(f"pods-{name}".replace("_", "-")[:40].rstrip("-"))
    recorded = exchange(f"errors/{name}.json")
    pod = {"metadata": {"name": "run"}, "spec": {"containers": [{"name": "web", "image": "registry.local/web:1.0"}]}}
    namespace = api.http.post("/api/v1/namespaces", json={"metadata": {"generateName": "pods-"}}).json()["metadata"][
        "name"
    ]
    assert api.http.post(f"/api/v1/namespaces/{namespace}/pods", json=pod).status_code == 201
    answer = sender.http.patch(
        f"/api/v1/namespaces/{namespace}/pods/run",
        json=recorded.body,
        headers={"Content-Type": recorded.headers["Content-Type"]},
    )
    ours = answer.json()
    assert answer.status_code == 422
    assert ours["message"].partition("\n")[0] == recorded.answer["message"].partition("\n")[0]
    assert [cause["field"] for cause in ours["details"]["causes"]] == ["spec"]
    assert ours["details"]["causes"][0]["reason"] == "FieldValueForbidden"


def test_a_wrong_type_in_a_patch_is_invalid(replayer: tuple[Replayer, RunningApi, dict[str, str]]) -> None:
    sender, api, _ = replayer
    api.namespace("types")
    deployment = exchange("errors/405-put-on-collection.json").body
    assert api.http.post("/apis/apps/v1/namespaces/types/deployments", json=deployment).status_code == 201
    recorded = exchange("errors/422-patch-wrong-type.json")
    answer = sender.http.patch(
        "/apis/apps/v1/namespaces/types/deployments/web",
        json=recorded.body,
        headers={"Content-Type": recorded.headers["Content-Type"]},
    )
    ours = answer.json()
    assert (answer.status_code, ours["reason"]) == (422, "Invalid")
    assert ours["message"].startswith(' "" is invalid: patch: Invalid value: "{')
    assert ours["message"].rpartition('": ')[2] == recorded.answer["message"].rpartition('": ')[2]
    assert ours["details"].keys() == recorded.answer["details"].keys()


def test_who_am_i(replayer: tuple[Replayer, RunningApi, dict[str, str]]) -> None:
    sender, _, tokens = replayer
    recorded = exchange("errors/selfsubjectreview.json")
    answer = sender.send(recorded, {"Authorization": f"Bearer {tokens['restricted']}"})
    theirs, ours = recorded.answer["status"]["userInfo"], answer.json()["status"]["userInfo"]
    assert answer.status_code == recorded.status
    assert (ours["username"], sorted(ours["groups"])) == (theirs["username"], sorted(theirs["groups"]))


def test_expired_pages(replayer: tuple[Replayer, RunningApi, dict[str, str]]) -> None:
    """After a compaction the next page is 410 with a token to go on, and an exact list of an old version is 410."""
    _sender, api, _ = replayer
    first = api.http.get("/api/v1/serviceaccounts", params={"limit": 2}).json()["metadata"]

    def compact() -> None:
        table = api.server.store.table("serviceaccounts")
        table.forgotten_version = api.server.store.version + 1

    api.call(compact)
    try:
        recorded = exchange("errors/410-continue-expired.json")
        answer = api.http.get("/api/v1/serviceaccounts", params={"limit": 2, "continue": first["continue"]})
        assert answer.status_code == 410
        assert differences(normal(recorded.answer), normal(answer.json())) == []
        rest = api.http.get("/api/v1/serviceaccounts", params={"continue": answer.json()["metadata"]["continue"]})
        assert rest.status_code == 200
        exact = exchange("errors/410-list-exact-compacted.json")
        answer = api.http.get(
            "/api/v1/serviceaccounts",
            params={"limit": 2, "resourceVersion": first["resourceVersion"], "resourceVersionMatch": "Exact"},
        )
        assert (answer.status_code, answer.json()) == (410, exact.answer)
    finally:
        api.call(lambda: setattr(api.server.store.table("serviceaccounts"), "forgotten_version", 1000))


def test_a_blocked_eviction(replayer: tuple[Replayer, RunningApi, dict[str, str]]) -> None:
    sender, api, _ = replayer
    api.namespace("eviction-pdb")
    recorded = exchange("errors/429-eviction-blocked-by-pdb.json")
    name = recorded.body["metadata"]["name"]

    def fill() -> None:
        server = api.server
        pod = {
            "metadata": {"name": name, "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "x"}], "nodeName": "node1"},
        }
        server.create("pods", "eviction-pdb", pod, user=ADMIN)
        running = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        server.mutate(
            "pods", "eviction-pdb", name, lambda obj: obj.update(status=running), user=ADMIN, subresource="status"
        )
        budget = {"metadata": {"name": "web"}, "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}}}
        server.create("poddisruptionbudgets.policy", "eviction-pdb", budget, user=ADMIN)
        status = {
            "disruptionsAllowed": 0,
            "currentHealthy": 2,
            "desiredHealthy": 2,
            "expectedPods": 2,
            "observedGeneration": 1,
        }
        server.mutate(
            "poddisruptionbudgets.policy",
            "eviction-pdb",
            "web",
            lambda obj: obj.update(status=status),
            user=ADMIN,
            subresource="status",
        )

    api.call(fill)
    answer = sender.send(recorded)
    assert compare(recorded, answer) == []
    assert "Retry-After" not in answer.headers
    dry = {**recorded.body, "deleteOptions": {"dryRun": ["All"]}}
    assert api.http.post(recorded.path, json=dry).status_code == 429
    other = {**recorded.body, "metadata": {"name": "other"}}
    assert api.http.post(recorded.path, json=other).status_code == 400

    def allow() -> None:
        api.server.mutate(
            "poddisruptionbudgets.policy",
            "eviction-pdb",
            "web",
            lambda obj: obj["status"].update(disruptionsAllowed=1),
            user=ADMIN,
            subresource="status",
        )

    api.call(allow)
    assert api.http.post(recorded.path, json=recorded.body).status_code == 201
    # It is terminating now: again is 201 without asking the budget, whose allowance was taken by the first.
    assert api.http.post(recorded.path, json=recorded.body).status_code == 201
    budget = api.http.get("/apis/policy/v1/namespaces/eviction-pdb/poddisruptionbudgets/web").json()
    assert budget["status"]["disruptionsAllowed"] == 0
    assert list(budget["status"]["disruptedPods"]) == [name]


def test_an_old_version_expires_inside_the_watch(replayer: tuple[Replayer, RunningApi, dict[str, str]]) -> None:
    sender, _, _ = replayer
    recorded = exchange("errors/410-inside-200-watch-old-resourceversion.json")
    answer = sender.send(recorded)
    assert answer.status_code == 200
    assert differences(normal(recorded.answer), normal(answer.json())) == []


def test_a_future_version_is_silence(replayer: tuple[Replayer, RunningApi, dict[str, str]]) -> None:
    _, api, _ = replayer
    recorded = exchange("errors/watch-future-resourceversion.json")
    answer = api.http.get(recorded.path, params={**recorded.query, "timeoutSeconds": "1"})
    assert (answer.status_code, answer.text) == (200, "")
