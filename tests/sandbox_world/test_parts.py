"""The small parts: quantities, rollout arithmetic, back-off, the work queue, scheduling words."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from healing.sandbox.ports import Object
from healing.sandbox.virtual_time import run_virtual
from healing.sandbox.world import quantities
from healing.sandbox.world.controllers import rollout
from healing.sandbox.world.kubelet.backoff import BackOff
from healing.sandbox.world.kubelet.environment import expand
from healing.sandbox.world.queue import WorkQueue
from healing.sandbox.world.scheduler.filters import Refusal, explain


@pytest.mark.parametrize(
    ("text", "value"),
    [("100m", "0.1"), ("64Mi", str(64 * 2**20)), ("2", "2"), ("1e3", "1000"), ("1.5Gi", str(1.5 * 2**30)), (None, "0")],
)
def test_quantities_are_read(text: str | None, value: str) -> None:
    assert quantities.parse(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "ten", "5 Mi", "1Zi", "--1"])
def test_bad_quantities_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantity"):
        quantities.parse(text)


@given(st.integers(min_value=0, max_value=10**15))
def test_quantities_survive_being_written(value: int) -> None:
    assert quantities.parse(quantities.format_bytes(Decimal(value))) == value
    assert quantities.parse(quantities.format_cpu(Decimal(value) / 1000)) == Decimal(value) / 1000


def deployment(replicas: int, surge: int | str, unavailable: int | str) -> Object:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}}


bounds = st.one_of(st.integers(0, 20), st.integers(0, 100).map(lambda percent: f"{percent}%"))


@given(st.integers(0, 50), bounds, bounds, st.lists(st.integers(0, 40), min_size=1, max_size=4))
def test_a_rollout_never_exceeds_its_surge(
    replicas: int, surge: int | str, unavailable: int | str, sizes: list[int]
) -> None:
    item = deployment(replicas, surge, unavailable)
    every = [{"spec": {"replicas": size}} for size in sizes]
    extra, missing = rollout.surge_and_unavailable(item)
    assert 0 <= missing <= replicas or not replicas
    assert extra + missing > 0 or not replicas
    size = rollout.size_of_new(item, every, sizes[0])
    grown = sum(sizes) - sizes[0] + size
    assert size == sizes[0] or grown <= replicas + extra


@given(st.integers(1, 60), st.lists(st.integers(1, 30), min_size=2, max_size=4))
def test_proportional_scaling_reaches_the_wanted_total(replicas: int, sizes: list[int]) -> None:
    item = deployment(replicas, "25%", "25%")
    active = [
        {"metadata": {"name": f"rs{i}", "creationTimestamp": f"2026-01-01T00:00:0{i}Z"}, "spec": {"replicas": size}}
        for i, size in enumerate(sizes)
    ]
    surge, _ = rollout.surge_and_unavailable(item)
    after = rollout.proportional_sizes(item, active)
    assert all(size >= 0 for size in after.values())
    assert sum(after.values()) == replicas + surge


def test_back_off_doubles_and_forgets() -> None:
    back_off = BackOff(10, 300)
    assert back_off.ends(100) == 100
    texts = []
    for now in range(0, 8000, 1000):
        back_off.next(now % 500 + now / 1000)
        texts.append(back_off.text())
    assert texts[:6] == ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s"]
    back_off.next(5000)
    assert back_off.text() == "10s"


def test_variables_are_expanded() -> None:
    assert expand("$(A) $$(A) $(B) $", {"A": "1"}) == "1 $(A) $(B) $"


def test_the_queue_holds_a_key_once_and_waits_longer_each_time() -> None:
    async def play() -> None:
        queue: WorkQueue[str] = WorkQueue()
        loop = asyncio.get_running_loop()
        queue.add("a")
        queue.add("b")
        queue.add("a")
        assert [queue.pop(), queue.pop()] == ["a", "b"]
        waits = []
        for _ in range(12):
            since = loop.time()
            queue.add_rate_limited("a")
            await queue.wait()
            queue.pop()
            waits.append(loop.time() - since)
        assert waits == pytest.approx([0.005 * 2**n for n in range(12)], rel=0.01)
        queue.forget("a")
        queue.add_after("a", 5)
        queue.add_after("a", 1)
        since = loop.time()
        await queue.wait()
        assert loop.time() - since == pytest.approx(1, rel=0.01)
        queue.close()

    run_virtual(play())


def test_words_for_why_a_pod_fits_nowhere() -> None:
    refusals = {
        "a": Refusal(("Insufficient cpu", "Insufficient memory"), resolvable=True),
        "b": Refusal(("Insufficient cpu",)),
        "c": Refusal(("node(s) were unschedulable",)),
    }
    assert explain(refusals) == (
        "0/3 nodes are available: 1 Insufficient memory, 1 node(s) were unschedulable, 2 Insufficient cpu. "
        "no new claims to deallocate, preemption: 0/3 nodes are available: "
        "1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling."
    )
    assert explain({}) == "no nodes available to schedule pods"
