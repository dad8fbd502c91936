"""One app and three clusters, one of which is away: each fault is healed where it is, in the usual time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from healing.cluster.kubernetes import KubernetesCluster
from recist_web.supervisor.cluster import PreparedCluster
from recist_web.supervisor.launch import Target
from tests.cluster.sandbox import RunningSandbox, eventually, running_sandbox
from tests.parts.live_tree import LiveTree
from tests.parts.plugin import Parts

pytestmark = [pytest.mark.tree, pytest.mark.timeout(300)]


class ManyClusters(LiveTree):
    """The product without a sandbox of its own, on the given clusters."""

    def __init__(self, directory: Path, database_url: str | None, targets: list[Target]) -> None:
        super().__init__(directory, database_url)
        self.targets = targets

    def __enter__(self) -> Self:
        self._tree.__enter__()
        try:
            self._tree.start_valkey()
            self.manage("migrate", "--verbosity", "0")
            self.manage("shell", "--no-imports", "-c", "from recist_web.people import *; ensure_demo_people()")
            self._tree.start_product(self.targets, threads={"worker": 8}, watchers=1)
        except BaseException:
            self._tree.__exit__()
            raise
        return self


@dataclass
class World:
    tree: ManyClusters
    sandboxes: dict[str, RunningSandbox]

    def events(self, client: httpx.Client, **query: str) -> list[dict[str, Any]]:
        return list(client.get("/api/v1/events", params=query).raise_for_status().json()["items"])


def dead_kubeconfig(directory: Path) -> Path:
    """A cluster that nobody has started yet."""
    return directory / "not-there-yet" / "kubeconfig"


@pytest.fixture(scope="module")
def world(test_parts: Parts) -> Iterator[World]:
    base = test_parts.directory / "many"
    base.mkdir()
    with contextlib.ExitStack() as stack:
        sandboxes = {}
        for name in ("eu", "us"):
            (base / name).mkdir()
            sandboxes[name] = stack.enter_context(running_sandbox(base / name, scenario="shop"))
            prepared = PreparedCluster(sandboxes[name].kubeconfig)
            prepared.prepare_demo()
            prepared.close()
        targets = [Target(name, box.kubeconfig, None, box.prometheus, box.loki) for name, box in sandboxes.items()]
        targets.insert(1, Target("away", dead_kubeconfig(base)))
        url = test_parts.new_database("many")
        yield World(stack.enter_context(ManyClusters(base / "tree", url, targets)), sandboxes)


def watcher_says(client: httpx.Client) -> str:
    return next(part["says"] for part in client.get("/api/v1/health").json()["parts"] if part["name"] == "Watcher")


def is_well(cluster: KubernetesCluster, name: str) -> bool:
    status = cluster.get("Deployment", "shop", name)["status"]
    return status.get("readyReplicas", 0) == status.get("updatedReplicas", 0) == status.get("replicas", -1)


def break_image(box: RunningSandbox, workload: str) -> None:
    body = {"fault": "bad-image", "params": {"namespace": "shop", "workload": workload}}
    base = box.prometheus.removesuffix("/prometheus")
    assert httpx.post(f"{base}/sandbox/v1/faults", json=body, trust_env=False).status_code == 201


def test_a_fault_is_healed_in_its_cluster_while_another_is_away(world: World) -> None:
    tree, us = world.tree, world.sandboxes["us"]
    with tree.http() as client:
        tree.wait_for(lambda: "in 2 of 3 clusters" in watcher_says(client), "two clusters are watched")
        assert "away: does not answer." in watcher_says(client)
        policies = client.get("/api/v1/policies").json()["items"]
        assert {policy["cluster"] for policy in policies} == {"eu", "us"}

        break_image(us, "cart")
        event = tree.wait_for(
            lambda: next((e for e in world.events(client, cluster="us") if e["finishedAt"]), None), "it is healed", 120
        )
        assert (event["target"]["name"], event["outcome"]) == ("cart", "healed")
        assert {e["cluster"] for e in world.events(client)} == {"us"}, "the other shop was well all the time"
        detail = client.get(f"/api/v1/events/{event['name']}").json()
        assert detail["healingSeconds"] < 90
        cluster = us.connect()
        eventually(lambda: is_well(cluster, "cart"))
        resource = tree.wait_for(
            lambda: next(
                (he for he in cluster.list("HealingEvent", "shop").items if he["status"].get("outcome") == "healed"),
                None,
            ),
            "its resource says so",
        )
        assert resource["metadata"]["name"] == event["name"]
        cluster.close()


def test_a_cluster_that_comes_up_is_watched_within_seconds(world: World) -> None:
    """Its kubeconfig appears: nothing has to be started again."""
    tree = world.tree
    path = dead_kubeconfig(tree.directory.parent)
    path.parent.mkdir()
    with tree.http() as client, running_sandbox(path.parent):
        tree.wait_for(lambda: "in 3 of 3 clusters" in watcher_says(client), "the third is watched", 20)
    assert not any("crash" in line or "starting it again" in line for line in tree.said)
