"""The whole product as processes: the fixture other tests rely on, and the supervisor's care for it."""

from __future__ import annotations

import os
import signal

import pytest

from tests.parts.live_tree import LiveTree

pytestmark = pytest.mark.tree


def test_the_people_of_the_demo_can_sign_in(live_tree: LiveTree) -> None:
    for user in ("admin", "operator", "approver"):
        with live_tree.http(user) as client:
            assert client.get("/").status_code == 200


def test_kubectl_reaches_the_cluster(live_tree: LiveTree) -> None:
    assert "selfhealingpolicies" in live_tree.kubectl("api-resources")
    assert "Ready" in live_tree.kubectl("get", "nodes")


@pytest.mark.parametrize("name", ["worker-fast", "worker", "beat", "watcher", "web", "valkey"])
def test_a_killed_process_comes_back(live_tree: LiveTree, name: str) -> None:
    killed = live_tree.process(name).pid
    os.kill(killed, signal.SIGKILL)
    live_tree.wait_for(lambda: live_tree.process(name).pid != killed, f"{name} is started again")
    live_tree.wait_for(live_tree.is_ready, "the web process is ready")
