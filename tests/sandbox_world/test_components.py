"""The control plane's own processes: what is seen of them, and what follows when one stops."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from healing.sandbox.ports import Object
from healing.sandbox.virtual_time import run_virtual
from healing.sandbox.world import Settings
from tests.sandbox_world.lab import NAMESPACE, Lab, lab
from tests.sandbox_world.test_workloads import in_lab, scale, set_image


def in_cluster(scene: Callable[[Lab], Coroutine[Any, Any, None]]) -> None:
    async def play() -> None:
        async with lab(2, Settings(), control_plane=True) as made:
            await scene(made)

    run_virtual(play())


def system_pod(cluster: Lab, name: str) -> Object:
    found = cluster.cluster.get("pods", "kube-system", name)
    assert found is not None
    return found


def container_state(pod: Object) -> Object:
    status: Object = pod["status"]["containerStatuses"][0]
    return status


def test_a_cluster_shows_its_control_plane() -> None:
    async def scene(made: Lab) -> None:
        await made.sleep(2)
        names = {p["metadata"]["name"] for p in made.cluster.list("pods", "kube-system")}
        assert names == {
            "kube-apiserver-node1", "etcd-node1", "kube-controller-manager-node1", "kube-scheduler-node1",
            "kube-proxy-node1", "kube-proxy-node2",
        }  # fmt: skip
        assert all(container_state(p)["ready"] for p in made.cluster.list("pods", "kube-system"))
        await made.sleep(60)
        assert container_state(system_pod(made, "kube-scheduler-node1"))["restartCount"] == 0

    in_cluster(scene)


def test_without_a_scheduler_pods_wait_without_a_word() -> None:
    async def scene(made: Lab) -> None:
        await made.sleep(2)
        made.world.component("scheduler").stop()
        made.deployment()
        await made.until(made.pods)
        await made.sleep(90)
        pod = made.pods()[0]
        assert (pod["status"]["phase"], pod["status"].get("conditions")) == ("Pending", None)
        assert not [e for e in made.events() if e["involvedObject"]["kind"] == "Pod"]
        scheduler = container_state(system_pod(made, "kube-scheduler-node1"))
        assert scheduler["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        assert scheduler["restartCount"] >= 3
        lease = made.cluster.get("leases.coordination.k8s.io", "kube-system", "kube-scheduler")
        other = made.cluster.get("leases.coordination.k8s.io", "kube-system", "kube-controller-manager")
        assert lease is not None
        assert other is not None
        assert lease["spec"]["renewTime"] < other["spec"]["renewTime"]
        made.world.component("scheduler").start()
        await made.until(made.is_rolled_out, 10)
        await made.until(lambda: container_state(system_pod(made, "kube-scheduler-node1"))["ready"], 200)

    in_cluster(scene)


def test_without_a_controller_manager_nothing_is_kept() -> None:
    async def scene(made: Lab) -> None:
        made.deployment()
        made.service()
        await made.until(made.is_rolled_out)
        made.world.stop_component("controller-manager")
        await made.sleep(1)
        made.mutate("deployments.apps", "web", scale(3))
        made.mutate("deployments.apps", "web", set_image("registry.local/web:1.1"))
        await made.sleep(30)
        deployment = made.get("deployments.apps", "web")
        assert deployment["status"]["observedGeneration"] < deployment["metadata"]["generation"]
        assert len(made.pods()) == 1
        made.delete("pods", made.pods()[0]["metadata"]["name"])
        await made.until(lambda: not made.pods(), 20)
        made.world.start_component("controller-manager")
        await made.until(made.is_rolled_out, 30)
        await made.until(lambda: len(made.pods()) == 3)

        def addresses() -> int:
            slices = made.cluster.list("endpointslices.discovery.k8s.io", NAMESPACE)
            return sum(len(item["endpoints"] or ()) for item in slices)

        await made.until(lambda: addresses() == 3)

    in_cluster(scene)


def test_a_lost_proxy_is_seen_on_its_node() -> None:
    async def scene(made: Lab) -> None:
        await made.sleep(2)
        made.world.component("kube-proxy", "node2").stop()
        await made.sleep(10)
        assert not made.world.has_proxy("node2")
        assert made.world.has_proxy("node1")
        assert not container_state(system_pod(made, "kube-proxy-node2"))["ready"]
        assert container_state(system_pod(made, "kube-proxy-node1"))["ready"]

    in_cluster(scene)


def test_unknown_components_are_refused() -> None:
    async def scene(made: Lab) -> None:
        with pytest.raises(ValueError, match="scheduler"):
            made.world.component("etcd")
        with pytest.raises(KeyError):
            made.world.component("kube-proxy", "node9")

    in_lab(scene)
