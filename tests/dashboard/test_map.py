"""The map: from a real watcher against the sandbox, five thousand pods, who sees what, the workload from near."""

from __future__ import annotations

import contextlib
import gzip
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from healing.dashboard.map.drawing import order
from healing.dashboard.map.tiles import DOTS, MOST_DOTS, dots_of
from healing.detection import heartbeat, inventory
from healing.detection.cache import ObjectCache
from healing.detection.inventory import PodState
from healing.detection.leader import Timing
from healing.detection.surveying import Surveyor
from healing.detection.watcher import Options, Watcher
from healing.models import HealingEvent
from healing.ports import Ports
from healing.ports.cluster import Object
from tests import stored
from tests.cluster.sandbox import eventually, running_sandbox
from tests.dashboard import story
from tests.detection.watching import at_work
from tests.people import person

pytestmark = pytest.mark.django_db

TIMING = Timing(lease_seconds=3.0, renew_within_seconds=2.0, retry_seconds=0.2)


# --- a world of our own, as the watches tell it ---------------------------------------------------------------


def deployment(space: str, name: str, replicas: int, env: dict[str, str] | None = None, **spec: Any) -> Object:
    container = {"name": name, "env": [{"name": key, "value": value} for key, value in (env or {}).items()]}
    return {
        "kind": "Deployment",
        "metadata": {"namespace": space, "name": name, "uid": f"d-{space}-{name}", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
            **spec,
        },
    }


def replicaset(space: str, name: str) -> Object:
    owner = {"kind": "Deployment", "name": name, "uid": f"d-{space}-{name}", "controller": True}
    return {
        "kind": "ReplicaSet",
        "metadata": {"namespace": space, "name": f"{name}-1", "uid": f"r-{space}-{name}", "ownerReferences": [owner]},
    }


def pod(space: str, name: str, number: int, *, ready: bool = True, version: int = 1, node: str = "node-0") -> Object:
    owner = {"kind": "ReplicaSet", "name": f"{name}-1", "uid": f"r-{space}-{name}", "controller": True}
    waiting = {} if ready else {"waiting": {"reason": "CrashLoopBackOff"}}
    return {
        "kind": "Pod",
        "metadata": {
            "namespace": space,
            "name": f"{name}-1-{number:04}",
            "labels": {"app": name},
            "ownerReferences": [owner],
            "resourceVersion": str(version),
        },
        "spec": {"nodeName": node},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": name, "restartCount": 0, "state": waiting}],
        },
    }


def service(space: str, name: str) -> Object:
    return {
        "kind": "Service",
        "metadata": {"namespace": space, "name": name, "resourceVersion": "1"},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
    }


def node(name: str, *, ready: bool = True, cordoned: bool = False) -> Object:
    conditions = [{"type": "Ready", "status": "True" if ready else "Unknown"}]
    return {
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {"unschedulable": cordoned},
        "status": {"conditions": conditions},
    }


def world(*objects: Object) -> ObjectCache:
    held = ObjectCache()
    for obj in objects:
        held.apply("ADDED", obj)
    return held


def big(namespaces: int = 20, workloads: int = 25, pods: int = 10) -> ObjectCache:
    """5,000 pods; each workload calls the next one, the last of a namespace the first of the next."""
    objects: list[Object] = [node(f"node-{index}") for index in range(50)]
    for n in range(namespaces):
        space = f"team-{n:02}"
        for w in range(workloads):
            following = f"app-{w + 1:02}" if w + 1 < workloads else f"app-00.team-{(n + 1) % namespaces:02}"
            objects.append(deployment(space, f"app-{w:02}", pods, {"NEXT_URL": f"http://{following}:80"}))
            objects += [replicaset(space, f"app-{w:02}"), service(space, f"app-{w:02}")]
            objects += [pod(space, f"app-{w:02}", p, node=f"node-{(n + w + p) % 50}") for p in range(pods)]
    return world(*objects)


def publish(held: ObjectCache, cluster: str = "default") -> None:
    Surveyor(cluster, held, threading.Event()).look()
    now = datetime.now(UTC).isoformat()
    heartbeat.write(cluster, heartbeat.Heartbeat(now, "test", is_leader=True, synced=True))


@pytest.fixture(autouse=True)
def clean_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def small() -> ObjectCache:
    held = world(
        node("node-0"),
        node("node-1", cordoned=True),
        deployment("shop", "web", 2, {"ORDERS_URL": "http://orders:80", "BANK": "http://ledger.bank:80/pay"}),
        deployment("shop", "orders", 3),
        deployment("bank", "ledger", 1, paused=True),
        *(replicaset(space, name) for space, name in (("shop", "web"), ("shop", "orders"), ("bank", "ledger"))),
        *(service(space, name) for space, name in (("shop", "web"), ("shop", "orders"), ("bank", "ledger"))),
        pod("shop", "web", 1),
        pod("shop", "web", 2, node="node-1"),
        pod("shop", "orders", 1),
        pod("shop", "orders", 2, ready=False),
        pod("bank", "ledger", 1),
    )
    publish(held)
    return held


# --- the watcher's picture ----------------------------------------------------------------------------------------


def test_the_picture_says_what_runs_and_who_calls_whom(small: ObjectCache) -> None:
    seen = inventory.read("default")
    assert seen is not None
    web, orders = seen.find("Deployment", "shop", "web"), seen.find("Deployment", "shop", "orders")
    assert web is not None
    assert orders is not None
    assert {seen.workloads[place].name for place in web.calls} == {"orders", "ledger"}
    assert [seen.workloads[place].name for place in orders.callers] == ["web"]
    assert (orders.desired, orders.ready) == (3, 1)
    assert [(p.state, p.reason) for p in orders.pods if p.reason] == [(PodState.FAILING, "CrashLoopBackOff")]
    ledger = seen.find("Deployment", "bank", "ledger")
    assert ledger is not None
    assert ledger.is_paused
    assert [(n.name, n.is_cordoned, n.pods) for n in seen.nodes] == [("node-0", False, 4), ("node-1", True, 1)]


def test_an_isolated_pod_stays_with_the_workload_it_was_taken_from(small: ObjectCache) -> None:
    taken = pod("shop", "web", 2, version=2)
    taken["metadata"] |= {
        "labels": {"recist.io/quarantine": "he-x"},
        "annotations": {"recist.io/quarantined-from": "Deployment/web"},
        "ownerReferences": [],
    }
    small.apply("MODIFIED", taken)
    publish(small)
    seen = inventory.read("default")
    assert seen is not None
    web = seen.find("Deployment", "shop", "web")
    assert web is not None
    assert sorted(p.state for p in web.pods) == [PodState.ISOLATED, PodState.READY]


def test_what_has_not_changed_is_not_written_again_and_what_has_is_soon(small: ObjectCache) -> None:
    surveyor = Surveyor("other", small, threading.Event())
    surveyor.look()
    first = inventory.read("other")
    cache.delete("watcher.inventory.other")
    surveyor.look()
    assert inventory.read("other") is None
    small.apply("MODIFIED", pod("shop", "orders", 2, version=2))
    surveyor.look()
    second = inventory.read("other")
    assert first is not None
    assert second is not None
    assert first.etag != second.etag
    orders = second.find("Deployment", "shop", "orders")
    assert orders is not None
    assert orders.ready == 2
    small.apply("MODIFIED", deployment("shop", "web", 2, {}) | {"spec": deployment("shop", "web", 2)["spec"]})
    small.apply("DELETED", service("shop", "orders"))
    surveyor.look()
    third = inventory.read("other")
    assert third is not None
    assert not third.find("Deployment", "shop", "orders").callers  # type: ignore[union-attr]


def test_a_change_among_five_thousand_pods_costs_little() -> None:
    held = big()
    surveyor = Surveyor("default", held, threading.Event())
    surveyor.look()
    took = []
    for version in range(2, 5):
        for number in range(50):
            held.apply("MODIFIED", pod(f"team-{number % 20:02}", "app-03", number % 10, version=version))
        started = time.thread_time()
        surveyor.look()
        took.append(time.thread_time() - started)
    seen = inventory.read("default")
    assert seen is not None
    assert sum(workload.pod_count for workload in seen.workloads) == 5000
    assert all(len(workload.calls) == 1 for workload in seen.workloads)
    assert min(took) < 0.2, took


# --- the page -----------------------------------------------------------------------------------------------------


def test_the_page_shows_what_is_wrong_first_and_in_words(small: ObjectCache, client: Client, alice: User) -> None:
    client.force_login(alice)
    html = client.get("/map/").content.decode()
    assert html.index(">orders<") < html.index(">web<")
    assert "2 of 3 not ready" in html
    assert "rollout paused" in html
    assert "cordoned: takes no new pods" in html
    near = client.get("/map/?namespace=shop").content.decode()
    assert "call-graph" in near
    assert "web → orders" in near
    assert "in bank" in near
    assert ">ledger<" not in client.get("/map/?text=crash").content.decode()


def test_an_open_event_colours_its_workload_and_leads_to_it(client: Client, alice: User) -> None:
    told = story.tell_all(datetime.now(UTC), alice)
    event = HealingEvent.objects.get(pk=told["waiting"].pk)
    space, name = event.target_namespace, event.target_name
    publish(world(node("node-0"), deployment(space, name, 1), replicaset(space, name), pod(space, name, 1)))
    client.force_login(alice)
    html = client.get("/map/").content.decode()
    assert f"/events/{event.name}/" in html
    assert "waits for a person" in html
    near = client.get(reverse("dashboard:workload", args=("default", space, event.target_kind, name)))
    assert event.name in near.content.decode()


def test_a_viewer_of_one_namespace_sees_no_other(small: ObjectCache, client: Client) -> None:
    client.force_login(person("vera", "viewer", namespace="shop"))
    html = client.get("/map/").content.decode()
    assert "orders" in html
    assert "ledger" not in html
    assert "node-1" not in html
    assert "ledger" not in client.get("/map/?namespace=shop").content.decode()
    assert "bank" not in client.get("/map/default/shop/Deployment/web/").content.decode()
    assert client.get("/map/default/bank/Deployment/ledger/").status_code == 404
    assert client.get("/map/default/-/Node/node-1/").status_code == 404
    client.force_login(person("nobody"))
    assert client.get("/map/").status_code == 403


def test_nothing_is_sent_while_nothing_has_changed(small: ObjectCache, client: Client, alice: User) -> None:
    client.force_login(alice)
    etag = client.get("/map/").content.decode().split('id="map"')[1].split('data-etag="')[1].split('"')[0]
    asked = {"HTTP_HX_REQUEST": "true"}
    assert client.get(f"/map/?etag={etag}", **asked).status_code == 204  # type: ignore[arg-type]
    small.apply("MODIFIED", pod("shop", "orders", 2, version=2))
    publish(small)
    answer = client.get(f"/map/?etag={etag}", **asked)  # type: ignore[arg-type]
    assert answer.status_code == 200
    assert "<!doctype" not in answer.content.decode()


def test_five_thousand_pods_weigh_little(client: Client, alice: User) -> None:
    publish(big())
    client.force_login(alice)
    client.get("/map/")
    started = time.thread_time()
    page = client.get("/map/").content
    took = time.thread_time() - started
    assert b"5000" in page
    assert len(gzip.compress(page)) < 100_000
    assert took < 2.0
    near = client.get("/map/?namespace=team-03").content.decode()
    assert near.count('class="tile ') == 25


def test_the_workload_from_near(small: ObjectCache, client: Client, alice: User) -> None:
    told = story.tell_all(timezone.now(), alice)
    stored.isolation(told["waiting"], "orders-1-0002", seconds=300)
    client.force_login(alice)
    page = client.get("/map/default/shop/Deployment/orders/").content.decode()
    assert "crash loop back off" in page
    assert "/map/default/-/Node/node-0/" in page
    assert "/map/default/shop/Deployment/web/" in page
    assert client.get("/map/default/-/Node/node-0/").status_code == 200
    assert client.get("/map/default/shop/Deployment/nothing/").status_code == 404
    assert client.get("/map/elsewhere/shop/Deployment/orders/").status_code == 404


def test_an_empty_map_says_why(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert "Is manage.py watch running?" in client.get("/map/").content.decode()
    publish(world(node("node-0")))
    assert "fills by itself" in client.get("/map/").content.decode()


def test_what_is_rare_and_bad_is_seen_among_many() -> None:
    dots = dots_of(((PodState.FAILING, 1), (PodState.READY, 4999)))
    assert [colour for colour, _ in dots.paths] == ["bad", "well"]
    assert "h2.0" in dots.paths[0][1]
    few = dots_of(((PodState.READY, MOST_DOTS),))
    assert few.paths[0][1].count("M") == MOST_DOTS
    assert set(DOTS) == set(PodState)


def test_neighbours_stand_near_each_other() -> None:
    left, right = order([[1, 2], [3, 4]], {(1, 4), (2, 3)})
    assert {1: 4, 2: 3}[left[0]] == right[0]
    assert {1: 4, 2: 3}[left[1]] == right[1]


# --- a real watcher ---------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_watcher_of_the_shop_draws_the_shop(tmp_path: Path, client: Client, alice: User) -> None:
    with (
        running_sandbox(tmp_path, scenario="shop") as running,
        contextlib.closing(running.connect()) as connection,
        at_work(Watcher(Ports("default", connection), Options("default", timing=TIMING))),
    ):

        def drawn() -> bool:
            seen = inventory.read("default")
            orders = seen.find("Deployment", "shop", "orders") if seen else None
            return bool(orders and orders.ready and orders.calls)

        eventually(drawn, 60)
        seen = inventory.read("default")
        assert seen is not None
        gateway = seen.find("Deployment", "shop", "gateway")
        assert gateway is not None
        called = {seen.workloads[place].name for place in gateway.calls}
        assert {"catalog", "cart", "orders", "recommendations"} <= called
        client.force_login(alice)
        html = client.get("/map/?namespace=shop").content.decode()
        assert "gateway → orders" in html
        assert html.count('class="tile ') >= 8
