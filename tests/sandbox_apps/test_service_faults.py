"""Faults of networks, names, databases, clocks and registries: they show where they should, and end as they should."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from healing.sandbox.faults import FaultError
from healing.sandbox.ports import Object
from tests.sandbox_apps.bench import PERSON, Bench, play


def inject(bench: Bench, fault: str, **params: Any) -> str:
    return bench.sandbox.injector.inject(fault, params).id


def restart(bench: Bench, name: str) -> None:
    """``kubectl rollout restart``."""

    def change(body: Object) -> None:
        annotations = body["spec"]["template"]["metadata"].setdefault("annotations", {})
        annotations["kubectl.kubernetes.io/restartedAt"] = str(bench.clock())

    bench.change("deployments.apps", name, change)


def messages(bench: Bench, reason: str) -> list[str]:
    return [e.get("message", "") for e in bench.sandbox.cluster.list("events", "shop") if e.get("reason") == reason]


def test_a_slow_network_of_one_workload_delays_its_calls_and_fails_its_probes() -> None:
    async def story(bench: Bench) -> None:
        bench.inject("network-delay", workload="payments", seconds=1.2)
        await bench.until("callers wait", lambda: bench.health("orders")["p99Seconds"] > 2.0, 5)
        await bench.until(
            "probes fail", lambda: any("deadline exceeded" in m for m in messages(bench, "Unhealthy")), 20
        )
        restart(bench, "orders")  # the wrong one
        await asyncio.sleep(20)
        assert not bench.health("payments")["well"] or not bench.health("orders")["well"]
        restart(bench, "payments")  # new pods have their own network
        await bench.until("healed", bench.all_well, 60)

    play(story)


def test_lost_packets_come_again_after_200_ms_400_ms_and_so_on() -> None:
    async def story(bench: Bench) -> None:
        before = bench.health("cart")
        injection = bench.inject("packet-loss", workload="cache", fraction=0.3)
        await bench.until("late", lambda: bench.health("cart")["p99Seconds"] > 0.4, 5)
        state = bench.health("cart")
        assert state["p99Seconds"] > 10 * before["p99Seconds"]
        assert 0.3 < state["successRate"] < 0.9  # half a second is not enough for two losses
        await asyncio.sleep(10)
        assert bench.lines("cart", "i/o timeout")
        bench.sandbox.injector.remove(injection)
        await bench.until("healed", bench.all_well, 30)

    play(story)


def test_a_slow_machine_delays_only_what_crosses_its_network() -> None:
    async def story(bench: Bench) -> None:
        servers = [p for p in bench.sandbox.runtime.servers() if p.start.namespace == "shop"]
        node = next(p.start.node_name for p in servers if p.start.container == "db")
        injection = inject(bench, "network-delay", node=node, seconds=0.7)
        await asyncio.sleep(3)
        assert bench.health("db")["p99Seconds"] > 0.7
        late = {p.start.pod_name: p.mixture[-1][1] for p in servers if p.start.container == "inventory"}
        near = {p.start.pod_name for p in servers if p.start.container == "inventory" and p.start.node_name == node}
        assert all((seconds < 0.5) == (pod in near) for pod, seconds in late.items()), (late, near)
        assert not any("deadline" in m for m in messages(bench, "Unhealthy"))  # kubelets probe from the machine itself
        bench.sandbox.injector.remove(injection)
        await bench.until("healed", bench.all_well, 10)

    play(story)


@pytest.mark.parametrize("mode", ["down", "slow"])
def test_without_names_calls_fail(mode: str) -> None:
    async def story(bench: Bench) -> None:
        injection = inject(bench, "dns-failure", mode=mode, seconds=8.0)
        await bench.until("users notice", lambda: bench.health("gateway")["successRate"] < 0.9, 30)
        await asyncio.sleep(25)
        assert bench.lines("cart", "on 10.96.0.10:53: ")
        assert bench.lines("gateway", "getaddrinfo EAI_AGAIN")
        restart(bench, "gateway")  # does not help
        await asyncio.sleep(15)
        assert bench.health("gateway")["successRate"] < 0.9
        if mode == "down":
            [pod, *_] = bench.sandbox.cluster.list("pods", "kube-system", {"k8s-app": "kube-dns"})
            lines = bench.sandbox.world.log_source.logs(pod["metadata"]["uid"], "coredns")
            assert any("Unknown directive 'forwrad'" in line.text for line in lines or ())
            bench.sandbox.injector.remove(injection)  # somebody corrects the Corefile
        else:
            bench.change("deployments.apps", "coredns", _restamp, "kube-system")
        await bench.until("healed", bench.all_well, 120)

    play(story)


def _restamp(body: Object) -> None:
    body["spec"]["template"]["metadata"].setdefault("annotations", {})["restartedAt"] = "now"


def test_a_policy_that_forgets_dns_cuts_its_pods_off_from_names() -> None:
    async def story(bench: Bench) -> None:
        policy = {
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "cart-egress"},
            "spec": {
                "podSelector": {"matchLabels": {"app": "cart"}}, "policyTypes": ["Egress"],
                "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "cache"}}}]}],
            },
        }  # fmt: skip
        bench.create("networkpolicies.networking.k8s.io", policy)
        await bench.until("cart fails", lambda: bench.health("cart")["successRate"] < 0.1, 5)
        await asyncio.sleep(8)
        assert bench.lines("cart", "lookup cache on 10.96.0.10:53: read udp 10.")
        assert bench.health("catalog")["well"]
        bench.sandbox.cluster.delete("networkpolicies.networking.k8s.io", "shop", "cart-egress", user=PERSON)
        await bench.until("healed", bench.all_well, 10)

    play(story)


def test_a_read_only_database_refuses_writes_until_it_is_restarted() -> None:
    async def story(bench: Bench) -> None:
        bench.inject("read-only-database", workload="db")
        await bench.until("orders fail", lambda: bench.health("orders")["successRate"] < 0.7, 5)
        await asyncio.sleep(10)
        assert bench.lines("orders", "ERROR: cannot execute INSERT in a read-only transaction")
        assert bench.lines("db", "cannot execute INSERT in a read-only transaction")
        assert bench.workload_well("db")
        restart(bench, "orders")
        await asyncio.sleep(20)
        assert bench.health("orders")["successRate"] < 0.7
        restart(bench, "db")
        await bench.until("healed", bench.all_well, 60)

    play(story)


def test_connections_taken_from_the_database_leave_none_for_its_clients() -> None:
    async def story(bench: Bench) -> None:
        bench.inject("connection-pool-exhausted", workload="db", connections=97)
        await bench.until("clients fail", lambda: bench.health("inventory")["successRate"] < 0.1, 5)
        await asyncio.sleep(10)
        assert bench.lines("inventory", "FATAL: sorry, too many clients already")
        assert bench.lines("db", "sorry, too many clients already")
        bench.delete_pods("db")
        await bench.until("healed", bench.all_well, 60)

    play(story)


def test_too_many_replicas_use_up_the_connections() -> None:
    async def story(bench: Bench) -> None:
        bench.change("deployments.apps", "payments", lambda o: o["spec"].update(replicas=11))
        bench.change("resourcequotas", "shop", lambda o: o.update(spec={"hard": {"pods": "80"}}))
        await bench.until("refused", lambda: bool(bench.lines("payments", "sorry, too many clients already")), 60)
        assert bench.health("payments")["successRate"] < 0.97
        bench.change("deployments.apps", "payments", lambda o: o["spec"].update(replicas=2))
        await bench.until("healed", bench.all_well, 60)

    play(story)


def test_a_client_that_leaks_its_connections_waits_for_them_until_it_is_restarted() -> None:
    async def story(bench: Bench) -> None:
        bench.inject("connection-pool-exhausted", workload="orders")
        await bench.until("orders fail", lambda: bench.health("orders")["successRate"] < 0.1, 8)
        await asyncio.sleep(10)
        assert bench.lines("orders", "HikariPool-1 - Connection is not available, request timed out after 3000ms")
        assert bench.health("payments")["well"]
        restart(bench, "db")  # not the one
        await asyncio.sleep(15)
        assert bench.health("orders")["successRate"] < 0.1
        restart(bench, "orders")
        await bench.until("healed", bench.all_well, 60)

    play(story)


def test_a_rotated_password_reaches_those_who_start_after_it() -> None:
    async def story(bench: Bench) -> None:
        bench.inject("rotated-password", workload="db")
        await asyncio.sleep(2)
        assert bench.health("inventory")["successRate"] > 0.5  # what is connected stays connected for a while
        await bench.until("clients fail", lambda: bench.health("inventory")["successRate"] < 0.1, 20)
        await asyncio.sleep(5)
        assert bench.lines("inventory", 'FATAL: password authentication failed for user "shop"')
        assert bench.lines("db", 'password authentication failed for user "shop"')
        restart(bench, "db")
        await asyncio.sleep(15)
        assert bench.health("inventory")["successRate"] < 0.1
        for name in ("inventory", "orders", "payments", "catalog"):
            restart(bench, name)
        await bench.until("healed", bench.all_well, 60)

    play(story)


def test_a_wrong_clock_makes_tokens_invalid() -> None:
    async def story(bench: Bench) -> None:
        node = bench.pods("orders")[0]["spec"]["nodeName"]
        injection = inject(bench, "clock-skew", node=node, seconds=1800)
        await bench.until("calls fail", lambda: bench.health("gateway")["successRate"] < 0.9, 5)
        await asyncio.sleep(20)
        assert bench.lines("gateway", "401: token is not valid at this time") or bench.lines(
            "orders", "401 Unauthorized"
        )
        bench.sandbox.injector.remove(injection)
        await bench.until("healed", bench.all_well, 10)

    play(story)


def test_a_hung_program_is_found_by_its_liveness_probe() -> None:
    async def story(bench: Bench) -> None:
        bench.inject("hang", workload="cart")
        await bench.until("no answers", lambda: bench.health("cart")["causes"] == {"timeout": 1.0}, 3)
        await asyncio.sleep(2)
        assert not any(p.served_rate for p in bench.sandbox.runtime.servers() if p.effects.hang)
        await bench.until("killed", lambda: any("failed liveness probe" in m for m in messages(bench, "Killing")), 60)
        await bench.until("healed", bench.all_well, 60)
        assert sum(s["restartCount"] for p in bench.pods("cart") for s in p["status"]["containerStatuses"]) == 2

    play(story)


def test_a_crash_goes_on_until_the_pod_is_replaced() -> None:
    async def story(bench: Bench) -> None:
        bench.inject("crash", workload="inventory", exit_code=3, message="index corrupt", pods=1)
        await bench.until("back-off", lambda: "CrashLoopBackOff" in bench.waiting("inventory"), 60)
        assert ("Error", 3) in bench.last_exits("inventory")
        assert bench.lines("inventory", "index corrupt")
        bench.delete_pods("inventory")
        await bench.until("healed", bench.all_well, 60)

    play(story)


def test_a_harmless_restart_and_chatter_do_no_harm() -> None:
    async def story(bench: Bench) -> None:
        bench.inject("harmless-restart", workload="recommendations")
        bench.inject("log-chatter", workload="cart", lines_per_second=3, level="error")
        await bench.until("restarted", lambda: ("Completed", 0) in bench.last_exits("recommendations"), 10)
        await bench.until("well", bench.all_well, 40)
        before = len(bench.lines("cart", "level=error"))
        await asyncio.sleep(20)
        assert len(bench.lines("cart", "level=error")) - before == pytest.approx(120, rel=0.3)
        assert bench.health("gateway")["well"]

    play(story)


def test_a_spike_of_traffic_is_too_much_until_it_is_scaled() -> None:
    async def story(bench: Bench) -> None:
        bench.inject("traffic-spike", service="gateway", factor=25)
        await bench.until("too much", lambda: bench.health("gateway")["successRate"] < 0.9, 30)
        await asyncio.sleep(20)
        assert bench.number('sum(rate(http_requests_total{service="gateway"}[15s]))') > 300
        assert bench.lines("gateway", "worker queue is full")

    play(story)


@pytest.mark.parametrize(("mode", "words"), [("timeout", "i/o timeout"), ("rate-limited", "toomanyrequests")])
def test_a_registry_outage_shows_where_an_image_is_pulled(mode: str, words: str) -> None:
    async def story(bench: Bench) -> None:
        injection = inject(bench, "registry-outage", registry="registry.example.com", mode=mode)
        assert bench.all_well()

        def release(body: Object) -> None:
            body["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example.com/shop/cart:3.2.0"

        bench.change("deployments.apps", "cart", release)
        await bench.until("no image", lambda: "ImagePullBackOff" in bench.waiting("cart"), 30)
        assert any(words in message for message in messages(bench, "Failed"))
        bench.sandbox.injector.remove(injection)
        await bench.until("healed", bench.all_well, 90)

    play(story)


def test_a_node_without_kube_proxy_calls_pods_that_are_gone() -> None:
    async def story(bench: Bench) -> None:
        node = bench.pods("orders")[0]["spec"]["nodeName"]
        # Whoever stops it, as the fault control-plane-failure does.
        bench.sandbox.world.stop_component("kube-proxy", node)
        await asyncio.sleep(5)
        assert bench.all_well()  # the rules still fit
        restart(bench, "payments")
        restart(bench, "inventory")
        await bench.until("stale", lambda: not bench.health("orders")["well"], 40)
        bench.sandbox.world.stop_component("kube-proxy", node)  # it has stopped already: nothing new is learnt
        await asyncio.sleep(3)
        assert not bench.health("orders")["well"]
        bench.sandbox.world.start_component("kube-proxy", node)
        await bench.until("healed", bench.all_well, 60)

    play(story)


def test_only_running_pods_are_picked() -> None:
    async def story(bench: Bench) -> None:
        [first, second] = sorted(pod["metadata"]["name"] for pod in bench.pods("cart"))
        bench.sandbox.cluster.delete("pods", "shop", first, user=PERSON)
        await asyncio.sleep(0.1)
        bench.inject("hang", workload="cart", pods=1)
        hung = {p.start.pod_name for p in bench.sandbox.runtime.servers() if p.effects.hang}
        assert hung == {second}

    play(story)


MISFITS: list[tuple[str, dict[str, Any], str]] = [
    ("read-only-database", {"namespace": "shop", "workload": "cart"}, "runs no database"),
    ("rotated-password", {"namespace": "shop", "workload": "cache"}, "asks for no password"),
    ("certificate-expired", {"namespace": "shop", "workload": "cart"}, "serves no TLS"),
    ("connection-pool-exhausted", {"namespace": "shop", "workload": "cart"}, "neither a database"),
    ("traffic-spike", {"namespace": "shop", "service": "cart"}, "nobody outside calls"),
    ("registry-outage", {"registry": "x.example.com", "mode": "fire"}, "mode: 'fire' is none of"),
    ("external-outage", {"host": "api.example.com", "mode": "up"}, "mode: 'up' is none of"),
    ("clock-skew", {"node": "node99"}, "node: no 'node99'"),
    ("control-plane-failure", {"component": "etcd"}, "component: 'etcd' is none of"),
    ("dns-failure", {"mode": "sometimes"}, "mode: 'sometimes'"),
    ("log-chatter", {"namespace": "shop", "workload": "cart", "level": "loud"}, "level: 'loud'"),
]


def test_targets_that_do_not_fit_are_refused() -> None:
    async def story(bench: Bench) -> None:
        for fault, params, words in MISFITS:
            with pytest.raises(FaultError, match=words):
                bench.sandbox.injector.inject(fault, params)
        assert not bench.sandbox.injector.active()

    play(story)
