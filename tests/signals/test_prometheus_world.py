"""A running sandbox against a real Prometheus: with its stored samples, and scraped as a target."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from healing.queries.catalogue import CATALOGUE, Query
from healing.sandbox.signals.tsdb import Store
from healing.sandbox.virtual_time import run_virtual
from tests.parts.prometheus import Prometheus
from tests.sandbox_apps.bench import EPOCH, PERSON, Bench, shop
from tests.signals.series import stored
from tests.signals.test_prometheus_differential import Both

SECONDS = 150
#: The store holds far more than the product asks for.
ASKED = (
    "container_", "http_", "up", "kube_pod_container_status", "kube_node_status_condition", "kube_resourcequota",
    "kubelet_volume", "node_t", "x509_", "ALERTS",
)  # fmt: skip


def play() -> tuple[Store, float]:
    """Some minutes of a shop in which a process crashes, a pod is deleted and a service slows down."""

    async def main() -> tuple[Store, float]:
        async with shop() as bench:
            await asyncio.sleep(40)
            _trouble(bench)
            await asyncio.sleep(SECONDS - 40)
            return bench.sandbox.signals.store, bench.clock()

    return run_virtual(main())


def _trouble(bench: Bench) -> None:
    bench.inject("bad-rollout", workload="cart", message="schema version 42 is not supported")
    pod = bench.pods("orders")[0]["metadata"]["name"]
    bench.sandbox.cluster.delete("pods", "shop", pod, user=PERSON, grace_seconds=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Both, float]]:
    store, end = play()
    real = Prometheus(tmp_path_factory.mktemp("prometheus"))
    try:
        batch: list[Any] = []
        for labels, samples in stored(store):
            if labels["__name__"].startswith(ASKED):
                batch.append((labels, samples))
            if len(batch) >= 500:
                real.write(batch)
                batch = []
        real.write(batch)
        yield Both(real, store), end
    finally:
        real.stop()


PROMQL = [query for query in CATALOGUE if query.language == "PromQL"]


@pytest.mark.parametrize("query", PROMQL, ids=[query.name for query in PROMQL])
async def test_every_query_is_answered_alike(world: tuple[Both, float], query: Query) -> None:
    both, end = world
    for window in ("5s", "30s", "60s") if "window" in query.example else ("",):
        text = query.text(**{**query.example, **({"window": window} if window else {})})
        for at in (end - 100, end - 71.3, end - 3):
            await both.compare("query", query=text, time=f"{at:.3f}")
        await both.compare("query_range", query=text, start=f"{end - 120:.3f}", end=f"{end:.3f}", step="15")


async def test_there_is_something_to_compare(world: tuple[Both, float]) -> None:
    both, end = world
    for metric in ("container_cpu_usage_seconds_total", "http_requests_total", "http_request_duration_seconds_bucket"):
        text = f'sum by (pod) (rate({metric}{{namespace="shop"}}[30s])) > 0'
        assert await both.compare("query", query=text, time=f"{end - 3:.3f}") >= 8
    assert end > EPOCH
