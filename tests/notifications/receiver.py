"""A receiver of webhooks that answers as it is told, over real HTTP on a free loopback port."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """One request, and the receiver's answer."""

    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


@dataclass
class Answer:
    """``hang``: the connection stays open without a word; ``drip``: the body comes byte by byte, for ever."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    hang: bool = False
    drip: bool = False


class Receiver:
    """``answers`` are used up one by one; then every request is taken with 200."""

    def __init__(self) -> None:
        self.got: list[Received] = []
        self.answers: list[Answer] = []
        self.released = threading.Event()
        self.came = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                receiver.got.append(Received(self.path, dict(self.headers.items()), raw))
                answer = receiver.answers.pop(0) if receiver.answers else Answer()
                receiver.came.set()
                if answer.hang:
                    receiver.released.wait(30)
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if not answer.drip:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                while answer.drip and not receiver.released.is_set():
                    try:
                        self.wfile.write(b"x")
                        self.wfile.flush()
                    except OSError:
                        return
                    time.sleep(0.05)
                self.wfile.write(answer.body)

            def log_message(self, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
