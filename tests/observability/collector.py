"""A local OTLP/HTTP collector that decodes what it gets; it also answers anything else like an empty Prometheus."""

from __future__ import annotations

import contextlib
import gzip
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    name: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    service: str
    attributes: dict[str, str]


@dataclass
class Collector:
    url: str
    spans: list[Span] = field(default_factory=list)
    hang: threading.Event = field(default_factory=threading.Event)
    asked: int = 0

    def named(self, beginning: str) -> list[Span]:
        return [span for span in self.spans if span.name.startswith(beginning)]

    def wait_for(self, beginning: str, seconds: float = 60.0) -> Span:
        deadline = time.monotonic() + seconds
        while not (found := self.named(beginning)):
            assert time.monotonic() < deadline, f"no span {beginning}: {sorted({s.name for s in self.spans})}"
            time.sleep(0.05)
        return found[-1]

    def ancestors(self, span: Span) -> list[Span]:
        by_id = {other.span_id: other for other in self.spans if other.trace_id == span.trace_id}
        found = []
        while span.parent_id in by_id:
            span = by_id[span.parent_id]
            found.append(span)
        return found


@contextlib.contextmanager
def running() -> Iterator[Collector]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/v1/traces":
                collector.asked += 1
                if collector.hang.is_set():
                    ended.wait(30)
                    return
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.spans += _spans(body)
                answer, kind = b"", "application/x-protobuf"
            else:
                answer = b'{"status": "success", "data": {"resultType": "vector", "result": []}}'
                kind = "application/json"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            pass

    server.RequestHandlerClass = Handler
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def _spans(body: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    found = []
    for of_resource in request.resource_spans:
        told = {entry.key: entry.value.string_value for entry in of_resource.resource.attributes}
        for scope in of_resource.scope_spans:
            for span in scope.spans:
                attributes = {
                    entry.key: entry.value.string_value or str(entry.value.int_value) for entry in span.attributes
                }
                found.append(
                    Span(span.name, span.trace_id, span.span_id, span.parent_span_id, told["service.name"], attributes)
                )
    return found
