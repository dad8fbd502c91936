"""Prometheus and Loki against recorded answers, served over HTTP."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta

import pytest

from healing.cluster.loki import Loki
from healing.cluster.prometheus import Prometheus
from healing.ports import errors
from tests.cluster.server import Answer, Server, recorded, replay

END = datetime(2026, 11, 23, 0, 0, tzinfo=UTC)
START = END - timedelta(minutes=5)


def test_instant_values(server: Server, prometheus: Prometheus) -> None:
    server.answer(
        replay("prometheus/query-cpu-rate"),
        replay("prometheus/query-vector-inf"),
        replay("prometheus/query-nan-and-inf"),
    )
    samples = prometheus.query("rate(x[1m])", at=END)
    assert {sample.labels["container"]: sample.value for sample in samples}["app"] == pytest.approx(
        0.001326413856258684
    )
    assert server.requests[0].form == {"query": "rate(x[1m])", "time": f"{END.timestamp():.3f}"}
    assert [sample.value for sample in prometheus.query("vector(1)/0")] == [math.inf]
    assert math.isnan(prometheus.query("0/0")[0].value)


def test_nothing_found_is_empty(server: Server, prometheus: Prometheus, loki: Loki) -> None:
    server.answer(
        replay("prometheus/query-empty"), replay("prometheus/query_range-empty"), replay("loki/query_range-empty")
    )
    assert prometheus.query("nothing") == []
    assert prometheus.query_range("nothing", start=START, end=END, step_seconds=15) == []
    assert loki.query_range('{a="b"}', start=START, end=END) == []


def test_ranges(server: Server, prometheus: Prometheus) -> None:
    server.answer(replay("prometheus/query_range-cpu-rate"))
    series = prometheus.query_range("q", start=START, end=END, step_seconds=15)
    raw = recorded("prometheus/query_range-cpu-rate")["response"]["body"]["data"]["result"]
    assert [len(one.points) for one in series] == [len(one["values"]) for one in raw]
    assert series[0].points[0] == (1795392552.825, 0.0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (replay("prometheus/query-400-parse"), errors.Invalid),
        (replay("prometheus/query-422-execution"), errors.Invalid),
        (replay("prometheus/query-matrix"), errors.Invalid),
        (replay("prometheus/query-string"), errors.Invalid),
        (Answer(503, "Service Unavailable", "text/plain"), errors.Unavailable),
        (Answer(200, "<html>", "text/html"), errors.BadResponse),
        (
            Answer(200, {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}}]}}),
            errors.BadResponse,
        ),
        (Answer(200, '{"status":', length=200), errors.BadResponse),
        (Answer(404, "404 page not found", "text/plain"), errors.NotFound),
        (Answer(401, "", "text/plain"), errors.Unauthorized),
    ],
)
def test_prometheus_errors(
    server: Server, prometheus: Prometheus, answer: Answer, expected: type[errors.SourceError]
) -> None:
    server.answer(answer)
    with pytest.raises(errors.SourceError) as caught:
        prometheus.query("q", timeout_seconds=2.0)
    assert type(caught.value) is expected


def test_lines_of_several_streams_are_merged_by_time(server: Server, loki: Loki) -> None:
    server.answer(replay("loki/query_range-several-streams"))
    lines = loki.query_range('{namespace="logs"}', start=START, end=END, limit=20)
    assert [line.time for line in lines] == sorted((line.time for line in lines), reverse=True)
    assert {line.labels["stream"] for line in lines} == {"stderr", "stdout"}
    newest = next(line for line in lines if "attempt=645" in line.text)
    assert newest.time == datetime.fromtimestamp(1795393043, UTC) + timedelta(microseconds=52338)
    query = server.requests[0].query
    assert query["direction"] == "backward"
    assert query["end"] == f"{int(END.timestamp())}000000000"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (replay("loki/query_range-400-parse"), errors.Invalid),
        (replay("loki/query_range-metric-rate"), errors.Invalid),
        (Answer(500, "boom", "text/plain"), errors.Unavailable),
        (Answer(200, {"status": "success"}), errors.BadResponse),
        (Answer(429, "", "text/plain"), errors.RateLimited),
    ],
)
def test_loki_errors(server: Server, loki: Loki, answer: Answer, expected: type[errors.SourceError]) -> None:
    server.answer(answer)
    with pytest.raises(errors.SourceError) as caught:
        loki.query_range("q", start=START, end=END, timeout_seconds=1.5)
    assert type(caught.value) is expected


def test_outages_are_bridged_and_hanging_is_bounded(server: Server, prometheus: Prometheus, loki: Loki) -> None:
    server.answer(Answer(503), replay("prometheus/query-empty"))
    assert prometheus.query("q") == []
    server.handler = lambda request: (server.closing.wait(10), Answer(200))[1]
    started = time.monotonic()
    with pytest.raises(errors.Unavailable, match="no answer within"):
        prometheus.query("q", timeout_seconds=1.0)
    assert time.monotonic() - started < 4.0  # not the ten seconds that the server takes
    server.close()
    with pytest.raises(errors.Unavailable, match="cannot be reached"):
        loki.query_range("q", start=START, end=END, timeout_seconds=2.0)


def test_credentials_are_sent(server: Server) -> None:
    server.answer(replay("prometheus/query-empty"))
    for source in (
        Prometheus(server.url.replace("http://", "http://ann:pw@")),
        Prometheus(server.url, bearer_token="t0"),
    ):
        source.query("q")
        source.close()
    assert [request.headers["authorization"] for request in server.requests] == ["Basic YW5uOnB3", "Bearer t0"]
