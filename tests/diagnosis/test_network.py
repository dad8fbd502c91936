"""Services, dependencies, policies, nodes: the root is upstream, the symptom is not the cause."""

from __future__ import annotations

import pytest

from healing.diagnosis.reasoner import diagnose
from healing.findings import Finding
from healing.ports.cluster import ObjectRef
from tests.diagnosis.test_workloads import _counter, all_of, best, named
from tests.diagnosis.world import World, ago, container, crashed


def calling(*hosts: str, **more: object) -> list[dict[str, object]]:
    env = [{"name": f"UPSTREAM_{i}_URL", "value": f"http://{host}"} for i, host in enumerate(hosts)]
    return [container(env=env, **more)]


def refused(host: str) -> str:
    return f"2026-05-04T09:59:50Z ERROR call failed: Get http://{host}/: dial tcp {host}: connect: connection refused\n"


def causes(world: World) -> list[tuple[str, str]]:
    return [(f.cause, f.object.name) for f in all_of(world).findings]


def test_ten_services_behind_one_dead_database() -> None:
    world = World()
    world.complete("Service")
    world.service("db", port=5432, target=5432)
    world.deployment(
        "db", [container(ports=[{"containerPort": 5432}])], failing=crashed(137, "OOMKilled", lived=2), replicas=1
    )
    for number in range(10):
        world.deployment(f"svc-{number}", calling("db:5432"), failing=crashed(1), replicas=1)
        world.service(f"svc-{number}")
        world.log(world.pods(f"svc-{number}")[0], refused("db:5432"), previous=True)
    diagnosis = all_of(world)
    assert diagnosis.best is not None
    assert named(diagnosis.best) == ("MemoryLimitTooLow", "Deployment", "db")
    assert all(f.object.name == "db" or f.confidence < 0.5 for f in diagnosis.findings)
    root = diagnosis.graph.nodes[0]
    assert root.kind == "rootCause"
    assert {e.source for e in diagnosis.graph.edges if e.kind == "dependsOn"} <= {root.id}


def test_a_complaint_about_a_caller_finds_the_callee() -> None:
    world = World()
    world.complete("Service")
    world.service("ledger")
    world.deployment(
        "ledger", [container(image="r/ledger:2")], before=[container(image="r/ledger:1")], failing=crashed(1)
    )
    for pod in world.pods("ledger", 1):
        world.snapshot._objects["Pod"].pop(("shop", pod["metadata"]["name"]))
        world.snapshot._by_namespace["Pod", "shop"].remove(pod)
    world.deployment("front", calling("ledger"), replicas=1)
    world.deployment("elsewhere", failing=crashed(3), replicas=1)
    found = diagnose(world.snapshot, target=ObjectRef("Deployment", "shop", "front"), symptom="HighErrorRate")
    assert found.best is not None
    assert named(found.best) == ("BadRollout", "Deployment", "ledger")
    assert not [f for f in found.findings if f.object.name == "elsewhere"]
    assert found.graph.nodes[-1].label.startswith("HighErrorRate")
    assert any(e.source == found.graph.nodes[0].id and e.target == found.graph.nodes[-1].id for e in found.graph.edges)


@pytest.mark.parametrize(
    ("selector", "suggested"),
    [
        ({"app": "catalgo"}, {"app": "catalog"}),
        ({"app": "catalog", "tier": "back"}, {"app": "catalog", "tier": "backend"}),
        ({"ap": "catalog"}, {"app": "catalog"}),
        ({"app": "catalog", "version": "v2"}, {"app": "catalog"}),
    ],
)
def test_selectors_that_match_nothing(selector: dict[str, str], suggested: dict[str, str]) -> None:
    world = World()
    world.deployment("catalog", labels={"app": "catalog", "tier": "backend"})
    world.deployment("other", labels={"app": "other", "tier": "backend"})
    world.service("other")
    world.service("catalog", selector)
    found = best(world)
    assert named(found) == ("ServiceSelectorMismatch", "Service", "catalog")
    assert found.facts["suggested_selector"] == suggested
    assert found.facts["selector"] == selector


def test_services_that_are_no_fault() -> None:
    world = World()
    world.deployment("catalog")
    world.service("catalog")
    world.service("catalog-headless", {"app": "catalog"}, clusterIP="None")
    world.service("leftover", {"app": "gone-since-last-year"})
    world.add("Service", "external", spec={"type": "ExternalName", "externalName": "api.example.com"})
    world.add("Service", "manual", spec={"ports": [{"port": 80}]})
    world.deployment("blue", replicas=0, labels={"app": "color", "slot": "blue"})
    world.service("blue", {"app": "color", "slot": "blue"})
    assert causes(world) == []


def test_the_backends_crash_so_the_service_is_not_to_blame() -> None:
    world = World()
    world.deployment("catalog", failing=crashed(1), replicas=1)
    world.service("catalog", target=9090)
    assert [name for _, name in causes(world)] == ["catalog"]
    assert best(world).object.kind == "Deployment"


@pytest.mark.parametrize(("target", "suggested"), [("htp", "http"), (9090, 8080)])
def test_target_ports(target: int | str, suggested: int | str) -> None:
    world = World()
    world.deployment("catalog")
    world.service("catalog", target=target)
    found = best(world)
    assert named(found) == ("ServicePortMismatch", "Service", "catalog")
    assert found.facts["suggested_target_port"] == suggested


def test_a_port_that_is_used_though_not_declared_is_no_fault() -> None:
    world = World()
    world.deployment("a", [container(env=[{"name": "PORT", "value": "3000"}])])
    world.service("a", target=3000)
    world.deployment("b", [container(ports=[])])
    world.service("b", target=3000)
    world.deployment("c", [container(readinessProbe={"tcpSocket": {"port": 3000}})])
    world.service("c", target=3000)
    assert causes(world) == []


def test_addresses_that_do_not_exist() -> None:
    world = World()
    world.complete("Service")
    world.deployment("payments")
    world.service("payments")
    world.deployment("orders", calling("paymnets"), before=calling("payments"), failing=crashed(1))
    line = "dial tcp: lookup paymnets on 10.96.0.10:53: no such host"
    world.log(world.pods("orders", 2)[0], f"2026-05-04T09:59:40Z FATAL {line}", previous=True)
    found = best(world)
    assert named(found) == ("WrongDependencyAddress", "Deployment", "orders")
    assert (found.facts["suggested_host"], found.facts["revision"]) == ("payments", 1)


def test_a_port_the_service_does_not_have() -> None:
    world = World()
    world.complete("Service")
    world.deployment("cache", [container(ports=[{"containerPort": 6379}])])
    world.service("cache", port=6379, target=6379)
    world.deployment("sessions", calling("cache:6380"), failing=crashed(1), replicas=1)
    world.log(world.pods("sessions")[0], "Error: connect ECONNREFUSED cache:6380", previous=True)
    found = best(world)
    assert named(found) == ("WrongDependencyPort", "Deployment", "sessions")
    assert found.facts["suggested_port"] == 6379


def test_a_dependency_outside_of_the_cluster() -> None:
    world = World()
    world.complete("Service")
    world.deployment("mailer", failing=crashed(1), replicas=1)
    world.log(world.pods("mailer")[0], "dial tcp smtp.example.com:587: i/o timeout", previous=True)
    found = best(world)
    assert named(found) == ("DependencyUnavailable", "Deployment", "mailer")
    assert (found.facts["host"], found.facts["port"]) == ("smtp.example.com", "587")


@pytest.mark.parametrize("allowed", [False, True])
def test_network_policies(*, allowed: bool) -> None:
    world = World()
    world.complete("Service")
    world.deployment("db", [container(ports=[{"containerPort": 5432}])])
    world.service("db", port=5432, target=5432)
    world.deployment("orders", calling("db:5432"), failing=crashed(1), replicas=1)
    world.log(world.pods("orders")[0], "dial tcp db:5432: i/o timeout", previous=True)
    peer = "orders" if allowed else "someone-else"
    spec = {
        "podSelector": {"matchLabels": {"app": "db"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": peer}}}], "ports": [{"port": 5432}]}],
    }
    world.add("NetworkPolicy", "db-locked", spec=spec, metadata={"creationTimestamp": ago(200)})
    found = best(world)
    expected = (
        ("DependencyUnavailable", "Deployment", "orders")
        if allowed
        else ("NetworkPolicyBlocking", "NetworkPolicy", "db-locked")
    )
    assert named(found) == expected


def test_policies_of_ours_and_policies_nobody_suffers_from_are_no_fault() -> None:
    world = World()
    world.deployment("db", [container(ports=[{"containerPort": 5432}])])
    world.service("db", port=5432, target=5432)
    world.deployment("orders", calling("db:5432"))
    deny = {"podSelector": {}, "policyTypes": ["Ingress"]}
    world.add("NetworkPolicy", "default-deny", spec=deny, metadata={"creationTimestamp": ago(9_000_000)})
    world.add("NetworkPolicy", "recist-quarantine-he-1", spec=deny, metadata={"labels": {"recist.io/event": "he-1"}})
    assert causes(world) == []


def _latency(world: World, name: str, before: float, after: float, errors: float = 0.0) -> None:
    count = _counter([10] * 72)
    seconds = _counter([10 * before] * 60 + [10 * after] * 12)
    pod = {"pod": f"{name}-r1-0"}
    world.series("http_request_duration_seconds_sum", seconds, **pod)
    world.series("http_request_duration_seconds_count", count, **pod)
    world.series("http_requests_total", _counter([10 * (1 - errors)] * 72), code="200", **pod)
    world.series("http_requests_total", _counter([0.0] * 60 + [10 * errors] * 12), code="503", **pod)


def _chain() -> World:
    world = World()
    world.complete("Service")
    for name, callee in (("front", "orders"), ("orders", "payments"), ("payments", "bank"), ("bank", "")):
        world.deployment(name, calling(callee) if callee else None, replicas=1)
        world.service(name)
    return world


def test_latency_comes_from_the_last_slow_service() -> None:
    world = _chain()
    _latency(world, "front", 0.2, 1.9, errors=0.3)
    _latency(world, "orders", 0.1, 1.7, errors=0.2)
    _latency(world, "payments", 0.05, 1.5)
    _latency(world, "bank", 0.02, 0.02)
    found = best(world)
    assert named(found) == ("SlowDependency", "Deployment", "payments")
    assert found.facts["latency_seconds"] == pytest.approx(1.5, rel=0.05)
    assert [c["name"] for c in found.facts["callers"]] == ["orders"]


def test_a_hog_below_explains_the_latency_above() -> None:
    world = _chain()
    _latency(world, "front", 0.2, 1.9)
    _latency(world, "orders", 0.1, 1.7)
    _latency(world, "payments", 0.05, 1.5)
    world.series(
        "container_cpu_usage_seconds_total", _counter([0.1] * 60 + [0.5] * 12), pod="payments-r1-0", container="app"
    )
    assert named(best(world)) == ("CPUHog", "Deployment", "payments")


@pytest.mark.parametrize(("image", "expected"), [("r/app:2", "BadRollout"), ("r/app:1", "FailingDependency")])
def test_errors_that_a_release_brought(image: str, expected: str) -> None:
    world = World()
    old = [container(image="r/app:1")]
    new = [container(image=image, resources={"limits": {"memory": "300Mi"}})]
    world.deployment("catalog", new, before=old, replicas=1, rolled_out=12 * 15)
    world.service("catalog")
    values = _counter([6.0] * 72), _counter([0.0] * 60 + [4.0] * 12)
    for code, counter in zip(("200", "500"), values, strict=True):
        world.series("http_requests_total", counter, code=code, pod="catalog-r2-0")
    found = best(world)
    assert named(found) == (expected, "Deployment", "catalog")


def test_ordinary_latency_and_single_errors_are_no_fault() -> None:
    world = _chain()
    _latency(world, "front", 0.2, 0.25, errors=0.01)
    _latency(world, "orders", 0.03, 0.06)
    world.log(world.pods("orders")[0], refused("payments:80"))
    world.log(
        world.pods("front")[0], "2026-05-04T07:00:00Z ERROR dial tcp orders:80: connect: connection refused\n" * 9
    )
    assert causes(world) == []


def test_scaled_to_zero_while_others_call_it() -> None:
    world = _chain()
    world.deployment("bank", replicas=0)
    found = best(world)
    assert named(found) == ("ScaledToZero", "Deployment", "bank")


def test_a_node_that_is_gone_explains_its_pods() -> None:
    world = World()
    condition = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "lastTransitionTime": ago(90)}
    world.node("n1", status={"conditions": [condition]})
    world.node("n2")
    lost = {"state": {"running": {"startedAt": ago(3000)}}, "ready": True, "restartCount": 0}
    for name in ("a", "b", "c"):
        world.deployment(name, replicas=1, failing=lost, node="n1")
    diagnosis = all_of(world)
    assert diagnosis.best is not None
    assert named(diagnosis.best) == ("NodeNotReady", "Node", "n1")
    assert len(diagnosis.findings) == 1


@pytest.mark.parametrize("kind", ["MemoryPressure", "DiskPressure", "PIDPressure"])
def test_pressures(kind: str) -> None:
    world = World()
    conditions = [{"type": "Ready", "status": "True"}, {"type": kind, "status": "True", "message": "threshold"}]
    world.node("n1", status={"conditions": conditions})
    assert named(best(world)) == (f"Node{kind}", "Node", "n1")


def test_pods_that_fail_on_one_node_only() -> None:
    world = World()
    world.node("good")
    world.node("bad")
    lost = {"state": {"running": {"startedAt": ago(3000)}}, "ready": False, "restartCount": 0}
    for name in ("a", "b", "c"):
        world.deployment(name, replicas=2)
        pod = world.pods(name)[1]
        pod["spec"]["nodeName"] = "bad"
        pod["status"]["conditions"][0].update(status="False", message="containers with unready status: [app]")
        pod["status"]["containerStatuses"][0].update(lost)
        world.pods(name)[0]["spec"]["nodeName"] = "good"
    found: Finding = best(world)
    assert named(found) == ("FaultyNode", "Node", "bad")
    assert found.facts["pods"] == ["a-r1-1", "b-r1-1", "c-r1-1"]
