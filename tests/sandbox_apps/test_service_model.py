"""The model of services: TLS, databases, Ingress, sidecars, disks, retries, configuration, the world outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from healing.sandbox.ports import Object
from healing.sandbox.signals.health import health
from tests.sandbox_apps.bench import PERSON as _PERSON, Bench, play

WORKSHOP = Path(__file__).with_name("workshop.yaml")
NS = "lab"


def inject(bench: Bench, fault: str, **params: Any) -> str:
    return bench.sandbox.injector.inject(fault, params).id


def users(bench: Bench) -> dict[str, Any]:
    [entry] = health(bench.sandbox.cluster, bench.sandbox.runtime)["hosts"]
    return dict(entry)


def set_env(bench: Bench, workload: str, **values: str) -> None:
    def change(body: Object) -> None:
        env = body["spec"]["template"]["spec"]["containers"][0]["env"]
        for name, value in values.items():
            env[:] = [entry for entry in env if entry["name"] != name]
            env.append({"name": name, "value": value})

    bench.change("deployments.apps", workload, change, NS)


def restart(bench: Bench, name: str) -> None:
    def change(body: Object) -> None:
        notes = body["spec"]["template"]["metadata"].setdefault("annotations", {})
        notes["kubectl.kubernetes.io/restartedAt"] = str(bench.clock())

    bench.change("deployments.apps", name, change, NS)


def test_a_healthy_world_is_well_and_not_silent() -> None:
    async def story(bench: Bench) -> None:
        for _ in range(40):
            await asyncio.sleep(3)
            state = health(bench.sandbox.cluster, bench.sandbox.runtime)
            ill = [e for part in ("services", "workloads", "hosts") for e in state[part] if not e["well"]]
            assert not ill, ill
        warnings = [line for app in ("web", "api", "billing") for line in bench.lines(app) if "warn" in line.lower()]
        assert warnings
        served = 'sum(rate(nginx_ingress_controller_requests{status="200",ingress="web"}[1m]))'
        assert bench.number(served) == pytest.approx(20, rel=0.2)
        assert bench.number("pg_settings_max_connections") == 0
        assert 2 <= bench.number("mysql_global_status_threads_connected") <= 40

    play(story, WORKSHOP)


def test_an_expired_certificate_stays_until_the_server_starts_again() -> None:
    async def story(bench: Bench) -> None:
        inject(bench, "certificate-expired", namespace=NS, workload="billing", container="billing")
        await bench.until("users notice", lambda: users(bench)["successRate"] < 0.1, 5)
        await asyncio.sleep(10)
        assert bench.lines("api", "x509: certificate has expired or is not yet valid: current time 2026-")
        assert all(w["well"] for w in health(bench.sandbox.cluster, bench.sandbox.runtime)["workloads"])
        restart(bench, "api")
        await asyncio.sleep(12)
        assert users(bench)["successRate"] < 0.1
        restart(bench, "billing")
        await bench.until("healed", bench.all_well, 40)

    play(story, WORKSHOP)


def test_what_is_in_an_empty_dir_outlives_its_container() -> None:
    def written(bench: Bench) -> int:
        [pod] = bench.pods("reports", NS)
        logs = bench.sandbox.world.log_source
        return sum(used.ephemeral_bytes for used in logs.usage(pod["metadata"]["uid"]).values())

    def release(bench: Bench, spec: Object, container: Object) -> None:
        def change(body: Object) -> None:
            inner = body["spec"]["template"]["spec"]
            inner.update(spec)
            inner["containers"][0].update(container)

        bench.change("deployments.apps", "reports", change, NS)

    async def story(bench: Bench) -> None:
        release(
            bench, {"volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "4Gi"}}]},
            {"volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]},
        )  # fmt: skip
        await bench.until("released", lambda: bench.all_well() and len(bench.pods("reports", NS)) == 1, 40)
        [pod] = bench.pods("reports", NS)
        inject(bench, "disk-fill", namespace=NS, workload="reports", bytes_per_second="20Mi", scope="process")
        await asyncio.sleep(10)
        before = written(bench)
        assert before > 100 << 20
        inject(bench, "harmless-restart", namespace=NS, workload="reports")

        def restarted() -> bool:
            statuses = bench.pods("reports", NS)[0]["status"]["containerStatuses"]
            return bool(statuses[0]["restartCount"] == 1 and statuses[0]["ready"])

        await bench.until("restarted", restarted, 30)
        assert written(bench) >= before
        assert bench.pods("reports", NS)[0]["metadata"]["uid"] == pod["metadata"]["uid"]
        bench.sandbox.cluster.delete("pods", NS, pod["metadata"]["name"], user=_PERSON)
        await bench.until("replaced", lambda: bench.all_well() and len(bench.pods("reports", NS)) == 1, 40)
        assert written(bench) == 0

    play(story, WORKSHOP)


WRONG = [
    ("api", {"BILLING_URL": "http://billing:443"}, "Client sent an HTTP request to an HTTPS server"),
    ("web", {"API_URL": "https://api:80"}, "wrong version number"),
    ("web", {"API_URL": "http://api/v9"}, "Request failed with status code 404"),
    ("web", {"API_URL": "http://db:3306"}, "Parse Error: Expected HTTP/"),
    ("api", {"DB_NAME": "toolz"}, "Error 1049: Unknown database 'toolz'"),
    ("api", {"DB_USER": "root2"}, "Access denied for user 'root2'@'10."),
    ("api", {"DB_PORT": "3307"}, ":3307: connect: connection refused"),
    ("api", {"DB_HOST": "database"}, "lookup database on 10.96.0.10:53: no such host"),
]


@pytest.mark.parametrize("chosen", [WRONG[:4], WRONG[4:]], ids=["addresses", "database"])
def test_wrong_configuration_of_clients_shows_in_their_own_words(chosen: list[tuple[str, dict[str, str], str]]) -> None:
    async def story(bench: Bench) -> None:
        for workload, values, words in chosen:
            template = bench.sandbox.cluster.get("deployments.apps", NS, workload)["spec"]["template"]  # type: ignore[index]
            set_env(bench, workload, **values)
            await bench.until(words, lambda w=workload, t=words: bool(bench.lines(w, t)), 40)  # type: ignore[misc]
            await bench.until(f"{values} harms", lambda w=workload: not bench.health(w)["well"], 5)  # type: ignore[misc]

            def put_back(body: Object, template: Object = template) -> None:
                body["spec"]["template"] = template

            bench.change("deployments.apps", workload, put_back, NS)
            await bench.until("healed", bench.all_well, 40)

    play(story, WORKSHOP)


BAD_VALUES = [
    ({"TIMEOUT": "5 minutes"}, 'invalid value "5 minutes" for TIMEOUT: invalid duration'),
    ({"TIMEOUT": "30"}, "missing unit in duration"),
    ({"TIMEOUT": "30s", "MODE": "turbo"}, "must be one of fast, careful"),
]


def test_values_nobody_can_read_end_the_program_at_its_start() -> None:
    async def story(bench: Bench) -> None:
        for values, words in BAD_VALUES:
            set_env(bench, "api", **values)
            await bench.until(words, lambda t=words: bool(bench.lines("api", t)), 30)  # type: ignore[misc]
        set_env(bench, "api", TIMEOUT="5s", MODE="fast")
        await bench.until("healed", bench.all_well, 60)
        bench.change("configmaps", "api", lambda o: o["data"].update({"settings.json": '{"limit": 10,}'}), NS)
        await asyncio.sleep(12)
        assert bench.all_well()  # it was read at the start
        restart(bench, "api")
        await bench.until("unreadable", lambda: bool(bench.lines("api", "settings.json: Illegal trailing comma"))
                          or bool(bench.lines("api", "settings.json: Expecting property name")), 30)  # fmt: skip

    play(story, WORKSHOP)


def test_an_ingress_answers_404_503_and_502() -> None:
    async def story(bench: Bench) -> None:
        def backend(**changes: Any) -> Callable[[Object], None]:
            def change(body: Object) -> None:
                body["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"].update(changes)

            return change

        ingresses = "ingresses.networking.k8s.io"
        bench.change(ingresses, "web", lambda o: o["spec"]["rules"][0].update(host="tool.example.com"), NS)
        await bench.until("no host", lambda: users(bench)["causes"] == {"404": 1.0}, 5)
        bench.change(ingresses, "web", lambda o: o["spec"]["rules"][0].update(host="*.example.com"), NS)
        await bench.until("wildcard", lambda: bool(users(bench)["well"]), 5)
        bench.change(ingresses, "web", backend(name="webb"), NS)
        await bench.until("no service", lambda: users(bench)["causes"] == {"503": 1.0}, 5)
        bench.change(ingresses, "web", backend(name="web"), NS)
        bench.change("services", "web", lambda o: o["spec"]["ports"][0].update(targetPort=3001), NS)
        await bench.until("wrong port", lambda: users(bench)["causes"] == {"refused": 1.0}, 5)
        await asyncio.sleep(10)
        assert bench.number('sum(rate(nginx_ingress_controller_requests{status="502"}[10s]))') > 10
        bench.change("services", "web", lambda o: o["spec"]["ports"][0].update(targetPort="http"), NS)
        await bench.until("healed", bench.all_well, 10)

    play(story, WORKSHOP)


def test_a_pod_without_its_proxy_answers_nobody() -> None:
    async def story(bench: Bench) -> None:
        inject(bench, "crash", namespace=NS, workload="billing", container="istio-proxy", after_seconds=1)
        await bench.until("users notice", lambda: users(bench)["successRate"] < 0.1, 10)
        await bench.until("not ready", lambda: not bench.workload_well("billing"), 10)
        bench.sandbox.cluster.delete("pods", NS, bench.pods("billing", NS)[0]["metadata"]["name"], user=_PERSON)
        await bench.until("healed", bench.all_well, 40)

    play(story, WORKSHOP)


def test_a_host_outside_can_be_down_slow_and_failing() -> None:
    async def story(bench: Bench) -> None:
        for mode, words in (
            ("down", "Client.Timeout exceeded"), ("errors", "unexpected status 500"), ("unknown", "no such host"),
        ):  # fmt: skip
            injection = inject(bench, "external-outage", host="partner.example.com", mode=mode)
            await bench.until(mode, lambda: bench.health("api")["successRate"] < 0.6, 5)
            await bench.until(words, lambda t=words: bool(bench.lines("api", t)), 20)  # type: ignore[misc]
            bench.sandbox.injector.remove(injection)
            await bench.until("healed", bench.all_well, 10)

    play(story, WORKSHOP)


def test_a_full_claim_stops_writes_until_it_is_larger() -> None:
    async def story(bench: Bench) -> None:
        injection = inject(bench, "disk-fill", namespace=NS, workload="db", bytes_per_second="100Mi")
        await bench.until("full", lambda: bench.health("api")["successRate"] < 0.8, 30)
        await asyncio.sleep(6)
        assert bench.lines("api", "Error 1114: The table 'orders' is full")
        assert bench.number("kubelet_volume_stats_available_bytes") == 0
        bench.sandbox.injector.remove(injection)
        restart(bench, "db")
        await asyncio.sleep(20)
        assert bench.health("api")["successRate"] < 0.8  # the data is still there
        for resource, name, namespace in (("persistentvolumes", "disk", None), ("persistentvolumeclaims", "data", NS)):
            bench.sandbox.cluster.mutate(resource, namespace, name, _grow, user=_PERSON, subresource="status")
        await bench.until("healed", bench.all_well, 30)

    play(story, WORKSHOP)


def _grow(body: Object) -> None:
    if body["kind"] == "PersistentVolumeClaim":
        body["status"]["capacity"] = {"storage": "2Gi"}


def test_retries_multiply_the_load_and_hide_few_errors() -> None:
    async def story(bench: Bench) -> None:
        before = _rate(bench, "api")
        inject(bench, "errors", namespace=NS, workload="api", error_rate=0.1)
        await asyncio.sleep(6)
        assert users(bench)["successRate"] > 0.98  # a tenth of a tenth of a tenth
        inject(bench, "errors", namespace=NS, workload="api", error_rate=0.8)
        await asyncio.sleep(6)
        assert users(bench)["successRate"] < 0.4
        assert _rate(bench, "api") > 2 * before

    play(story, WORKSHOP)


def test_a_circuit_breaker_opens_and_closes() -> None:
    async def story(bench: Bench) -> None:
        injection = inject(bench, "hang", namespace=NS, workload="reports")
        await asyncio.sleep(3)
        assert _slowest(bench) > 1.5
        await asyncio.sleep(10)
        assert bench.lines("web", "CircuitBreaker 'reports' is OPEN")
        assert _slowest(bench) < 0.5
        bench.sandbox.injector.remove(injection)
        await asyncio.sleep(20)
        assert _rate(bench, "reports") > 3

    play(story, WORKSHOP)


def _rate(bench: Bench, name: str) -> float:
    return sum(p.rate for p in bench.sandbox.runtime.servers() if p.start.container == name)


def _slowest(bench: Bench) -> float:
    return max(s for p in bench.sandbox.runtime.servers() if p.start.container == "web" for _, s in p.mixture)


def test_services_of_every_kind() -> None:
    async def story(bench: Bench) -> None:
        bench.change("services", "api", lambda o: o["spec"]["ports"][0].update(protocol="UDP"), NS)
        await bench.until("no TCP there", lambda: users(bench)["successRate"] < 0.1, 5)
        bench.change("services", "api", lambda o: o["spec"]["ports"][0].update(protocol="TCP"), NS)
        await bench.until("healed", bench.all_well, 5)
        bench.change("services", "api", lambda o: o["spec"].update(sessionAffinity="ClientIP"), NS)
        await asyncio.sleep(3)
        assert bench.all_well()
        way = [
            len(group.edges[0].ways) for group in _traffic(bench).classes if group.members[0].start.container == "web"
        ]
        assert way == [1, 1]
        outside = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "partner"},
                   "spec": {"type": "ExternalName", "externalName": "api.partner.example.com"}}  # fmt: skip
        bench.create("services", outside, NS)
        set_env(bench, "api", PARTNER_URL="https://partner:443")
        await bench.until("rolled out", bench.all_well, 40)
        inject(bench, "external-outage", host="api.partner.example.com")
        await bench.until("down", lambda: bench.health("api")["successRate"] < 0.6, 5)

    play(story, WORKSHOP)


def _traffic(bench: Bench) -> Any:
    return bench.sandbox.runtime.traffic
