"""An API server for one kind whose watches end exactly as a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

from healing.detection.cache import Key, ObjectCache
from tests.cluster.server import Answer, Request, Server

Chunk = bytes | Callable[[], None]


def line(event_type: str, name: str, version: int) -> bytes:
    obj = {"metadata": {"name": name, "namespace": "n", "uid": name, "resourceVersion": str(version)}}
    return json.dumps({"type": event_type, "object": obj}).encode() + b"\n"


def gone() -> bytes:
    status = {"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old"}
    return json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"


def bookmark(version: int) -> bytes:
    return json.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}).encode() + b"\n"


class ScriptedApi:
    """``lists`` and ``watches`` are taken one after the other; without one a list repeats, a watch stays silent."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.lists: list[tuple[list[str], int] | Answer] = []
        self.watches: list[list[Chunk] | Answer] = []
        self.asked: list[str] = []
        server.handler = self.answer

    def answer(self, request: Request) -> Answer:
        if request.query.get("watch"):
            self.asked.append(f"watch {request.query['resourceVersion']}")
            script: list[Chunk] | Answer = self.watches.pop(0) if self.watches else [self.silence]
            return script if isinstance(script, Answer) else Answer(chunks=script)
        if request.path.count("/") == 2 and request.path.startswith("/apis/"):
            return Answer(
                404, "404 page not found", "text/plain"
            )  # in which versions there is a group: it is not there
        self.asked.append("list")
        listed = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if isinstance(listed, Answer):
            return listed
        names, version = listed
        items = [{"metadata": {"name": name, "namespace": "n", "uid": name}} for name in names]
        return Answer(
            200, {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": str(version)}, "items": items}
        )

    def silence(self) -> None:
        self.server.closing.wait(30)


class Sink:
    """What an informer tells."""

    def __init__(self, cache: ObjectCache) -> None:
        self.cache = cache
        self.told: list[object] = []
        self.event = threading.Event()

    def changed(self, key: Key) -> None:
        self.told.append(key[2])

    def synced(self, kind: str, keys: list[Key]) -> None:
        self.told.append([key[2] for key in keys])

    def names(self) -> list[str]:
        return sorted(pod["metadata"]["name"] for pod in self.cache.list("Pod"))
