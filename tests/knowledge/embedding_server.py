"""Serves a sentence-transformers model as an OpenAI-compatible provider, on this machine.

``python tests/knowledge/embedding_server.py MODEL_DIRECTORY [PORT]``, with a Python that has sentence-transformers (the
project's has not: docs/knowledge.md says how to make one). It prints its address; Ctrl-C ends it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

LEAST_ARGUMENTS = 2


def serve(directory: str, port: int) -> None:
    """Answer until somebody ends it. ``port`` 0: a free one."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    # It reads the environment when imported, and is no package of the project.
    model = importlib.import_module("sentence_transformers").SentenceTransformer(directory, device="cpu")

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            if self.path != "/v1/embeddings":
                self._answer(404, {"error": {"message": "Only /v1/embeddings is served here."}})
                return
            texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
            vectors = model.encode(texts)
            rows = [
                {"object": "embedding", "index": at, "embedding": [float(x) for x in vector]}
                for at, vector in enumerate(vectors)
            ]
            words = sum(len(text.split()) for text in texts)
            usage = {"prompt_tokens": words, "total_tokens": words}
            self._answer(200, {"object": "list", "data": rows, "model": asked.get("model", ""), "usage": usage})

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = HTTPServer(("127.0.0.1", port), Handler)
    dims = len(model.encode(["x"])[0])
    sys.stdout.write(f"EMBEDDING_BASE_URL=http://127.0.0.1:{server.server_port}/v1 EMBEDDING_DIMENSIONS={dims}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) < LEAST_ARGUMENTS:
        sys.exit(f"usage: {sys.argv[0]} MODEL_DIRECTORY [PORT]")
    try:
        serve(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > LEAST_ARGUMENTS else 0)
    except KeyboardInterrupt:
        pass
