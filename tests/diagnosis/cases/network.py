"""Services, routes, policies, and the network itself."""

from __future__ import annotations

from tests.diagnosis.cases import case
from tests.diagnosis.cases.programs import calls, edited, postgres
from tests.diagnosis.test_workloads import _counter
from tests.diagnosis.world import World, ago, container


@case("ServiceProtocolMismatch", "Service", "dns-cache")
def service_offers_udp_for_tcp(world: World) -> None:
    world.deployment("dns-cache", [container(ports=[{"containerPort": 9999, "protocol": "TCP"}])])
    made = world.service("dns-cache", port=9999, target=9999)
    made["spec"]["ports"][0]["protocol"] = "UDP"


@case("ServicePortMismatch", "Service", "catalog")
def target_port_nobody_listens_on(world: World) -> None:
    world.deployment("catalog")
    world.service("catalog", target=9999, **edited("kubectl-edit", 300, "f:spec"))
    world.deployment("front", calls("http://catalog"), replicas=1)
    line = "2026-05-04T09:59:{:02d}Z ERROR Get http://catalog/: dial tcp catalog:80: connect: connection refused"
    world.log_lines("front", line)


@case("ServicePortMismatch", "Service", "db")
def port_of_the_service_was_changed(world: World) -> None:
    world.deployment("db", [container(image="postgres:16", ports=[{"containerPort": 5432}])], replicas=1)
    world.service("db", port=5433, target=5432, **edited("kubectl-patch", 200, "f:spec"))
    for name in ("orders", "billing"):
        world.deployment(name, calls("postgres://app@db:5432/shop"), replicas=1)
        line = "2026-05-04T09:59:{:02d}Z ERROR dial tcp db:5432: i/o timeout"
        world.log_lines(name, line)


@case("ServiceWithoutEndpoints", "Service", "legacy")
def nobody_wrote_endpoints(world: World) -> None:
    world.add("Service", "legacy", spec={"clusterIP": "10.96.9.9", "ports": [{"port": 80}]})
    world.add("EndpointSlice", "other-1", metadata={"labels": {"kubernetes.io/service-name": "front"}}, endpoints=[])
    world.deployment("front", calls("http://legacy"), replicas=1)
    line = "2026-05-04T09:59:{:02d}Z ERROR Get http://legacy/: dial tcp 10.96.9.9:80: connect: connection refused"
    world.log_lines("front", line)


@case("ServiceWithoutEndpoints", "Service", "payments")
def the_workload_behind_it_is_gone(world: World) -> None:
    world.service("payments")
    world.deployment("front", calls("http://payments"), replicas=1)
    line = "2026-05-04T09:59:{:02d}Z ERROR Get http://payments/: dial tcp payments:80: connect: connection refused"
    world.log_lines("front", line)


@case("ServiceSelectorMismatch", "Service", "catalog")
def selector_of_another_version(world: World) -> None:
    world.deployment("catalog", labels={"app": "catalog", "version": "v1"})
    world.service("catalog", {"app": "catalog", "version": "v2"})
    world.deployment("front", calls("http://catalog"), replicas=1)


@case("IngressBackendMissing", "Ingress", "shop")
def ingress_to_nowhere(world: World) -> None:
    world.deployment("front")
    world.service("front")
    backend = {"service": {"name": "frontend", "port": {"number": 80}}}
    rules = [{"host": "shop.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]
    world.add("Ingress", "shop", spec={"rules": rules})


def _route(world: World, backend: dict[str, object], **status: object) -> None:
    world.add("Gateway", "edge", spec={"gatewayClassName": "x", "listeners": []})
    rules = [{"backendRefs": [backend]}]
    world.add("HTTPRoute", "shop", spec={"parentRefs": [{"name": "edge"}], "rules": rules}, status=status)


@case("RouteBackendMissing", "HTTPRoute", "shop")
def route_to_a_service_that_is_not_there(world: World) -> None:
    world.deployment("front")
    world.service("front")
    _route(world, {"name": "frnt", "port": 80})


@case("RouteBackendMissing", "HTTPRoute", "shop")
def route_to_a_port_that_is_not_there(world: World) -> None:
    world.deployment("front")
    world.service("front")
    _route(world, {"name": "front", "port": 8080})


@case("RouteBackendMissing", "HTTPRoute", "shop")
def route_the_gateway_does_not_take(world: World) -> None:
    world.deployment("front")
    world.service("front")
    condition = {
        "type": "Accepted",
        "status": "False",
        "reason": "NotAllowedByListeners",
        "message": "namespace not allowed",
    }
    _route(world, {"name": "front", "port": 80}, parents=[{"conditions": [condition]}])


def _timeouts(world: World, caller: str, host: str) -> None:
    line = f"2026-05-04T09:59:{{:02d}}Z ERROR call failed: dial tcp {host}: i/o timeout"
    world.log_lines(caller, line, range(20, 58, 2))


@case("NetworkPolicyBlocking", "NetworkPolicy", "db-only-admin")
def policy_keeps_callers_away(world: World) -> None:
    postgres(world)
    world.deployment("orders", calls("postgres://app@db:5432/shop"), replicas=1)
    _timeouts(world, "orders", "db:5432")
    rule = {"from": [{"podSelector": {"matchLabels": {"role": "admin"}}}]}
    spec = {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"], "ingress": [rule]}
    world.add("NetworkPolicy", "db-only-admin", spec=spec, metadata={"creationTimestamp": ago(300)})


@case("NetworkPolicyBlocking", "NetworkPolicy", "orders-egress")
def policy_forbids_dns(world: World) -> None:
    postgres(world)
    world.deployment("orders", calls("postgres://app@db:5432/shop"), replicas=1)
    line = (
        "2026-05-04T09:59:{:02d}Z ERROR dial tcp: lookup db on 10.96.0.10:53:"
        " read udp 10.244.1.8:41234->10.96.0.10:53: i/o timeout"
    )
    world.log_lines("orders", line, range(20, 58, 5))
    rule = {"to": [{"podSelector": {"matchLabels": {"app": "db"}}}], "ports": [{"port": 5432}]}
    spec = {"podSelector": {"matchLabels": {"app": "orders"}}, "policyTypes": ["Egress"], "egress": [rule]}
    world.add("NetworkPolicy", "orders-egress", spec=spec, metadata={"creationTimestamp": ago(300)})


@case("NetworkPolicyBlocking", "NetworkPolicy", "db-from-office")
def policy_allows_other_addresses_only(world: World) -> None:
    postgres(world)
    world.deployment("orders", calls("postgres://app@db:5432/shop"), replicas=1)
    _timeouts(world, "orders", "db:5432")
    rule = {"from": [{"ipBlock": {"cidr": "192.168.7.0/24"}}]}
    spec = {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"], "ingress": [rule]}
    world.add("NetworkPolicy", "db-from-office", spec=spec, metadata={"creationTimestamp": ago(300)})


@case("DNSFailure", "Deployment", "coredns")
def cluster_dns_does_not_answer(world: World) -> None:
    postgres(world)
    labels = {"k8s-app": "kube-dns"}
    system = World("kube-system")
    system._number = 500
    system.deployment("coredns", [container(image="registry.k8s.io/coredns:1.11")], labels=labels)
    system.service("kube-dns", labels, port=53, target=53)
    for kind in ("Deployment", "ReplicaSet", "Pod", "Service"):
        for obj in system.snapshot.of_kind(kind):
            world.snapshot.add(obj)
    for name in ("orders", "billing"):
        world.deployment(name, calls("postgres://app@db:5432/shop"), replicas=1)
        line = "2026-05-04T09:59:{:02d}Z ERROR Error: getaddrinfo EAI_AGAIN db"
        world.log_lines(name, line, range(20, 58, 5))


@case("NetworkDelay", "Deployment", "payments")
def calls_take_longer_than_their_answers(world: World) -> None:
    for name, callee in (("front", "orders"), ("orders", "payments"), ("payments", "")):
        world.deployment(name, calls(f"http://{callee}") if callee else None, replicas=1)
        world.service(name)
    pairs = (("front", 0.1, 0.6), ("orders", 0.08, 0.58), ("payments", 0.02, 0.02))
    for name, before, after in pairs:
        pod = {"pod": f"{name}-r1-0"}
        world.series("http_request_duration_seconds_sum", _counter([10 * before] * 60 + [10 * after] * 12), **pod)
        world.series("http_request_duration_seconds_count", _counter([10.0] * 72), **pod)
    peer = {"pod": "orders-r1-0", "peer_service": "payments"}
    world.series("http_client_request_duration_seconds_sum", _counter([0.25] * 60 + [5.2] * 12), **peer)
    world.series("http_client_request_duration_seconds_count", _counter([10.0] * 72), **peer)


@case("PacketLoss", "Node", "node-b")
def node_loses_packets(world: World) -> None:
    for node in ("node-a", "node-b"):
        world.node(node)
        rates = [0.2] * 60 + ([40.0] * 12 if node == "node-b" else [0.2] * 12)
        labels = {"instance": f"{node}:9100", "namespace": "monitoring"}
        world.series("node_netstat_Tcp_RetransSegs", _counter(rates), **labels)
    world.deployment("front", replicas=1, node="node-a")
    world.deployment("orders", replicas=1, node="node-b")


@case("PacketLoss", "Deployment", "scoring")
def calls_to_and_of_one_workload_time_out(world: World) -> None:
    """Two of them run on one node, as happens: it is not the node."""
    for node in ("node-a", "node-b"):
        world.node(node)
    for name, callee, node in (
        ("portal", "scoring", "node-a"),
        ("scoring", "rates", "node-b"),
        ("rates", "", "node-b"),
    ):
        world.deployment(name, calls(f"http://{callee}:8080") if callee else None, replicas=1, node=node)
        world.service(name, port=8080)
        if callee:
            _timeouts(world, name, f"{callee}:8080")


@case("PacketLoss", "Node", "node-b")
def calls_to_one_node_time_out(world: World) -> None:
    for node in ("node-a", "node-b"):
        world.node(node)
    for name in ("cart", "prices"):
        world.deployment(name, replicas=1, node="node-b")
        world.service(name)
    world.deployment("front", calls("http://cart", "http://prices"), replicas=1, node="node-a")
    line = "2026-05-04T09:59:{:02d}Z ERROR Get http://{}/: dial tcp {}:80: i/o timeout"
    lines = [line.format(n, name, name) for n in range(20, 58, 2) for name in ("cart", "prices")]
    world.log(world.pods("front")[0], "\n".join(lines))


def _served(world: World, pod: str, rate: float, seconds: list[float]) -> None:
    """What a pod counts: requests a second, and how long each takes at every point."""
    world.series("http_request_duration_seconds_sum", _counter([rate * s for s in seconds]), pod=pod, step=5)
    world.series("http_request_duration_seconds_count", _counter([rate] * len(seconds)), pod=pod, step=5)


@case("NetworkDelay", "Deployment", "catalog")
def all_callers_of_a_quick_program_wait(world: World) -> None:
    for name, callee in (("front", "catalog"), ("mobile", "catalog"), ("catalog", "")):
        world.deployment(name, calls(f"http://{callee}:8080") if callee else None, replicas=1)
        world.service(name, port=8080)
    for name in ("front", "mobile"):
        _served(world, f"{name}-r1-0", 8.0, [0.03] * 40 + [0.62] * 10)
    _served(world, "catalog-r1-0", 16.0, [0.01] * 50)


@case("NetworkDelay", "Deployment", "catalog")
def probes_of_a_quick_program_time_out(world: World) -> None:
    probe = {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 2}
    world.deployment("catalog", [container(readinessProbe=probe)], replicas=2)
    world.service("catalog", port=8080)
    pod = world.pods("catalog")[0]
    pod["status"]["conditions"] = [{"type": "Ready", "status": "False", "lastTransitionTime": ago(10)}]
    pod["status"]["containerStatuses"][0]["ready"] = False
    said = 'Readiness probe failed: Get "http://10.244.1.5:8080/readyz": context deadline exceeded (Client.Timeout)'
    world.event(pod, "Unhealthy", said)
    for one in world.pods("catalog"):
        _served(world, one["metadata"]["name"], 8.0, [0.01] * 50)


@case("NetworkDelay", "Node", "node-b")
def pods_of_one_node_wait_for_what_they_call(world: World) -> None:
    for node in ("node-a", "node-b"):
        world.node(node)
    for name, callee in (("front", "catalog"), ("mobile", "catalog"), ("catalog", "")):
        world.deployment(name, calls(f"http://{callee}:8080") if callee else None, replicas=2, node="node-a")
        world.service(name, port=8080)
        far = world.pods(name)[1]
        far["spec"]["nodeName"] = "node-b"
        for pod in world.pods(name):
            slow = 0.7 if callee and pod is far else 0.02
            _served(world, pod["metadata"]["name"], 8.0, [0.02] * 40 + [slow] * 10)


@case("NetworkDelay", "Node", "node-b")
def a_caller_suffers_most_on_the_node_with_the_slow_card(world: World) -> None:
    """Of three nodes: on one everything that is called times out, on the others what stands on that one."""
    nodes = ("node-a", "node-b", "node-c")
    for node in nodes:
        world.node(node)
    env = [{"name": "SCALE_URL", "value": "http://scale:8080"}, {"name": "LEDGER_URL", "value": "http://ledger:8080"}]
    for name in ("silo", "scale", "ledger"):
        world.deployment(name, [container(env=env)] if name == "silo" else None, replicas=3)
        world.service(name, port=8080)
        for node, pod in zip(nodes, world.pods(name), strict=True):
            pod["spec"]["nodeName"] = node
    line = "{} ERROR call to {}:8080 failed: dial tcp {}:8080: i/o timeout"
    for node, pod in zip(nodes, world.pods("silo"), strict=True):
        lines = [line.format(ago(n), c, c) for n in range(50, 1, -4) for c in ("scale", "ledger")]
        world.log(pod, "\n".join(lines))
        slow, failing = (3.9, 8.0) if node == "node-b" else (1.6, 4.0)
        _served(world, pod["metadata"]["name"], 8.0, [0.02] * 40 + [slow] * 10)
        labels = {"pod": pod["metadata"]["name"]}
        world.series("http_requests_total", _counter([8.0] * 40 + [8.0 - failing] * 10), step=5, code="200", **labels)
        world.series("http_requests_total", _counter([0.0] * 40 + [failing] * 10), step=5, code="502", **labels)


def _callers_fail(world: World, share: float) -> None:
    for name in ("front", "mobile"):
        world.deployment(name, calls("redis://cache:6379"), replicas=1)
        line = "{} ERROR call to cache:6379 failed: i/o timeout"
        world.log(world.pods(name)[0], "\n".join(line.format(ago(n)) for n in range(50, 1, -4)))
        labels = {"pod": f"{name}-r1-0"}
        failing = 8.0 * share
        world.series("http_requests_total", _counter([8.0] * 40 + [8.0 - failing] * 10), step=5, code="200", **labels)
        world.series("http_requests_total", _counter([0.0] * 40 + [failing] * 10), step=5, code="500", **labels)


@case("DependencyUnavailable", "Deployment", "cache")
def a_cache_accepts_and_never_answers(world: World) -> None:
    world.deployment("cache", [container(image="redis:7", ports=[{"containerPort": 6379}])], replicas=1)
    world.service("cache", port=6379, target=6379)
    _callers_fail(world, 1.0)


@case("SlowDependency", "Deployment", "cache")
def a_cache_answers_too_late_now_and_then(world: World) -> None:
    world.deployment("cache", [container(image="redis:7", ports=[{"containerPort": 6379}])], replicas=1)
    world.service("cache", port=6379, target=6379)
    _callers_fail(world, 0.4)
