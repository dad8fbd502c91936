"""Every fault shows as it does in a real cluster - status, metrics, logs - and is gone once it is put right."""

from __future__ import annotations

import asyncio

import pytest

from healing.sandbox.faults import FAULTS, FaultError, FaultInjector
from healing.sandbox.ports import Object
from healing.sandbox.signals.health import health
from tests.sandbox_apps.bench import PERSON, Bench, play


def test_the_shop_is_well_and_stays_well() -> None:
    async def story(bench: Bench) -> None:
        for _ in range(40):
            await asyncio.sleep(3)
            state = health(bench.sandbox.cluster, bench.sandbox.runtime)
            assert state["well"], [e for e in (*state["services"], *state["workloads"]) if not e["well"]]
        assert bench.number('sum(rate(http_requests_total{service="gateway"}[1m]))') == pytest.approx(24, rel=0.5)
        assert bench.number("sum(kube_pod_container_status_restarts_total)") == 0
        assert not bench.ask('ALERTS{alertstate="firing"}')
        errors = 'sum(rate(http_requests_total{code=~"5.."}[1m])) / sum(rate(http_requests_total[1m]))'
        assert bench.number(errors) < 0.01

    play(story)


def test_bad_rollout_crash_loops_and_a_rollback_heals() -> None:
    async def story(bench: Bench) -> None:
        bench.inject("bad-rollout", workload="cart", message="schema version 42 is not supported")
        await bench.until("back-off", lambda: bench.waiting("cart") == {"CrashLoopBackOff"})
        assert ("Error", 1) in bench.last_exits("cart")
        assert bench.lines("cart", "panic: schema version 42 is not supported")
        assert bench.lines("cart", "goroutine 1 [running]:")
        assert bench.health("cart")["well"]  # the old pods go on serving
        await asyncio.sleep(5)
        assert bench.number('kube_pod_container_status_restarts_total{pod=~"cart-.*"} > 0') >= 1
        bench.roll_back("cart")
        await bench.until("healed", lambda: bench.workload_well("cart"), 30)

    play(story)


def test_memory_limit_too_low_is_oom_killed_until_it_is_raised() -> None:
    async def story(bench: Bench) -> None:
        bench.inject("memory-limit-too-low", workload="recommendations")
        await bench.until("killed", lambda: ("OOMKilled", 137) in bench.last_exits("recommendations"))
        await bench.until("back-off", lambda: "CrashLoopBackOff" in bench.waiting("recommendations"))
        await asyncio.sleep(4)
        assert bench.ask('kube_pod_container_status_last_terminated_reason{reason="OOMKilled"}')

        def raise_limit(body: Object) -> None:
            resources = body["spec"]["template"]["spec"]["containers"][0]["resources"]
            resources["limits"]["memory"] = resources["requests"]["memory"] = "320Mi"

        bench.change("deployments.apps", "recommendations", raise_limit)
        await bench.until("healed", lambda: bench.workload_well("recommendations"), 40)
        await asyncio.sleep(20)
        assert bench.workload_well("recommendations")

    play(story)


def test_missing_config_key_heals_when_the_key_is_back() -> None:
    async def story(bench: Bench) -> None:
        bench.inject("missing-config-key", workload="inventory", key="WAREHOUSE_REGION")
        await bench.until("config error", lambda: bench.waiting("inventory") == {"CreateContainerConfigError"})
        config = bench.sandbox.cluster.get("configmaps", "shop", "shop-config")
        assert config is not None
        assert "WAREHOUSE_REGION" not in config["data"]
        applied = config["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
        assert '"WAREHOUSE_REGION":"eu-central"' in applied  # where a healer may find the value
        bench.change("configmaps", "shop-config", lambda o: o["data"].update({"WAREHOUSE_REGION": "eu-central"}))
        await bench.until("healed", lambda: bench.workload_well("inventory"), 40)

    play(story)


def test_bad_image_cannot_be_pulled_and_a_rollback_heals() -> None:
    async def story(bench: Bench) -> None:
        bench.inject("bad-image", workload="notifications")
        await bench.until(
            "pull error", lambda: bool({"ErrImagePull", "ImagePullBackOff"} & bench.waiting("notifications"))
        )
        events = bench.sandbox.cluster.list("events", "shop")
        messages = [event.get("message", "") for event in events if event.get("reason") == "Failed"]
        assert any(
            'failed to resolve reference "registry.example.com/shop/notifications:l.0.7"' in m
            and m.endswith(": not found")
            for m in messages
        ), messages
        bench.roll_back("notifications")
        await bench.until("healed", lambda: bench.workload_well("notifications"), 30)

    play(story)


def test_service_selector_typo_cuts_the_callers_off() -> None:
    served = 'sum(rate(http_requests_total{service="gateway",code="502"}[20s]))'
    asked = 'sum(rate(http_requests_total{service="gateway"}[20s]))'

    async def story(bench: Bench) -> None:
        bench.inject("service-selector-typo", service="catalog")
        await bench.until("catalog unreachable", lambda: bench.health("catalog")["causes"] == {"refused": 1.0}, 5)
        await bench.until("users notice", lambda: bench.health("gateway")["successRate"] < 0.3, 5)
        assert all(bench.workload_well(name) for name in ("catalog", "gateway"))
        await asyncio.sleep(25)
        assert bench.number(f"{served} / {asked}") > 0.5
        reason = "call to catalog:8080 failed: request to http://catalog:8080/ failed, reason: connect ECONNREFUSED 10."
        assert bench.lines("gateway", reason)
        bench.change("services", "catalog", lambda o: o["spec"].update(selector={"app": "catalog"}))
        await bench.until("healed", lambda: bench.health("gateway")["well"], 5)

    play(story)


def test_slow_dependency_makes_its_callers_slow_until_it_is_restarted() -> None:
    async def story(bench: Bench) -> None:
        before = bench.health("orders")["p99Seconds"]
        bench.inject("slow-dependency", workload="payments", seconds=1.5)
        await bench.until("callers wait", lambda: bench.health("orders")["p99Seconds"] > max(1.5, 3 * before), 5)
        assert all(bench.workload_well(name) for name in ("payments", "orders"))  # slow, not unready
        await asyncio.sleep(30)
        p99 = (
            'histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{service="orders"}[20s])))'
        )
        assert bench.number(p99) > 1.0
        assert bench.number('sum(rate(http_requests_total{service="orders",code="504"}[20s]))') > 0
        assert bench.lines("orders", "payments:8080")
        bench.delete_pods("payments")
        await bench.until(
            "healed", lambda: bench.health("orders")["p99Seconds"] < 1.0 and bench.health("orders")["well"]
        )

    play(story)


def test_leak_grows_until_the_kill_and_starts_over() -> None:
    async def story(bench: Bench) -> None:
        bench.inject("memory-leak", workload="recommendations", bytes_per_second="8Mi", scope="workload")
        await asyncio.sleep(15)
        growth = 'max(deriv(container_memory_working_set_bytes{namespace="shop",container="recommendations"}[12s]))'
        assert bench.number(growth) == pytest.approx(8 << 20, rel=0.3)
        await bench.until("killed", lambda: ("OOMKilled", 137) in bench.last_exits("recommendations"))
        assert bench.lines("recommendations", "of limit")

        def used() -> list[int]:
            running = [p for p in bench.sandbox.runtime.processes.values() if p.running]
            return [p.memory_bytes for p in running if p.start.container == "recommendations"]

        await bench.until("restarted", lambda: len(used()) == 2 and bench.workload_well("recommendations"), 60)
        assert max(used()) < 384 << 20

    play(story)


def test_a_hog_is_throttled_and_dies_with_its_pod() -> None:
    async def story(bench: Bench) -> None:
        bench.inject("cpu-hog", workload="orders")
        await asyncio.sleep(20)
        share = (
            'max by (pod) (rate(container_cpu_usage_seconds_total{namespace="shop",container="orders"}[15s]))'
            ' / on (pod) max by (pod) (kube_pod_container_resource_limits{resource="cpu",container="orders"})'
        )
        hogs = {pod: value for (pod,), value in bench.ask(share).items() if value > 0.95}
        assert len(hogs) == 1
        throttled = (
            "increase(container_cpu_cfs_throttled_periods_total[15s]) / increase(container_cpu_cfs_periods_total[15s])"
        )
        assert max(bench.ask(throttled).values()) > 0.9
        [pod] = hogs
        bench.sandbox.cluster.delete("pods", "shop", pod, user=PERSON)
        await bench.until("gone", lambda: not any(p["metadata"]["name"] == pod for p in bench.pods("orders")))
        await bench.until("replaced", lambda: bench.workload_well("orders"))
        await asyncio.sleep(20)
        assert max(bench.ask(share).values()) < 0.5

    play(story)


def test_a_dead_node_takes_its_processes_off_the_network() -> None:
    async def story(bench: Bench) -> None:
        injection = bench.inject("node-failure", kind="down")
        node = bench.sandbox.injector.injections[injection].target["name"]
        await asyncio.sleep(4)
        assert bench.number(f'up{{job="cadvisor",node="{node}"}}') == 0
        await bench.until(
            "NotReady",
            lambda: bench.number(f'kube_node_status_condition{{node="{node}",condition="Ready",status="true"}}') == 0,
            60,
        )
        bench.sandbox.injector.remove(injection)
        await bench.until("all is well", lambda: health(bench.sandbox.cluster, bench.sandbox.runtime)["well"], 240)

    play(story)


def test_a_network_policy_quarantines() -> None:
    async def story(bench: Bench) -> None:
        injection = bench.inject("network-policy-deny", workload="inventory")
        await bench.until("cut", lambda: bench.health("inventory")["causes"] == {"timeout": 1.0}, 5)
        await bench.until("orders fail", lambda: bench.health("orders")["successRate"] < 0.2, 5)
        await asyncio.sleep(8)
        said = 'call to inventory:8080 failed: I/O error on GET request for "http://inventory:8080/": Read timed out'
        assert bench.lines("orders", said)
        bench.sandbox.injector.remove(injection)
        await bench.until("healed", lambda: bench.health("orders")["well"], 5)

    play(story)


def test_one_quarantined_pod_of_two_hurts_half_the_calls() -> None:
    async def story(bench: Bench) -> None:
        pod = bench.pods("cart")[0]["metadata"]["name"]
        bench.change("pods", pod, lambda o: o["metadata"]["labels"].update({"quarantine": "true"}))
        policy = {
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "quarantine"},
            "spec": {"podSelector": {"matchLabels": {"quarantine": "true"}}, "policyTypes": ["Ingress", "Egress"]},
        }  # fmt: skip
        bench.create("networkpolicies.networking.k8s.io", policy)
        await bench.until("half", lambda: bench.health("cart")["successRate"] == pytest.approx(0.5), 5)
        await asyncio.sleep(6)
        errors = {
            p.start.pod_name: p.error_share for p in bench.sandbox.runtime.servers() if p.start.container == "cart"
        }
        assert errors.pop(pod) == 1.0  # it cannot call the cache either
        assert set(errors.values()) == {0.0}
        ways = {p.start.pod_name: p.rate for p in bench.sandbox.runtime.servers() if p.start.container == "cart"}
        assert ways.pop(pod) == 0
        assert all(rate > 1 for rate in ways.values())

    play(story)


def test_series_of_a_deleted_pod_end_and_its_logs_stay() -> None:
    async def story(bench: Bench) -> None:
        pod = bench.pods("cart")[0]["metadata"]["name"]
        metrics = ("up", "http_requests_total", "container_memory_working_set_bytes", "kube_pod_info")
        assert all(bench.ask(f'{metric}{{pod="{pod}"}}') for metric in metrics)
        bench.sandbox.cluster.delete("pods", "shop", pod, user=PERSON)
        await bench.until("gone", lambda: not any(p["metadata"]["name"] == pod for p in bench.pods("cart")))
        await asyncio.sleep(4)
        assert not any(bench.ask(f'{metric}{{pod="{pod}"}}') for metric in metrics)
        assert bench.ask(f'rate(http_requests_total{{pod="{pod}",code="200"}}[1m])')
        streams = bench.sandbox.signals.logs.streams([], 0, round(bench.clock() * 1e9))
        assert any(dict(stream.labels)["pod"] == pod for stream in streams)

    play(story)


def test_what_people_make_of_nodes_does_no_harm() -> None:
    async def story(bench: Bench) -> None:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "by-hand"}}
        bench.sandbox.cluster.create("nodes", None, node, user=PERSON)
        await asyncio.sleep(5)
        assert bench.number('up{job="cadvisor",node="by-hand"} == bool 0') == 1
        assert bench.number('sum(up{job="cadvisor"})') == 3

    play(story)


MORE: list[tuple[str, dict[str, str | float], str]] = [
    (
        "wrong-env",
        {"workload": "orders", "env": "PAYMENTS_URL", "value": "http://payment:8080"},
        "payment: Name or service not known",
    ),
    ("wrong-env", {"workload": "cart", "env": "CACHE_URL", "value": "redis://cache:6380/1"}, "connection refused"),
    ("missing-env", {"workload": "orders", "env": "ORDER_TTL_MINUTES"}, "ORDER_TTL_MINUTES is not set"),
    ("wrong-env", {"workload": "orders", "env": "ORDER_TTL_MINUTES", "value": "soon"}, 'invalid value "soon"'),
    (
        "wrong-env",
        {"workload": "catalog", "env": "DATABASE_PASSWORD", "value": "guess"},
        "password authentication failed",
    ),
    ("failing-release", {"workload": "catalog", "error_rate": 0.5}, "request failed: internal error"),
    ("errors", {"workload": "catalog", "error_rate": 0.9}, "request failed: internal error"),
    ("lost-dependency", {"workload": "cart", "env": "CACHE_URL"}, ":6379: i/o timeout"),
]


@pytest.mark.parametrize(
    ("fault", "params", "line"), MORE, ids=[f"{n}-{p['workload']}-{i}" for i, (n, p, _) in enumerate(MORE)]
)
def test_the_logs_tell(fault: str, params: dict[str, object], line: str) -> None:
    async def story(bench: Bench) -> None:
        app = str(params["workload"])
        injection = bench.inject(fault, **params)
        await bench.until(line, lambda: bool(bench.lines(app, line)), 45)
        bench.sandbox.injector.remove(injection)
        await bench.until("healed", lambda: health(bench.sandbox.cluster, bench.sandbox.runtime)["well"], 90)

    play(story)


def test_service_wrong_port_bad_probe_and_bad_command() -> None:
    async def story(bench: Bench) -> None:
        bench.inject("service-wrong-port", service="inventory", target_port=9999)
        bench.inject("bad-probe", workload="cart")
        bench.inject("bad-command", workload="payments")
        await bench.until("refused", lambda: bench.health("inventory")["causes"] == {"refused": 1.0}, 5)
        await bench.until(
            "command", lambda: bool({"RunContainerError", "CrashLoopBackOff"} & bench.waiting("payments")), 30
        )
        assert ("StartError", 128) in bench.last_exits("payments")

        def probe_events() -> bool:
            events = bench.sandbox.cluster.list("events", "shop")
            return any("HTTP probe failed with statuscode: 404" in str(e.get("message")) for e in events)

        await bench.until("probe", probe_events, 30)

    play(story)


def test_leaky_release_is_undone_by_a_rollback() -> None:
    async def story(bench: Bench) -> None:
        bench.inject("leaky-release", workload="catalog", bytes_per_second="10Mi")
        await bench.until("killed", lambda: ("OOMKilled", 137) in bench.last_exits("catalog"), 90)
        bench.roll_back("catalog")
        await bench.until("healed", lambda: bench.workload_well("catalog"), 60)
        await asyncio.sleep(40)
        assert bench.workload_well("catalog")
        assert not {e for e in bench.last_exits("catalog") if e[0] == "OOMKilled"}

    play(story)


@pytest.mark.parametrize(
    ("name", "params", "reason"),
    [
        ("no-such", {}, "no fault named 'no-such'"),
        ("bad-rollout", {"namespace": "shop"}, "needs the parameter 'workload'"),
        ("bad-rollout", {"namespace": "shop", "workload": "a", "wokload": "b"}, "has no parameter 'wokload'"),
        ("cpu-hog", {"namespace": "shop", "workload": "a", "cores": "two"}, "cores: expected a number"),
        ("cpu-hog", {"namespace": "shop", "workload": "a", "cores": -1}, "must not be negative"),
        ("memory-leak", {"namespace": "shop", "workload": "a", "bytes_per_second": "1 MB"}, "is not a size"),
    ],
)
def test_bad_parameters_are_refused(name: str, params: dict[str, object], reason: str) -> None:
    with pytest.raises(FaultError, match=reason):
        FaultInjector.check(name, params)


def test_targets_must_exist() -> None:
    async def story(bench: Bench) -> None:
        for fault, params in (
            ("bad-rollout", {"workload": "carts"}),
            ("bad-image", {"workload": "cronjob/cart"}),
            ("service-selector-typo", {"service": "nobody"}),
            ("node-failure", {"node": "node99"}),
            ("node-failure", {"node": "node1", "kind": "meteor"}),
            ("missing-config-key", {"workload": "cart"}),
            ("cpu-hog", {"workload": "cart", "scope": "galaxy"}),
        ):
            with pytest.raises(FaultError):
                bench.inject(fault, **params)
        assert not bench.sandbox.injector.active()

    play(story)


def test_every_fault_describes_itself() -> None:
    for entry in FaultInjector.available():
        assert entry["title"]
        assert entry["name"] in FAULTS
        assert all(parameter["help"] for parameter in entry["params"])
