"""The HTTP APIs answer in the shapes and words recorded from Prometheus 2.42 and Loki."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from healing.sandbox.signals.logstore import LogStore, detect_level
from healing.sandbox.signals.loki import LokiApi
from healing.sandbox.signals.prometheus import PrometheusApi
from healing.sandbox.signals.rules import load_rules
from healing.sandbox.signals.tsdb import Store, make_labels

RECORDINGS = Path(__file__).parents[1] / "recordings"
NOW = 1795392852.825
LOKI_NOW = 1795393047820952417


@pytest.fixture
async def prometheus() -> AsyncIterator[httpx.AsyncClient]:
    store = Store()
    for tick in range(30):
        time_ms = round(NOW * 1000) - 145_000 + tick * 5000
        kubelet = {"instance": "10.88.0.1:10250", "job": "kubelet", "node": "node1"}
        samples = [(make_labels("up", kubelet.items()), 1.0)]
        store.write("kubelet", time_ms - 3449, samples)
        ksm = (("instance", "127.0.0.1:8082"), ("job", "kube-state-metrics"))
        infos = [
            (make_labels("kube_pod_info", (*ksm, ("pod", pod), ("namespace", "crashloop"), ("node", "node1"))), 1.0)
            for pod in ("a", "b")
        ]
        node_info = (make_labels("kube_node_info", (*ksm, ("node", "node1"))), 1.0)
        store.write("ksm", time_ms - 500, [*infos, node_info, (make_labels("up", ksm), 1.0)])
    api = PrometheusApi(store, load_rules(), lambda: NOW)
    transport = httpx.ASGITransport(Starlette(routes=api.routes("")))
    async with httpx.AsyncClient(transport=transport, base_url="http://prometheus") as client:
        yield client


def recording(path: str) -> Any:
    return json.loads((RECORDINGS / path).read_text())


async def replay(client: httpx.AsyncClient, exchange: Any) -> httpx.Response:
    request = exchange["request"]
    if request["method"] == "POST":
        return await client.post(request["path"], data=request["body"])
    return await client.get(request["path"], params=request["query"])


SAME = [
    "label-values-400", "label-values-empty", "query-400-missing", "query-400-parse", "query-400-time",
    "query-400-timeout", "query-scalar", "query-string", "query-absent", "query-nan-and-inf", "query-vector-inf",
    "query-empty", "query_range-empty", "query_range-400-end-before-start", "query_range-400-step",
    "query_range-400-too-many-points", "series-400", "query-matrix", "metadata", "query-many-to-many-422",
]  # fmt: skip


@pytest.mark.parametrize("name", SAME)
async def test_prometheus_answers_as_recorded(prometheus: httpx.AsyncClient, name: str) -> None:
    exchange = recording(f"prometheus/{name}.json")
    answer = await replay(prometheus, exchange)
    assert answer.status_code == exchange["response"]["status"]
    assert answer.headers["content-type"] == exchange["response"]["headers"]["Content-Type"]
    assert answer.json() == exchange["response"]["body"]


async def test_prometheus_unknown_path(prometheus: httpx.AsyncClient) -> None:
    exchange = recording("prometheus/runtime-404.json")
    answer = await replay(prometheus, exchange)
    assert (answer.status_code, answer.text) == (404, exchange["response"]["body"])
    assert answer.headers["content-type"] == exchange["response"]["headers"]["Content-Type"]


async def test_prometheus_execution_error(prometheus: httpx.AsyncClient) -> None:
    answer = await replay(prometheus, recording("prometheus/query-422-execution.json"))
    assert answer.status_code == 422
    body = answer.json()
    assert body["errorType"] == "execution"
    assert body["error"].startswith(
        'found duplicate series for the match group {job="kube-state-metrics"} on the right'
    )
    assert body["error"].endswith("many-to-many matching not allowed: matching labels must be unique on one side")


async def test_prometheus_query_by_post_and_range(prometheus: httpx.AsyncClient) -> None:
    answer = await prometheus.post("/api/v1/query", data={"query": 'up{job="kubelet"}'})
    [sample] = answer.json()["data"]["result"]
    assert sample["metric"]["job"] == "kubelet"
    assert sample["value"] == [NOW, "1"]
    form = {"query": "count(up)", "start": "1795392792", "end": "1795392852", "step": "15s"}
    answer = await prometheus.post("/api/v1/query_range", data=form)
    [series] = answer.json()["data"]["result"]
    assert [time for time, _ in series["values"]] == [1795392792, 1795392807, 1795392822, 1795392837, 1795392852]
    assert {value for _, value in series["values"]} == {"2"}


async def test_prometheus_labels_series_and_rules(prometheus: httpx.AsyncClient) -> None:
    answer = await prometheus.get("/api/v1/labels", params={"match[]": "kube_pod_info"})
    assert answer.json()["data"] == ["__name__", "instance", "job", "namespace", "node", "pod"]
    answer = await prometheus.get("/api/v1/label/pod/values")
    assert answer.json()["data"] == ["a", "b"]
    answer = await prometheus.get("/api/v1/series", params={"match[]": 'kube_pod_info{pod="a"}'})
    assert answer.json()["data"][0]["__name__"] == "kube_pod_info"
    groups = (await prometheus.get("/api/v1/rules")).json()["data"]["groups"]
    recorded = recording("prometheus/alerts.json")["response"]["body"]["data"]["alerts"][0]
    assert {"ContainerOOM", "KubePodCrashLooping", "TargetDown"} <= {rule["name"] for rule in groups[0]["rules"]}
    assert set(recorded) == {"labels", "annotations", "state", "activeAt", "value"}
    text = (await prometheus.get("/metrics")).text
    assert '# TYPE kube_pod_info gauge\nkube_pod_info{instance="127.0.0.1:8082",job="kube-state-metrics"' in text


@pytest.fixture
async def loki() -> AsyncIterator[httpx.AsyncClient]:
    store = LogStore()
    base = {"job": "pods", "namespace": "logs", "pod": "talk", "container": "app", "service_name": "app"}
    for number in range(1, 61):
        at = LOKI_NOW - (61 - number) * 1_000_000_000
        store.push(base | {"stream": "stdout"}, at, f'level=info msg="request {number}" path=/cart')
        if number % 5 == 0:
            store.push(base | {"stream": "stderr"}, at, f'level=error msg="timeout calling payments" attempt={number}')
    transport = httpx.ASGITransport(Starlette(routes=LokiApi(store, lambda: LOKI_NOW / 1e9).routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://loki") as client:
        yield client


LOKI_SAME = [
    "label-values-unknown", "query-instant-log-400", "query_range-400-empty-matcher",
    "query_range-400-end-before-start", "query_range-400-filter", "query_range-400-limit",
    "query_range-400-missing", "query_range-400-parse", "query_range-400-start", "not-found-404",
]  # fmt: skip


@pytest.mark.parametrize("name", LOKI_SAME)
async def test_loki_answers_as_recorded(loki: httpx.AsyncClient, name: str) -> None:
    exchange = recording(f"loki/{name}.json")
    answer = await replay(loki, exchange)
    recorded = exchange["response"]
    assert answer.status_code == recorded["status"]
    assert answer.headers["content-type"].lower() == recorded["headers"]["Content-Type"].lower()
    assert (answer.json() if isinstance(recorded["body"], dict) else answer.text) == recorded["body"]


async def ask_loki(client: httpx.AsyncClient, query: str, **params: str) -> Any:
    answer = await client.get("/loki/api/v1/query_range", params={"query": query, **params})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_loki_lines_newest_first_with_levels(loki: httpx.AsyncClient) -> None:
    data = await ask_loki(loki, '{namespace="logs",pod="talk"}', limit="3")
    recorded = recording("loki/query_range-all-lines.json")["response"]["body"]["data"]
    assert data["resultType"] == recorded["resultType"]
    assert data["result"][0]["stream"] == recorded["result"][0]["stream"]  # the same labels, detected_level and all
    lines = sorted(((t, text) for s in data["result"] for t, text in s["values"]), reverse=True)
    assert [text for _, text in lines] == [
        'level=info msg="request 60" path=/cart',
        'level=error msg="timeout calling payments" attempt=60',
        'level=info msg="request 59" path=/cart',
    ]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ('{namespace="logs"} |= "timeout"', 12),
        ('{namespace="logs"} != "request"', 12),
        ('{namespace="logs"} |~ "attempt=(5|10)$"', 2),
        ('{namespace="logs"} !~ "request|attempt=5"', 9),
        ('{namespace=~"lo.*",stream!="stdout"}', 12),
        ('{namespace="logs"} | logfmt | level="error" | attempt > 30', 6),
        ('{namespace="logs"} | logfmt | level = "error" or path = "/none"', 12),
        ('{namespace="logs"} | detected_level="info"', 60),
        ('{namespace="logs"} |= `request 6` |= "60"', 1),
        ('{namespace="logs"} | json', 72),
        ('{namespace="nosuch"}', 0),
    ],
)
async def test_loki_filters(loki: httpx.AsyncClient, query: str, count: int) -> None:
    data = await ask_loki(loki, query, limit="1000")
    assert sum(len(stream["values"]) for stream in data["result"]) == count


async def test_loki_forward_and_since(loki: httpx.AsyncClient) -> None:
    data = await ask_loki(loki, '{pod="talk"} |= "timeout"', limit="2", direction="forward")
    assert [text[-2:] for _, text in data["result"][0]["values"]] == ["=5", "10"]
    data = await ask_loki(loki, '{pod="talk"} |= "timeout"', since="10s")
    assert len(data["result"][0]["values"]) == 2


async def test_loki_metric_queries(loki: httpx.AsyncClient) -> None:
    answer = await loki.get("/loki/api/v1/query", params={"query": 'sum(count_over_time({namespace="logs"}[5m]))'})
    recorded = recording("loki/query-instant-metric.json")["response"]["body"]["data"]
    data = answer.json()["data"]
    assert data["resultType"] == recorded["resultType"]
    assert data["result"] == [{"metric": {}, "value": [1795393047.821, "72"]}]
    answer = await loki.get(
        "/loki/api/v1/query", params={"query": 'sum by (stream) (rate({namespace="logs"}[1m])) > 0.5'}
    )
    [only] = answer.json()["data"]["result"]
    assert only["metric"] == {"stream": "stdout"}
    data = await ask_loki(loki, 'sum(count_over_time({namespace="logs"} |= "timeout" [1m]))', step="60")
    assert all(time % 60 == 0 for time, _ in data["result"][0]["values"])


async def test_loki_labels_and_series(loki: httpx.AsyncClient) -> None:
    answer = await loki.get("/loki/api/v1/labels")
    assert answer.json()["data"] == ["container", "job", "namespace", "pod", "service_name", "stream"]
    answer = await loki.get("/loki/api/v1/label/stream/values")
    assert answer.json()["data"] == ["stderr", "stdout"]
    answer = await loki.get("/loki/api/v1/series", params={"match[]": '{namespace="logs"}'})
    assert len(answer.json()["data"]) == 2


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("FATAL: could not connect to database", "fatal"),
        ('level=error msg="x"', "error"),
        ('{"level":"warn","msg":"no error here"}', "warn"),
        ("2026-01-01 10:00:00 WARNING orders: slow", "warn"),
        ("from a", "unknown"),
    ],
)
def test_levels(text: str, level: str) -> None:
    assert detect_level(text) == level
