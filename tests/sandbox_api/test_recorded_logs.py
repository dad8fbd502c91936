"""The recorded answers about logs, in the states they were asked in."""

from __future__ import annotations

from typing import Any

import pytest

from healing.sandbox.ports import LogLine, Object
from tests.sandbox_api.kubectl_parts import Lines
from tests.sandbox_api.replay import Replayer, compare, exchange
from tests.sandbox_api.running import ADMIN, RunningApi

_RUNNING = {"running": {"startedAt": "2026-11-23T00:06:30Z"}}
_FIRST_SECOND = 1795392396.0


class _Talk(Lines):
    """Sixteen lines, one a second."""

    def logs(self, pod_uid: str, container: str, *, previous: bool = False) -> list[LogLine] | None:
        if previous:
            return None
        return [LogLine(_FIRST_SECOND + index, f"line {index}") for index in range(16)]


def _pod(api: RunningApi, name: str, containers: dict[str, Any], *, init: str = "", node: str = "node1") -> None:
    spec: Object = {"containers": [{"name": key, "image": "x"} for key in containers]}
    if node:
        spec["nodeName"] = node
    if init:
        spec["initContainers"] = [{"name": init, "image": "x"}]
    api.server.create("pods", "logs", {"metadata": {"name": name}, "spec": spec}, user=ADMIN)
    statuses = [{"name": key, "state": state, "ready": False, "restartCount": 0} for key, state in containers.items()]
    status = {"phase": "Pending", "containerStatuses": statuses}
    api.server.mutate("pods", "logs", name, lambda obj: obj.update(status=status), user=ADMIN, subresource="status")


@pytest.fixture(scope="module")
def replayer(api: RunningApi) -> Replayer:
    api.namespace("logs")

    def fill() -> None:
        api.server.log_source = _Talk()
        _pod(api, "talk", {"app": _RUNNING})
        _pod(api, "two", {"a": _RUNNING, "b": _RUNNING})
        _pod(api, "init", {"app": {"waiting": {"reason": "PodInitializing"}}}, init="i")
        _pod(api, "wait", {"app": {"waiting": {"reason": "CreateContainerConfigError"}}})
        _pod(api, "pull", {"app": {"waiting": {"reason": "ImagePullBackOff"}}})
        _pod(api, "pending", {"app": {}}, node="")

    api.call(fill)
    return Replayer(api.http)


@pytest.mark.parametrize(
    "name",
    "container-invalid-400 container-not-named-400 pending-not-scheduled pod-not-found-404 podinitializing-400 "
    "previous-not-found-400 stream-stderr taillines-0 taillines-negative-422 taillines-text-400 "
    "waiting-configerror-400 waiting-imagepull-400".split(),
)
def test_same_answer(replayer: Replayer, name: str) -> None:
    recorded = exchange(f"logs/{name}.json")
    answer = replayer.send(recorded)
    if recorded.status == 204:
        assert (answer.status_code, answer.text) == (204, "")
        return
    assert compare(recorded, answer) == []


def test_choosing_lines(replayer: Replayer) -> None:
    path = "/api/v1/namespaces/logs/pods/talk/log"

    def lines(**query: str) -> list[str]:
        answer = replayer.http.get(path, params=query)
        assert answer.headers["content-type"].startswith("text/plain")
        return answer.text.splitlines()

    assert len(lines()) == 16
    assert lines(tailLines="3") == ["line 13", "line 14", "line 15"]
    assert replayer.http.get(path, params={"limitBytes": "10"}).text == "line 0\nlin"
    assert lines(sinceTime="2026-11-23T00:06:47Z", timestamps="true")[0] == "2026-11-23T00:06:47.000000000Z line 11"


def test_a_kubelet_that_does_not_answer(replayer: Replayer, api: RunningApi) -> None:
    recorded = exchange("logs/kubelet-unreachable.json")
    status = {
        "addresses": [{"type": "InternalIP", "address": "10.88.0.1"}],
        "conditions": [{"type": "Ready", "status": "Unknown"}],
    }

    def lose() -> None:
        api.server.create("nodes", None, {"metadata": {"name": "node1"}}, user=ADMIN)
        api.server.mutate(
            "nodes", None, "node1", lambda obj: obj.update(status=status), user=ADMIN, subresource="status"
        )

    api.call(lose)
    try:
        assert compare(recorded, replayer.send(recorded)) == []
    finally:
        api.call(lambda: api.server.delete("nodes", None, "node1", user=ADMIN))
