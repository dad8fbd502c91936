"""One pod of several is bad: it is named, isolated or not; a bad revision or a bad workload is not taken for it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from healing.diagnosis.reasoner import diagnose
from healing.findings import Finding
from healing.ports.cluster import ObjectRef
from tests.diagnosis.world import World, container

_HEALTHY, _BAD = 60, 6


def requests(world: World, pod: str, *, errors: float = 0.0, seconds: float = 0.05, last: int = _BAD) -> None:
    """Ten requests a second for a quarter of an hour; bad in the last ``last`` of the points."""

    def counter(before: float, after: float) -> list[float]:
        return list(itertools.accumulate([150 * before] * _HEALTHY + [150 * after] * last))

    world.series("http_requests_total", counter(1, 1 - errors), code="200", pod=pod)
    # a code that was never answered with before has no series before
    world.series("http_requests_total", list(itertools.accumulate([150 * errors] * last)), code="500", pod=pod)
    world.series("http_request_duration_seconds_sum", counter(0.05, seconds), pod=pod)
    world.series("http_request_duration_seconds_count", counter(1, 1), pod=pod)


def found_in(world: World, name: str = "cart") -> list[Finding]:
    return list(diagnose(world.snapshot, target=ObjectRef("Deployment", world.namespace, name)).findings)


def cart(replicas: int = 3, **more: Any) -> tuple[World, list[str]]:
    world = World()
    world.complete("Service")
    world.deployment("cart", replicas=replicas, **more)
    world.service("cart")
    return world, [pod["metadata"]["name"] for pod in world.pods("cart")]


@pytest.mark.parametrize("bad", [{"errors": 0.6}, {"seconds": 2.0}])
def test_the_pod_is_named_and_the_workload_is_where_to_act(bad: dict[str, Any]) -> None:
    world, (first, second, third) = cart()
    requests(world, first)
    requests(world, second, **bad)
    requests(world, third)
    best = found_in(world)[0]
    assert (best.cause, best.object.kind, best.object.name) == ("FaultyPod", "Deployment", "cart")
    assert best.facts["pods"] == [second]
    assert second in best.explanation
    assert best.confidence > 0.8


def test_a_pod_that_was_isolated_and_replaced_is_still_named() -> None:
    world, (first, second) = cart(2)
    pod = next(p for p in world.pods("cart") if p["metadata"]["name"] == first)
    pod["metadata"].pop("ownerReferences")
    pod["metadata"]["labels"] = {"recist.io/quarantine": "he-1"}
    pod["metadata"]["annotations"] = {"recist.io/quarantined-from": "Deployment/cart"}
    requests(world, first, errors=0.6)
    requests(world, second)
    best = found_in(world)[0]
    assert (best.cause, best.object.name, best.facts["pods"]) == ("FaultyPod", "cart", [first])


def test_what_all_or_most_pods_show_is_not_one_pods_fault() -> None:
    world, names = cart()
    for name in names:
        requests(world, name, errors=0.6)
    assert "FaultyPod" not in {f.cause for f in found_in(world)}
    world, names = cart()
    for name, errors in zip(names, (0.6, 0.6, 0.0), strict=True):
        requests(world, name, errors=errors)
    assert "FaultyPod" not in {f.cause for f in found_in(world)}


def test_ordinary_differences_are_nobodys_fault() -> None:
    world, names = cart()
    for name, errors, seconds in zip(names, (0.02, 0.0, 0.04), (0.05, 0.12, 0.08), strict=True):
        requests(world, name, errors=errors, seconds=seconds)
    assert found_in(world) == []


def test_a_pod_of_a_new_revision_among_old_ones_is_that_revisions_fault() -> None:
    world, (new, *old) = cart()
    requests(world, new, errors=0.6)
    for name in old:
        requests(world, name)
    for pod in world.pods("cart"):
        pod["metadata"]["generateName"] = "cart-b-" if pod["metadata"]["name"] == new else "cart-a-"
    assert "FaultyPod" not in {f.cause for f in found_in(world)}


def test_a_hot_pod_is_a_hog_first() -> None:
    world, (first, second, third) = cart()
    for name, seconds in ((first, 2.0), (second, 0.05), (third, 0.05)):
        requests(world, name, seconds=seconds)
    cores = list(itertools.accumulate([15 * 0.05] * _HEALTHY + [15 * 0.5] * _BAD))
    world.series("container_cpu_usage_seconds_total", cores, pod=first, container="app")
    best = found_in(world)[0]
    assert (best.cause, best.facts["pods"]) == ("CPUHog", [first])


@pytest.mark.parametrize("bad", [{"errors": 0.6}, {"seconds": 2.0}])
def test_soon_after_a_rollout_a_pod_among_well_ones_of_the_same_revision_is_still_the_pod(bad: dict[str, Any]) -> None:
    """Though the settings changed shortly before: the revision's other pod does well with them, all the time."""
    old, new = container(image="r/cart:1"), container(image="r/cart:2")
    world, (first, second, third) = cart(3, containers=[new], before=[old], rolled_out=_BAD * 15 + 20)
    for name in (second, third):
        requests(world, name)
    requests(world, first, **bad)
    best = found_in(world)[0]
    assert (best.cause, best.facts.get("pods")) == ("FaultyPod", [first])


def test_soon_after_a_rollout_what_all_its_pods_show_is_the_revisions() -> None:
    old, new = container(image="r/cart:1"), container(image="r/cart:2")
    world, names = cart(3, containers=[new], before=[old], rolled_out=_BAD * 15 + 20)
    for name in names:
        requests(world, name, errors=0.6)
    assert found_in(world)[0].cause == "BadRollout"
