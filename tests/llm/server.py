"""A local server that speaks OpenAI's chat completions, streaming: it answers as told, hangs, fails, lies."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Gets the request's body; gives the answer's text.
Script = Callable[[dict[str, Any]], str]


@dataclass
class FakeModel:
    """What the server does next. ``requests`` are the bodies it was sent, oldest first."""

    script: Script = lambda request: "{}"
    #: answer with this HTTP status instead
    status: int = 200
    #: wait before the first byte; after each piece
    delay_seconds: float = 0.0
    pause_seconds: float = 0.0
    #: pieces the answer is cut into
    pieces: int = 5
    #: close the connection after so many pieces
    break_after: int | None = None
    #: body instead of a stream
    raw_body: bytes | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    #: the Authorization header of each
    credentials: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    url: str = ""


def document_of(request: dict[str, Any]) -> dict[str, Any]:
    """The digest in a request's body."""
    text: str = request["messages"][-1]["content"]
    found: dict[str, Any] = json.loads(text[text.index("{") :])
    return found


@contextmanager
def fake_model(script: Script | None = None, **behaviour: Any) -> Iterator[FakeModel]:
    """A server on a free loopback port for the time of the block."""
    model = FakeModel(**behaviour)
    if script is not None:
        model.script = script

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Quiet."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            model.requests.append(body)
            model.credentials.append(self.headers.get("Authorization", ""))
            model.stopping.wait(model.delay_seconds)
            try:
                self._answer(body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def _answer(self, body: dict[str, Any]) -> None:
            if model.status != 200 or model.raw_body is not None:
                problem = {"error": {"message": "as told", "type": "test", "code": model.status}}
                content = model.raw_body if model.raw_body is not None else json.dumps(problem).encode()
                self.send_response(model.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                return
            text = model.script(body)
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            size = max(1, -(-len(text) // model.pieces))
            for number, start in enumerate(range(0, len(text), size)):
                if model.break_after is not None and number >= model.break_after:
                    self.close_connection = True
                    return
                self._event({"choices": [{"index": 0, "delta": {"content": text[start : start + size]}}]})
                if model.pause_seconds and model.stopping.wait(model.pause_seconds):
                    return
            self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            usage = {"prompt_tokens": 1200, "completion_tokens": 80, "total_tokens": 1280}
            self._event({"choices": [], "usage": usage})
            self.wfile.write(b"data: [DONE]\n\n")
            self.close_connection = True

        def _event(self, part: dict[str, Any]) -> None:
            full = {"id": "c1", "object": "chat.completion.chunk", "created": int(time.time()), "model": "m", **part}
            self.wfile.write(b"data: " + json.dumps(full).encode() + b"\n\n")
            self.wfile.flush()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    model.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        model.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join(2.0)
