"""The sandbox's PromQL engine against a real Prometheus that holds the very same samples."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from starlette.applications import Starlette

from healing.queries.catalogue import CATALOGUE, Query
from healing.sandbox.signals.prometheus import PrometheusApi
from healing.sandbox.signals.rules import load_rules
from healing.sandbox.signals.tsdb import Store
from tests.parts.prometheus import Prometheus
from tests.signals import expressions
from tests.signals.series import T0_MS, fill, holds_stale

END = T0_MS / 1000 + 600
TOLERANCE = 1e-9
UNSUPPORTED = ("holt_winters", "mad_over_time", "histogram_count", "nosuch")


class Both:
    """One data set in two servers."""

    def __init__(self, real: Prometheus, store: Store) -> None:
        self.real = real
        self.store = store
        api = PrometheusApi(store, [], lambda: END)
        self._transport = httpx.ASGITransport(Starlette(routes=api.routes("")))

    async def ours(self, path: str, **parameters: str) -> tuple[int, dict[str, Any]]:
        async with httpx.AsyncClient(transport=self._transport, base_url="http://ours") as client:
            answer = await client.post(f"/api/v1/{path}", data=parameters)
            return answer.status_code, answer.json()

    async def compare(self, path: str, **parameters: str) -> int:
        """The number of series that both answered with."""
        expected, got = self.real.ask(path, **parameters), await self.ours(path, **parameters)
        why = difference(expected, got)
        assert not why, f"{parameters}: {why}\nPrometheus: {expected}\nsandbox:    {got}"
        return len(expected[1]["data"]["result"]) if expected[0] == 200 else 0


def difference(expected: tuple[int, dict[str, Any]], got: tuple[int, dict[str, Any]]) -> str:
    """Empty when both answer the same, to a relative error of `TOLERANCE`."""
    (status, body), (our_status, our_body) = expected, got
    if status != our_status:
        return f"status {our_status} instead of {status}"
    if status != 200:
        same = body["errorType"] == our_body["errorType"]
        return "" if same else f"error type {our_body['errorType']} instead of {body['errorType']}"
    kind = body["data"]["resultType"]
    if kind != our_body["data"]["resultType"]:
        return f"a {our_body['data']['resultType']} instead of a {kind}"
    if kind in ("scalar", "string"):
        return _points([body["data"]["result"]], [our_body["data"]["result"]])
    theirs, ours = (_by_labels(answer["data"]["result"]) for answer in (body, our_body))
    if theirs.keys() != ours.keys():
        return f"missing {sorted(theirs.keys() - ours.keys())}, too many {sorted(ours.keys() - theirs.keys())}"
    return next((f"{key}: {why}" for key in theirs if (why := _points(theirs[key], ours[key]))), "")


def _by_labels(result: list[dict[str, Any]]) -> dict[tuple[tuple[str, str], ...], list[Any]]:
    found = {tuple(sorted(one["metric"].items())): one.get("values") or [one["value"]] for one in result}
    assert len(found) == len(result)
    return found


def _points(theirs: list[Any], ours: list[Any]) -> str:
    if [at for at, _ in theirs] != [at for at, _ in ours]:
        return f"times {[at for at, _ in ours]} instead of {[at for at, _ in theirs]}"
    for (at, expected), (_, got) in zip(theirs, ours, strict=True):
        if expected != got and not _close(float(expected), float(got)):
            return f"{got} instead of {expected} at {at}"
    return ""


def _close(expected: float, got: float) -> bool:
    if math.isnan(expected) or math.isnan(got):
        return math.isnan(expected) and math.isnan(got)
    return math.isclose(expected, got, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    real = Prometheus(tmp_path_factory.mktemp("prometheus"))
    try:
        store = Store()
        real.write(fill(store, random.Random(42)))
        yield Both(real, store)
    finally:
        real.stop()


@pytest.mark.parametrize("query", expressions.EVERY_FUNCTION)
async def test_every_function(both: Both, query: str) -> None:
    for at in (END - 300, END - 117.3, END):
        await both.compare("query", query=query, time=f"{at:.3f}")
    await both.compare("query_range", query=query, start=f"{END - 300}", end=f"{END + 60}", step="17")


PROMQL = [query for query in CATALOGUE if query.language == "PromQL"]


@pytest.mark.parametrize("query", PROMQL, ids=[query.name for query in PROMQL])
async def test_every_query_of_the_product(both: Both, query: Query) -> None:
    answers = 0
    for window in ("5s", "30s", "60s", "300s") if "window" in query.example else ("",):
        text = query.text(**{**query.example, **({"window": window} if window else {})})
        for at in (END - 400, END - 211.7, END - 1):
            answers += await both.compare("query", query=text, time=f"{at:.3f}")
        answers += await both.compare("query_range", query=text, start=f"{END - 420}", end=f"{END}", step="15")
    assert answers > 0, "there is nothing to compare"


RULES = [rule.expr for rule in load_rules()]


async def test_the_alerting_rules_are_understood_alike(both: Both) -> None:
    for text in RULES:
        await both.compare("query", query=text, time=f"{END}")


async def test_what_is_not_supported_says_so(both: Both) -> None:
    for name in UNSUPPORTED:
        status, body = await both.ours("query", query=f"{name}(memory_bytes)")
        assert status in (400, 422)
        assert body["status"] == "error"
        assert name in body["error"]


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(expressions.queries())
def test_generated_expressions(both: Both, case: expressions.Case) -> None:
    at = f"{T0_MS / 1000 + case.at_seconds:.3f}"
    asyncio.run(both.compare("query", query=case.text, time=at))
    start = f"{T0_MS / 1000 + case.at_seconds - 120:.3f}"
    asyncio.run(both.compare("query_range", query=case.text, start=start, end=at, step=f"{case.step_seconds}"))


def test_the_data_is_not_too_easy(both: Both) -> None:
    assert holds_stale(both.store)
    assert both.real.ask("query", query="count(requests_total)", time=f"{END - 300}")[1]["data"]["result"]
