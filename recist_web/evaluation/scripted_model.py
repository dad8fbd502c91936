"""A stand-in for a language model: it behaves as real ones do, at their better and at their worse times.

It speaks OpenAI's chat completions on loopback. What it does follows from what it is asked, so that the same question
gets the same answer: most often it agrees with the rules' first finding, sometimes it names another object or cause
with great confidence, writes nonsense, is asked too often (429), or does not answer at all. An evaluation with it shows
what a model's moods do to the product, not how good some model is.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAME = "openai/scripted"
#: (share of the questions, what it does with them)
MOODS = ((0.60, "agrees"), (0.15, "prefers"), (0.10, "lies"), (0.05, "rambles"), (0.05, "refuses"), (0.05, "hangs"))
_HANG_SECONDS = 30.0


def mood_of(prompt: str) -> str:
    """What it does with this question."""
    share = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big") / 2**32
    for part, mood in MOODS:
        if share < part:
            return mood
        share -= part
    return MOODS[0][1]


def answer(prompt: str, mood: str) -> str:
    """The text of its answer in one of the moods that answer."""
    document = json.loads(prompt[prompt.index("{") :])
    if "strategies" in document:
        return _critique(document, mood)
    findings, objects = document["findings of the rules"], document["objects"]
    evidence = [item["id"] for item in document["evidence"]]
    if mood == "rambles" or not (objects and evidence):
        return "It could be many things. Have you tried turning it off and on again?"
    first = findings[0] if findings else {"cause": "Unknown", "object": objects[0], "evidence": evidence[:1]}
    chosen = findings[1] if mood == "prefers" and len(findings) > 1 else first
    said = {"cause": chosen["cause"], "object": chosen["object"], "confidence": 0.85, "evidence": chosen["evidence"]}
    if mood == "lies":
        said = {"cause": "DiskFull", "object": objects[-1], "confidence": 1.0, "evidence": [evidence[-1], "e-invented"]}
    return json.dumps({**said, "explanation": "As the evidence shows.", "would_settle": ""})


def _critique(document: dict[str, Any], mood: str) -> str:
    """What it says against strategies: mostly little; at its worst, that none but the last may be done."""
    if mood == "rambles":
        return "I would rather not touch production on a Friday."
    keys = [strategy["key"] for strategy in document["strategies"]]
    gravities = dict.fromkeys(keys, 0.1)
    if mood == "prefers":
        gravities[keys[0]] = 0.5
    if mood == "lies":
        gravities = {**dict.fromkeys(keys, 1.0), keys[-1]: 0.0, "format-all-disks": 0.0}
    said = [{"strategy": k, "objection": "It may not be the cause.", "gravity": g} for k, g in gravities.items()]
    return json.dumps({"objections": said})


@contextmanager
def serving() -> Iterator[str]:
    """Its base URL for the time of the block."""
    stopping = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Quiet."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = str(body["messages"][-1]["content"])
            mood = mood_of(prompt)
            if mood == "hangs":
                stopping.wait(_HANG_SECONDS)
            try:
                self._write(mood, prompt)
            except (BrokenPipeError, ConnectionResetError):
                return

        def _write(self, mood: str, prompt: str) -> None:
            if mood == "refuses":
                content = json.dumps({"error": {"message": "slow down", "code": 429}}).encode()
                self.send_response(429)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            text = answer(prompt, mood)
            usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text) // 4}
            usage["total_tokens"] = sum(usage.values())
            for part in (
                {"choices": [{"index": 0, "delta": {"content": text}}]},
                {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
                {"choices": [], "usage": usage},
            ):
                chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "scripted", **part}
                self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            self.wfile.write(b"data: [DONE]\n\n")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        stopping.set()
        server.shutdown()
        server.server_close()
