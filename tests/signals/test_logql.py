"""LogQL's pipelines and metric queries, over the HTTP API."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given, strategies as st
from starlette.applications import Starlette

from healing.sandbox.signals.logql import LogQLError, parse_logql
from healing.sandbox.signals.logstore import LogStore
from healing.sandbox.signals.loki import LokiApi

NOW = 1_795_393_047
SECOND = 1_000_000_000
LINES = [
    '{"level":"error","msg":"boom","took":"1.5s","http":{"status":503,"path":"/a"},"tags":["x","y"],"app":"other"}',
    '{"level":"info","msg":"fine","took":"20ms","http":{"status":200,"path":"/a"}}',
    '{"level":"info","msg":"fine too","took":"40ms","http":{"status":200,"path":"/b"}}',
    "not json at all",
    'level=warn msg="slow query" took=2.5s bytes=20MB rows=12 empty=',
    "level=info msg=ok took=100ms bytes=512B rows=3",
    '10.0.0.7 - - "GET /cart/17 HTTP/1.1" 500 12',
    '10.0.0.8 - - "POST /cart HTTP/1.1" 201 99',
    "\x1b[31mred\x1b[0m",
]


@pytest.fixture
async def loki() -> AsyncIterator[httpx.AsyncClient]:
    store = LogStore()
    for number, line in enumerate(LINES):
        store.push({"app": "web", "stream": "stdout"}, (NOW - 60 + number) * SECOND, line)
    transport = httpx.ASGITransport(Starlette(routes=LokiApi(store, lambda: float(NOW)).routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://loki") as client:
        yield client


async def ask(client: httpx.AsyncClient, query: str) -> list[tuple[dict[str, str], str]]:
    """(labels, line), oldest first."""
    parameters = {"query": query, "direction": "forward", "limit": "100"}
    answer = await client.get("/loki/api/v1/query_range", params=parameters)
    assert answer.status_code == 200, answer.text
    found = [(s["stream"], value) for s in answer.json()["data"]["result"] for value in s["values"]]
    return [(labels, value[1]) for labels, value in sorted(found, key=lambda pair: int(pair[1][0]))]


@pytest.mark.parametrize(
    ("pipeline", "lines"),
    [
        ("| json | http_status >= 500", [0, 3, 4, 5, 6, 7, 8]),  # lines that are no JSON carry an error and are kept
        ('| json | __error__="" | http_status >= 500', [0]),
        ('| json | __error__="" | took > 30ms', [0, 2]),
        ('| json code="http.status", tag="tags[1]" | tag="y"', [0]),
        ('| json | app_extracted="other"', [0]),
        ('|= "took=" | logfmt | bytes > 1MB', [4]),
        ('|= "took=" | logfmt | rows = 3 or level = "warn"', [4, 5]),
        ('|= "took=" | logfmt | (rows = 3 or level = "warn") and took >= 1s', [4]),
        ('| regexp `"(?P<method>[A-Z]+) (?P<path>\\S+)` | method="POST"', [7]),
        ('| pattern `<ip> - - "<method> <path> <_>" <status> <size>` | status="500"', [6]),
        ("|> `<_>GET <_> HTTP/1.1<_>`", [6]),
        ('!> `<_> HTTP/1.1<_>` != "level" != "json"', [8]),
        ('| decolorize |= "red" | line_format "{{.app}}"', [8]),
        ('|= "boom" or "slow query"', [0, 4]),
        ('|~ "(?i)BOOM"', [0]),
        ('| logfmt --keep-empty | empty="" | rows="12"', [4]),
        ('| label_format kind=stream | kind="stdout"', list(range(9))),
        ('| detected_level="error"', [0]),
        ('| drop app | app="web"', []),
    ],
)
async def test_pipelines(loki: httpx.AsyncClient, pipeline: str, lines: list[int]) -> None:
    found = await ask(loki, '{app="web"} ' + pipeline)
    kept = len(found)
    assert kept == len(lines)
    if "line_format" not in pipeline and "decolorize" not in pipeline:
        assert [text for _, text in found] == [LINES[number] for number in lines]


async def test_lines_and_labels_are_formatted(loki: httpx.AsyncClient) -> None:
    query = (
        '{app="web"} |= "boom" | json | line_format "{{.level | ToUpper}} {{ .msg }}: {{.http_status}}" | keep level'
    )
    [(labels, text)] = await ask(loki, query)
    assert text == "ERROR boom: 503"
    assert labels == {"level": "error"}
    query = '{app="web"} |= "boom" | json | label_format both="{{.http_path}}-{{.level}}", where=http_path'
    [(labels, _)] = await ask(loki, query)
    assert (labels["both"], labels["where"], "http_path" in labels) == ("/a-error", "/a", False)


async def number(client: httpx.AsyncClient, query: str) -> dict[str, float]:
    answer = await client.get("/loki/api/v1/query", params={"query": query, "time": str(NOW)})
    assert answer.status_code == 200, answer.text
    result: Any = answer.json()["data"]["result"]
    return {",".join(f"{k}={v}" for k, v in sorted(one["metric"].items())): float(one["value"][1]) for one in result}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('sum(count_over_time({app="web"}[5m]))', {"": 9}),
        ('sum(rate({app="web"}[1m40s])) * 100', {"": 9}),
        (
            'sum by (level) (count_over_time({app="web"} | json | __error__="" [5m]))',
            {"level=error": 1, "level=info": 2},
        ),
        ('sum(sum_over_time({app="web"} |= "took=" | logfmt | unwrap rows [5m]))', {"": 15}),
        ('max_over_time({app="web"} |= "took=" | logfmt | unwrap duration(took) [5m]) by (app)', {"app=web": 2.5}),
        ('avg_over_time({app="web"} |= "took=" | logfmt | unwrap bytes(bytes) [5m]) by (app)', {"app=web": 10000256}),
        ('quantile_over_time(0.5, {app="web"} |= "took=" | logfmt | unwrap rows [5m]) by (app)', {"app=web": 7.5}),
        ('first_over_time({app="web"} |= "took=" | logfmt | unwrap rows [5m]) by (app)', {"app=web": 12}),
        ('sum(bytes_over_time({app="web"} |= "red" [5m]))', {"": 12}),
        ('sum(count_over_time({app="web"} |= "level" [5m])) / sum(count_over_time({app="web"}[5m]))', {"": 5 / 9}),
        ('sum(count_over_time({app="web"}[5m])) > 5 and sum(count_over_time({app="web"}[5m])) < 20', {"": 9}),
        ('topk(1, sum by (level) (count_over_time({app="web"} | json | __error__="" [5m])))', {"level=info": 2}),
        ('absent_over_time({app="none"}[5m])', {"app=none": 1}),
        ('sum(count_over_time({app="web"}[5m] offset 1h))', {}),
    ],
)
async def test_metric_queries(loki: httpx.AsyncClient, query: str, expected: dict[str, float]) -> None:
    assert await number(loki, query) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ('{app="web"} | line_format "{{ nosuch .a }}"', 'function "nosuch" not defined'),
        ('{app="web"} | regexp "a(b)c"', "at least one named capture must be supplied"),
        ('{app="web"} | pattern "nothing"', "at least one capture is required"),
        ('sum_over_time({app="web"}[1m])', "invalid aggregation sum_over_time without unwrap"),
        ('count_over_time({app="web"} | unwrap a [1m])', "invalid aggregation count_over_time with unwrap"),
        ('sum(count_over_time({app="web"}[1m])', "unexpected $end"),
        ('{app="web"} | level > "a"', "unexpected STRING, expecting BYTES or NUMBER or DURATION"),
    ],
)
async def test_refusals(loki: httpx.AsyncClient, query: str, message: str) -> None:
    answer = await loki.get("/loki/api/v1/query_range", params={"query": query})
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/plain")
    assert message in answer.text


async def test_a_metric_over_lines_that_cannot_be_read_is_refused(loki: httpx.AsyncClient) -> None:
    answer = await loki.get("/loki/api/v1/query", params={"query": 'sum(count_over_time({app="web"} | json [5m]))'})
    assert answer.status_code == 400
    assert answer.text.startswith("pipeline error: 'JSONParserErr' for series: '{")


async def test_what_is_pushed_can_be_read(loki: httpx.AsyncClient) -> None:
    values = [[str(NOW * SECOND - 2), "hello"], [str(NOW * SECOND - 1), "level=error x", {"trace_id": "abc"}]]
    stream = {"stream": {"job": "test", "pod": "a", "container": "c"}, "values": values}
    answer = await loki.post("/loki/api/v1/push", json={"streams": [stream]})
    assert answer.status_code == 204
    found = await ask(loki, '{job="test"}')
    assert [(labels["service_name"], labels["detected_level"], labels.get("trace_id")) for labels, _ in found] == [
        ("c", "unknown", None),
        ("c", "error", "abc"),
    ]
    for body, content_type in ((b"{", "application/json"), (b"x", "text/plain")):
        answer = await loki.post("/loki/api/v1/push", content=body, headers={"Content-Type": content_type})
        assert answer.status_code == 400


@given(st.text(alphabet='{}[]()|=~!<>"`,. abjsonlogfmtunwrap15m', max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for query in (text, '{a="b"} ' + text, 'sum(rate({a="b"}' + text):
        with contextlib.suppress(LogQLError):  # anything else is a bug
            parse_logql(query)
