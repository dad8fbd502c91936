"""A small HTTP server that says exactly what a test tells it to: recorded answers, and every way to fail."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.cluster import kubeconfig

RECORDINGS = Path(__file__).parent.parent / "recordings"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(self.body.decode()).items()}


@dataclass(frozen=True)
class Answer:
    """``chunks``: sent one by one; a callable between them may wait. ``length``: a Content-Length to lie with."""

    status: int = 200
    body: Any = ""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes | Callable[[], None]] | None = None
    length: int | None = None
    hang_up: bool = False


Handler = Callable[[Request], Answer]


class Server:
    """Header names come in lower case. ``handler`` answers every request; ``requests`` keeps them."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.handler: Handler = lambda request: Answer(404, "404 page not found", "text/plain")
        self.closing = threading.Event()
        outer = self

        class _Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                request = Request(
                    self.command, parts.path, query, {key.lower(): value for key, value in self.headers.items()}, body
                )
                outer.requests.append(request)
                try:
                    _send(self, outer.handler(request))
                except OSError:  # the client went away, or the test broke the connection
                    self.close_connection = True

            do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = do  # noqa: N815

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def answer(self, *answers: Answer) -> None:
        """Give these one after the other; the last one for ever."""
        left = list(answers)
        self.handler = lambda request: left.pop(0) if len(left) > 1 else left[0]

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()

    def kubeconfig(self, directory: Path, token: str = "secret") -> Path:
        return kubeconfig.write(directory / "kubeconfig", self.url, {"token": token})


def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    if answer.hang_up:
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)
        return
    body = answer.body if isinstance(answer.body, bytes) else None
    if body is None:
        body = answer.body.encode() if isinstance(answer.body, str) else json.dumps(answer.body).encode()
    handler.send_response(answer.status)
    handler.send_header("Content-Type", answer.content_type)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    if answer.chunks is None:
        handler.send_header("Content-Length", str(len(body) if answer.length is None else answer.length))
        handler.end_headers()
        handler.wfile.write(body)
        if answer.length is not None:
            handler.close_connection = True
        return
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for chunk in answer.chunks:
        if callable(chunk):
            chunk()
            continue
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        handler.wfile.flush()
    handler.wfile.write(b"0\r\n\r\n")


@contextlib.contextmanager
def running() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()


def recorded(name: str) -> dict[str, Any]:
    """A recorded exchange: {"request", "response"}."""
    value: dict[str, Any] = json.loads((RECORDINGS / f"{name}.json").read_text())
    return value


def replay(name: str) -> Answer:
    """The recorded answer."""
    response = recorded(name)["response"]
    content_type = response["headers"].get("Content-Type", "application/json")
    return Answer(response["status"], response["body"], content_type)
