"""Evidence belongs to the fault of now: what is over, and what the target cannot have from others, is none."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from healing.diagnosis.reasoner import diagnose
from healing.ports.cluster import ObjectRef
from tests.diagnosis.world import World, ago, container

MI = 2**20
CALLER = [container(env=[{"name": "CACHE_ADDR", "value": "cache:6379"}])]


def refused(*ago_seconds: float) -> str:
    line = "{} ERROR call to cache:6379 failed: dial tcp cache:6379: connect: connection refused\n"
    return "".join(line.format(ago(seconds)) for seconds in ago_seconds)


def shop() -> World:
    """``cart`` calls ``cache``; both are well."""
    world = World()
    world.service("cache", port=6379)
    world.deployment("cache", replicas=1)
    world.deployment("cart", CALLER, replicas=1)
    return world


def crashed_before(world: World, *, running_seconds: float, lived_seconds: float) -> None:
    """The caller ended three times before the run of now."""
    pod = copy.deepcopy(world.pods("cart")[0])
    status: dict[str, Any] = pod["status"]["containerStatuses"][0]
    status["restartCount"] = 3
    status["state"] = {"running": {"startedAt": ago(running_seconds)}}
    ended = running_seconds + 2
    terminated = {"exitCode": 1, "reason": "Error", "startedAt": ago(ended + lived_seconds), "finishedAt": ago(ended)}
    status["lastState"] = {"terminated": terminated}
    world.snapshot.add(pod)
    world.log(pod, refused(ended + 1, ended), previous=True)


def causes(world: World, target: str = "", symptom: str = "") -> list[tuple[str, str]]:
    about = ObjectRef("Deployment", "shop", target) if target else None
    return [(f.cause, f.object.name) for f in diagnose(world.snapshot, target=about, symptom=symptom).findings]


def test_a_crash_at_the_start_that_is_over() -> None:
    world = shop()
    crashed_before(world, running_seconds=170, lived_seconds=1)
    assert causes(world) == []


@pytest.mark.parametrize(("running", "lived"), [(20, 1), (170, 120)], ids=["just-started", "lives-that-long-anyway"])
def test_a_crash_that_may_come_again(running: float, lived: float) -> None:
    world = shop()
    crashed_before(world, running_seconds=running, lived_seconds=lived)
    assert ("DependencyUnavailable", "cart") in causes(world)


def test_calls_that_fail_no_more() -> None:
    world = shop()
    world.log(world.pods("cart")[0], refused(*range(50, 20, -2)))
    assert causes(world) == []


def test_calls_that_still_fail() -> None:
    world = shop()
    world.log(world.pods("cart")[0], refused(*range(50, 0, -2)))
    assert ("DependencyUnavailable", "cart") in causes(world)


def test_calls_failed_and_the_dependency_is_away_still() -> None:
    world = shop()
    world.log(world.pods("cart")[0], refused(*range(50, 20, -2)))
    cache = copy.deepcopy(world.pods("cache")[0])
    cache["status"]["conditions"][0]["status"] = "False"
    world.snapshot.add(cache)
    assert ("DependencyUnavailable", "cart") in causes(world)


def test_a_leak_that_began_after_hours_without_one() -> None:
    world = World()
    world.deployment("gateway", replicas=1)
    values = [70.0 * MI + (i % 3) * 10_000 for i in range(100)] + [70.0 * MI + i * 30 * MI for i in range(1, 7)]
    world.series("container_memory_working_set_bytes", values, pod="gateway-r1-0", container="app")
    (found,) = diagnose(world.snapshot).findings
    assert (found.cause, found.object.name) == ("MemoryLeak", "gateway")
    assert found.facts["growth_bytes_per_second"] == pytest.approx(2 * MI, rel=0.1)


@pytest.mark.parametrize("since", [2, 3, 6, 30])
def test_memory_that_jumped_once_is_no_leak(since: int) -> None:
    world = World()
    world.deployment("gateway", replicas=1)
    values = [70.0 * MI] * 100 + [225.0 * MI] * since
    world.series("container_memory_working_set_bytes", values, pod="gateway-r1-0", container="app")
    assert causes(world) == []


def test_the_memory_of_a_workload_is_not_the_fault_of_what_it_calls() -> None:
    world = shop()
    cpu = [i * 0.3 for i in range(40)]
    throttled = "container_cpu_cfs_throttled_periods_total"
    busy = [cpu[-1] + 0.3 * 20 * i for i in range(1, 11)]
    world.series("container_cpu_usage_seconds_total", [*cpu, *busy], pod="cache-r1-0", container="app")
    world.series("container_cpu_cfs_periods_total", [150.0 * i for i in range(50)], pod="cache-r1-0", container="app")
    late = [140.0 * i for i in range(1, 11)]
    world.series(throttled, [0.0] * 40 + late, pod="cache-r1-0", container="app")
    assert ("CPUHog", "cache") in causes(world, "cart", "HighLatency")
    assert causes(world, "cart", "HighMemory") == []
    assert causes(world, "cache", "HighCpu") == [("CPUHog", "cache")]
