"""Pods that fail on one node only: the node is named where the same pods do well elsewhere, and only there."""

from __future__ import annotations

import copy

import pytest

from tests.diagnosis.asked import all_of, named
from tests.diagnosis.world import World, container

FAILING = {
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}},
    "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}},
    "ready": False,
    "restartCount": 4,
}


def put(world: World, pod_prefix: str, revision: int, node: str) -> None:
    for pod in world.pods(pod_prefix, revision):
        pod["spec"]["nodeName"] = node
        world.snapshot.add(pod)


@pytest.mark.parametrize("is_new_revision", [False, True])
def test_siblings_of_another_revision_prove_nothing(*, is_new_revision: bool) -> None:
    """A scheduler puts many new pods on the emptiest node: bad releases of all of them are no bad node."""
    world = World()
    world.node("node-a")
    world.node("node-b")
    for name in ("cart", "orders", "search"):
        if is_new_revision:
            broken = [container(command=["sh", "-c", "exit 3"])]
            world.deployment(name, broken, before=[container()], failing=copy.deepcopy(FAILING), node="node-a")
            put(world, name, 1, "node-b")
        else:
            world.deployment(name, failing=copy.deepcopy(FAILING), failing_pods=2, node="node-a")
            one = world.pods(name)[0]
            one["spec"]["nodeName"] = "node-b"
            one["status"]["conditions"][0]["status"] = "True"
            one["status"]["containerStatuses"][0] |= {
                "ready": True,
                "state": {"running": {}},
                "lastState": {},
                "restartCount": 0,
            }
            world.snapshot.add(one)
    causes = {named(finding) for finding in all_of(world).findings}
    assert (("FaultyNode", "Node", "node-a") in causes) is not is_new_revision
    if is_new_revision:
        assert named(all_of(world).findings[0])[:2] == ("BadRollout", "Deployment")
