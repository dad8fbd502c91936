"""A watcher whose credentials reach no further than two namespaces: it sees what happens there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from healing.cluster.config import ClusterConfig
from healing.cluster.kubernetes import KubernetesCluster
from healing.detection.cache import ObjectCache
from healing.detection.gathering import Gathering
from healing.detection.leader import Timing
from healing.detection.watcher import Options, Watcher
from healing.models import HealingEvent
from healing.ports import Ports
from recist_web import rbac
from tests.cluster.sandbox import RunningSandbox, eventually
from tests.cluster.users import Admin
from tests.detection.test_watcher import apply_policy, broken_deployment
from tests.detection.watching import at_work

TIMING = Timing(lease_seconds=3.0, renew_within_seconds=2.0, retry_seconds=0.2)
OURS = ("only-a", "only-b")


@pytest.fixture
def limited(sandbox: RunningSandbox, tmp_path: Path) -> Iterator[KubernetesCluster]:
    """With the shipped rules, in two namespaces."""
    admin = Admin(sandbox, tmp_path)
    rules = [dict(rule) for rule in rbac.rules((*rbac.cluster_wide(), *rbac.own_namespace()))]
    cluster = KubernetesCluster(ClusterConfig(admin.user("limited", OURS, rules)))
    yield cluster
    cluster.close()
    admin.close()


@pytest.mark.django_db(transaction=True)
def test_faults_in_its_namespaces_are_found_and_others_are_not_looked_for(
    limited: KubernetesCluster, live: KubernetesCluster, namespace: str
) -> None:
    for name in (*OURS, namespace):
        live.create("Deployment", name, broken_deployment())
    ports = Ports("default", limited, namespaces=OURS)
    with at_work(Watcher(ports, Options(lease_namespace=OURS[0], timing=TIMING))) as watcher:
        for name in OURS:
            apply_policy(live, name)
        eventually(lambda: HealingEvent.objects.count() == len(OURS), 30)
        assert {event.target_namespace for event in HealingEvent.objects.all()} == set(OURS)
        assert watcher.session is not None
        assert watcher.session.is_synced()
        assert watcher.session.problems() == {}  # nodes are not for us, and that is no problem


def test_a_kind_is_read_when_all_its_namespaces_are() -> None:
    told: list[tuple[str, list[tuple[str, str, str]]]] = []

    class Sink:
        def changed(self, key: tuple[str, str, str]) -> None:
            told.append(("changed", [key]))

        def synced(self, kind: str, keys: list[tuple[str, str, str]]) -> None:
            told.append((kind, keys))

    whole = Gathering(Sink(), ("a", "b"))
    whole.of("a").synced("Pod", [("Pod", "a", "x")])
    whole.of("a").synced("Pod", [("Pod", "a", "x")])
    assert told == []
    whole.of("b").synced("Pod", [])
    assert told == [("Pod", [("Pod", "a", "x")] * 2)]
    whole.of("b").synced("Pod", [("Pod", "b", "y")])
    assert told[1:] == [("Pod", [("Pod", "b", "y")])]


def test_a_namespace_that_is_read_anew_leaves_the_others_alone() -> None:
    cache = ObjectCache()
    pods = [{"kind": "Pod", "metadata": {"namespace": name, "name": "x"}} for name in ("a", "b")]
    cache.replace("Pod", pods)
    assert cache.replace("Pod", [], "a") == {("Pod", "a", "x")}
    assert [pod["metadata"]["namespace"] for pod in cache.list("Pod")] == ["b"]
    assert cache.list("Pod", "a") == []
