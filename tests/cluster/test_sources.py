"""Prometheus and Loki against recorded answers, served over HTTP."""

from __future__ import annotations

import contextlib
import json
import math
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from healing.cluster.loki import Loki
from healing.cluster.prometheus import Prometheus
from healing.cluster.source_access import SourceAccess
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


def test_credentials_are_sent(server: Server, tmp_path: Path) -> None:
    server.answer(replay("prometheus/query-empty"))
    token = tmp_path / "token"
    token.write_text("t1\n")
    rotating = Prometheus(server.url, SourceAccess(bearer_token_file=token))
    rotating.query("q")
    token.write_text("t2\n")
    for source in (
        rotating,
        Prometheus(server.url.replace("http://", "http://ann:pw@")),
        Prometheus(server.url, SourceAccess(username="ann", password="pw")),
        Prometheus(server.url, SourceAccess(bearer_token="t0", headers={"X-Scope-OrgID": "shop"})),
    ):
        source.query("q")
        source.close()
    sent = [request.headers["authorization"] for request in server.requests]
    assert sent == ["Bearer t1", "Bearer t2", "Basic YW5uOnB3", "Basic YW5uOnB3", "Bearer t0"]
    assert server.requests[-1].headers["x-scope-orgid"] == "shop"
    assert "pw" not in repr(SourceAccess(username="ann", password="pw"))


def test_a_token_file_that_is_gone_says_so(server: Server, tmp_path: Path) -> None:
    loki = Loki(server.url, SourceAccess(bearer_token_file=tmp_path / "none"))
    with pytest.raises(errors.Unauthorized, match="none cannot be read"):
        loki.query_range("q", start=START, end=END)
    loki.close()


def test_a_server_of_a_private_authority(tmp_path: Path) -> None:
    with tls_server(tmp_path) as (url, certificate):
        trusting = Prometheus(url, SourceAccess(ca_file=certificate))
        careless = Prometheus(url, SourceAccess(insecure_skip_verify=True))
        strict = Prometheus(url)
        assert trusting.query("q") == careless.query("q") == []
        with pytest.raises(errors.Unavailable, match="certificate verify failed"):
            strict.query("q", timeout_seconds=1.0)
        for source in (trusting, careless, strict):
            source.close()
    with pytest.raises(errors.Unavailable, match=r"absent\.pem"):
        Prometheus("https://127.0.0.1:9", SourceAccess(ca_file=tmp_path / "absent.pem"))


@contextlib.contextmanager
def tls_server(directory: Path) -> Iterator[tuple[str, Path]]:
    """A Prometheus without any series, under a certificate that nobody knows; its URL and the certificate."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=test"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}", certificate
    finally:
        server.shutdown()
        server.server_close()
