"""Crashes, configuration, memory, CPU: cause, object and facts, and their look-alikes."""

from __future__ import annotations

import pytest

from tests.diagnosis.asked import all_of, best, named
from tests.diagnosis.world import World, ago, container, crashed, waiting

MI = 2**20


PANIC = """2026-05-04T09:59:38Z INFO starting
panic: runtime error: invalid memory address

goroutine 1 [running]:
main.main()
\t/src/main.go:12 +0x1d"""


def test_a_new_image_that_panics_is_a_bad_rollout() -> None:
    world = World()
    world.deployment(
        "billing", [container(image="r/billing:2")], before=[container(image="r/billing:1")], failing=crashed(2)
    )
    world.log(world.pods("billing", 2)[0], PANIC, previous=True)
    found = best(world)
    assert named(found) == ("BadRollout", "Deployment", "billing")
    assert found.confidence > 0.85
    assert (found.facts["revision"], found.facts["current_revision"]) == (1, 2)
    assert found.facts["changes"] == [
        {"path": "containers[app].image", "before": "r/billing:1", "after": "r/billing:2"}
    ]
    text = "\n".join(e.text for e in all_of(world).evidence)
    assert "goroutine 1 [running]" in text  # the stack trace is kept whole
    assert "/src/main.go:12" in text


def test_the_same_panic_without_a_rollout_is_the_programs_own() -> None:
    world = World()
    world.deployment("billing", failing=crashed(2), replicas=1)
    world.log(world.pods("billing")[0], PANIC, previous=True)
    found = best(world)
    assert named(found) == ("ApplicationCrash", "Deployment", "billing")
    assert found.confidence < 0.75


@pytest.mark.parametrize(
    ("line", "cause", "details"),
    [
        (
            "FATAL: required environment variable PAYMENT_MODE is not set",
            "MissingEnvironmentVariable",
            {"variable": "PAYMENT_MODE"},
        ),
        (
            "Traceback (most recent call last):\n  File \"app.py\", line 3, in <module>\nKeyError: 'SMTP_SERVER'",
            "MissingEnvironmentVariable",
            {"variable": "SMTP_SERVER"},
        ),
        (
            "java.lang.IllegalArgumentException: Could not resolve placeholder 'mail.host' in value",
            "MissingEnvironmentVariable",
            {"variable": "mail.host"},
        ),
        ('level=fatal msg="invalid log level: verbos"', "WrongConfiguration", {}),
        (
            "ERROR failed to parse config: yaml: line 4: mapping values are not allowed in this context",
            "WrongConfiguration",
            {},
        ),
        ("open /etc/app/rules.yaml: no such file or directory", "MissingFile", {"path": "/etc/app/rules.yaml"}),
        ('psycopg.OperationalError: FATAL:  password authentication failed for user "app"', "WrongCredentials", {}),
        ("Error: listen tcp :8080: bind: address already in use", "PortConflict", {"port": "8080"}),
        ("mkdir /data/cache: permission denied", "PermissionDenied", {}),
        ("write /data/wal: no space left on device", "DiskFull", {}),
        ("x509: certificate has expired or is not yet valid", "CertificateExpired", {}),
    ],
)
def test_what_a_program_says_at_its_end(line: str, cause: str, details: dict[str, str]) -> None:
    world = World()
    world.deployment("quotes", failing=crashed(1), replicas=1)
    world.log(world.pods("quotes")[0], f"starting up\nlistening soon\n{line}\n", previous=True)
    found = best(world)
    assert named(found) == (cause, "Deployment", "quotes")
    assert details.items() <= found.facts.items()


def test_a_rollout_that_takes_a_variable_away() -> None:
    world = World()
    old = container(env=[{"name": "PAYMENT_MODE", "value": "live"}, {"name": "A", "value": "1"}])
    world.deployment("checkout", [container(env=[{"name": "A", "value": "1"}])], before=[old], failing=crashed(1))
    world.log(world.pods("checkout", 2)[0], "fatal: PAYMENT_MODE is required", previous=True)
    found = best(world)
    assert named(found) == ("MissingEnvironmentVariable", "Deployment", "checkout")
    assert found.facts["revision"] == 1
    assert found.confidence > 0.9


def test_a_config_map_changed_by_hand_is_where_a_wrong_value_is() -> None:
    world = World()
    fields = [{"manager": "kubectl-edit", "time": ago(90), "fieldsV1": {"f:data": {}}}]
    world.add("ConfigMap", "quotes-config", data={"log": "verbos"}, metadata={"managedFields": fields})
    env = container(envFrom=[{"configMapRef": {"name": "quotes-config"}}])
    world.deployment("quotes", [env], failing=crashed(1), replicas=1)
    world.log(world.pods("quotes")[0], "ERROR invalid value for log level: verbos", previous=True)
    found = best(world)
    assert named(found) == ("WrongConfiguration", "ConfigMap", "quotes-config")
    assert found.facts["workload"]["name"] == "quotes"


def test_a_key_removed_from_a_config_map_is_put_back_from_what_was_applied() -> None:
    world = World()
    applied = '{"data": {"region": "eu", "mode": "fast"}}'
    fields = [{"manager": "kubectl-edit", "time": ago(60), "fieldsV1": {"f:data": {}}}]
    meta = {"managedFields": fields, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied}}
    world.add("ConfigMap", "depot", data={"mode": "fast"}, metadata=meta)
    failing = waiting("CreateContainerConfigError", "couldn't find key region in ConfigMap shop/depot")
    world.deployment("stock", failing=failing, replicas=1)
    found = best(world)
    assert named(found) == ("MissingConfigMapKey", "ConfigMap", "depot")
    assert (found.facts["key"], found.facts["suggested_value"]) == ("region", "eu")


def test_a_rollout_that_misspells_a_key_is_where_the_fault_is() -> None:
    world = World()

    def reading(key: str) -> list[dict[str, object]]:
        return [container(env=[{"name": "R", "valueFrom": {"configMapKeyRef": {"name": "depot", "key": key}}}])]

    world.add("ConfigMap", "depot", data={"region": "eu"})
    failing = waiting("CreateContainerConfigError", "couldn't find key regoin in ConfigMap shop/depot")
    world.deployment("stock", reading("regoin"), before=reading("region"), failing=failing)
    found = best(world)
    assert named(found) == ("MissingConfigMapKey", "Deployment", "stock")
    assert (found.facts["suggested_key"], found.facts["revision"]) == ("region", 1)


@pytest.mark.parametrize(
    ("reason", "message", "cause"),
    [
        ("RunContainerError", 'exec: "serve": executable file not found in $PATH: unknown', "CommandNotFound"),
        ("RunContainerError", 'exec: "/app/run.sh": permission denied: unknown', "PermissionDenied"),
        ("RunContainerError", 'error mounting "/x" to rootfs at "/etc/a": not a directory', "ContainerCannotStart"),
    ],
)
def test_containers_that_do_not_start(reason: str, message: str, cause: str) -> None:
    world = World()
    world.deployment("reports", failing=waiting(reason, f"failed to create containerd task: {message}"), replicas=1)
    assert named(best(world)) == (cause, "Deployment", "reports")


def test_a_shell_that_does_not_find_the_command() -> None:
    world = World()
    world.deployment("reports", failing=crashed(127), replicas=1)
    world.log(world.pods("reports")[0], "/bin/sh: 1: serve-reports: not found", previous=True)
    assert named(best(world)) == ("CommandNotFound", "Deployment", "reports")


# --- memory ---


def test_a_lowered_limit_is_too_low() -> None:
    world = World()

    def limited(memory: str) -> list[dict[str, object]]:
        return [container(resources={"limits": {"memory": memory}})]

    world.deployment("ranker", limited("96Mi"), before=limited("512Mi"), failing=crashed(137, "OOMKilled"))
    found = best(world)
    assert named(found) == ("MemoryLimitTooLow", "Deployment", "ranker")
    assert (found.facts["suggested_memory_limit"], found.facts["revision"]) == ("512Mi", 1)


def test_killed_at_each_start_without_metrics() -> None:
    world = World()
    world.deployment("ranker", failing=crashed(137, "OOMKilled", lived=4), replicas=1)
    found = best(world)
    assert named(found) == ("MemoryLimitTooLow", "Deployment", "ranker")
    assert found.facts["suggested_memory_limit_bytes"] >= 512 * MI


def test_memory_that_rises_over_each_life_is_a_leak() -> None:
    world = World()
    world.deployment("gateway", failing=crashed(137, "OOMKilled", lived=600, restarts=3), replicas=1)
    life = [60 * MI + i * 5 * MI for i in range(40)]
    world.series("container_memory_working_set_bytes", [*life, *life], pod="gateway-r1-0", container="app")
    found = best(world)
    assert named(found) == ("MemoryLeak", "Deployment", "gateway")
    assert found.facts["growth_bytes_per_second"] == pytest.approx(5 * MI / 15, rel=0.01)


def test_a_new_program_that_outgrows_the_old_limit() -> None:
    world = World()
    world.deployment(
        "recommender",
        [container(image="r/recommender:2")],
        before=[container(image="r/recommender:1")],
        failing=crashed(137, "OOMKilled", lived=59),
    )
    found = best(world)
    assert named(found) == ("MemoryLeak", "Deployment", "recommender")
    assert found.facts["revision"] == 1


def test_a_fast_leak_of_what_ran_well_before() -> None:
    world = World()
    world.deployment("cart", failing=crashed(137, "OOMKilled", lived=24, restarts=3), replicas=1)
    values = [60 * MI] * 40 + [60 * MI, 200 * MI, 60 * MI, 190 * MI, 60 * MI, 210 * MI]
    world.series("container_memory_working_set_bytes", values, pod="cart-r1-0", container="app")
    assert named(best(world)) == ("MemoryLeak", "Deployment", "cart")


def test_a_leak_is_seen_before_the_kill() -> None:
    world = World()
    world.deployment("gateway", replicas=1)
    values = [40 * MI + i * 3 * MI for i in range(64)]  # up to 229 of 256 Mi
    world.series("container_memory_working_set_bytes", values, pod="gateway-r1-0", container="app")
    found = best(world)
    assert named(found) == ("MemoryLeak", "Deployment", "gateway")
    assert found.facts["seconds_to_limit"] < 300


@pytest.mark.parametrize(
    "values",
    [
        [225 * MI] * 60,
        [100 * MI + i * 2 * MI if i < 60 else 220 * MI for i in range(120)],
        [100 * MI + i * 10_000 for i in range(120)],
    ],
    ids=["high-but-flat", "warmed-up", "creeping"],
)
def test_memory_that_is_no_leak(values: list[float]) -> None:
    world = World()
    world.deployment("gateway", replicas=1)
    world.series("container_memory_working_set_bytes", values, pod="gateway-r1-0", container="app")
    assert all_of(world).findings == ()


def test_a_container_without_limit_is_killed_by_its_node() -> None:
    world = World()
    world.deployment(
        "batcher", [container(resources={})], failing=crashed(137, "OOMKilled", lived=900), replicas=1, node="n7"
    )
    assert named(best(world)) == ("NodeMemoryPressure", "Node", "n7")


def test_an_old_oom_kill_is_no_news() -> None:
    world = World()
    healed = {"state": {"running": {"startedAt": ago(7000)}}, "ready": True, "restartCount": 1}
    healed["lastState"] = {
        "terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": ago(7001), "startedAt": ago(7100)}
    }
    world.deployment("ranker", replicas=1)
    world.snapshot.of_kind("Pod")[0]["status"]["containerStatuses"][0].update(healed)
    assert all_of(world).findings == ()


# --- CPU ---


def _counter(rates: list[float], step: float = 15) -> list[float]:
    total, values = 0.0, [0.0]
    for rate in rates:
        total += rate * step
        values.append(total)
    return values


def test_cpu_that_jumps_at_the_same_load_is_a_hog() -> None:
    world = World()
    world.deployment("orders", replicas=1)
    pod = {"pod": "orders-r1-0"}
    world.series("container_cpu_usage_seconds_total", _counter([0.1] * 60 + [0.5] * 12), container="app", **pod)
    world.series("http_requests_total", _counter([20] * 72), code="200", **pod)
    found = best(world)
    assert named(found) == ("CPUHog", "Deployment", "orders")
    assert found.facts["baseline_cpu_cores"] == pytest.approx(0.1, rel=0.1)


def test_cpu_that_follows_the_load_is_a_spike() -> None:
    world = World()
    world.deployment("orders", replicas=1)
    pod = {"pod": "orders-r1-0"}
    world.series("container_cpu_usage_seconds_total", _counter([0.1] * 60 + [0.5] * 12), container="app", **pod)
    world.series("http_requests_total", _counter([20] * 60 + [100] * 12), code="200", **pod)
    found = best(world)
    assert named(found) == ("TrafficSpike", "Deployment", "orders")
    assert found.facts["suggested_replicas"] > 1


def test_a_lowered_cpu_limit_throttles() -> None:
    world = World()

    def limited(cpu: str) -> list[dict[str, object]]:
        return [container(resources={"limits": {"cpu": cpu}})]

    world.deployment("pricing", limited("50m"), before=limited("500m"), replicas=1, rolled_out=300)
    pod = {"pod": "pricing-r2-0", "container": "app"}
    world.series("container_cpu_usage_seconds_total", _counter([0.05] * 18), **pod)
    world.series("container_cpu_cfs_throttled_periods_total", _counter([8] * 18), **pod)
    world.series("container_cpu_cfs_periods_total", _counter([10] * 18), **pod)
    found = best(world)
    assert named(found) == ("CPULimitTooLow", "Deployment", "pricing")
    assert (found.facts["suggested_cpu_limit"], found.facts["revision"]) == ("500m", 1)
    assert found.facts["throttled_fraction"] == pytest.approx(0.8, rel=0.05)


def test_a_cpu_limit_so_low_that_the_program_never_gets_ready() -> None:
    world = World()
    probe = {"httpGet": {"path": "/healthz", "port": 8080}}

    def limited(cpu: str) -> list[dict[str, object]]:
        return [container(resources={"limits": {"cpu": cpu}}, livenessProbe=probe)]

    world.deployment("pricing", limited("20m"), before=limited("800m"), failing=crashed(137, lived=40))
    pod = world.pods("pricing", 2)[0]
    world.event(pod, "Unhealthy", "Liveness probe failed: dial tcp 10.0.0.1:8080: connect: connection refused")
    world.event(pod, "Killing", "Container app failed liveness probe, will be restarted", kind="Normal")
    found = best(world)
    assert named(found) == ("CPULimitTooLow", "Deployment", "pricing")
    assert (found.facts["suggested_cpu_limit"], found.facts["revision"]) == ("800m", 1)


def test_a_busy_container_that_was_always_busy_is_no_fault() -> None:
    world = World()
    world.deployment("encoder", [container(resources={})], replicas=1)
    world.series("container_cpu_usage_seconds_total", _counter([1.5] * 60), pod="encoder-r1-0", container="app")
    assert all_of(world).findings == ()


# --- probes ---
