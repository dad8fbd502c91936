"""Qdrant's HTTP API as far as our client uses it, in a thread: collections, points, search, count.

No binary of the server can be had where the tests run. Answers have the shapes of Qdrant 1.x's OpenAPI document, and
what it refuses (a vector of another length, a collection that exists) is refused.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np


class State:
    def __init__(self) -> None:
        self.collections: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.lock = threading.Lock()

    def points(self) -> list[int]:
        return [key for c in self.collections.values() for key in c["points"]]


def _handler(state: State) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            path = self.path.split("?")[0].strip("/").split("/")
            with state.lock:
                state.requests.append(f"{self.command} {self.path.split('?')[0]}")
                status, result = _answer(state, self.command, path, body)
            said = {"time": 0.0, "status": "ok" if status == 200 else {"error": result}, "result": result}
            data = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = _do  # noqa: N815

    return Handler


def _answer(state: State, method: str, path: list[str], body: Any) -> tuple[int, Any]:
    if path == ["collections"]:
        return 200, {"collections": [{"name": name} for name in state.collections]}
    name, rest = path[1], path[2:]
    found = state.collections.get(name)
    if rest == ["exists"]:
        return 200, {"exists": found is not None}
    if not rest and method == "PUT":
        if found is not None:
            return 409, f"Wrong input: Collection `{name}` already exists!"
        state.collections[name] = {"size": body["vectors"]["size"], "points": {}}
        return 200, True
    if found is None:
        return 404, f"Not found: Collection `{name}` doesn't exist!"
    if not rest:
        return 200, _info(found)
    if rest == ["index"]:
        return 200, {"operation_id": 0, "status": "completed"}
    return _points(found, method, rest, body)


def _points(found: dict[str, Any], method: str, rest: list[str], body: Any) -> tuple[int, Any]:
    points = found["points"]
    if rest == ["points"] and method == "PUT":
        for point in body["points"]:
            if len(point["vector"]) != found["size"]:
                return 400, f"Wrong input: Vector dimension error: expected dim: {found['size']}"
        for point in body["points"]:
            points[point["id"]] = (np.array(point["vector"], dtype=np.float32), point.get("payload") or {})
        return 200, {"operation_id": 1, "status": "completed"}
    if rest == ["points", "delete"]:
        for key in body["points"]:
            points.pop(key, None)
        return 200, {"operation_id": 2, "status": "completed"}
    if rest == ["points", "count"]:
        return 200, {"count": len(points)}
    if rest == ["points", "query"]:
        must = (body.get("filter") or {}).get("must") or []
        query = np.array(body["query"]["nearest"] if isinstance(body["query"], dict) else body["query"])
        hits = [
            {"id": key, "version": 0, "score": float(vector @ query)}
            for key, (vector, payload) in points.items()
            if all(payload.get(c["key"]) == c["match"]["value"] for c in must)
        ]
        return 200, {"points": sorted(hits, key=lambda hit: -hit["score"])[: body["limit"]]}
    return 404, "no such operation"


def _info(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "status": "green",
        "optimizer_status": "ok",
        "segments_count": 1,
        "points_count": len(found["points"]),
        "config": {
            "params": {"vectors": {"size": found["size"], "distance": "Cosine"}},
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 1000,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
            },
            "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
        },
        "payload_schema": {},
    }


@contextmanager
def serving() -> Iterator[tuple[str, State]]:
    state = State()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
