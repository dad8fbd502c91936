"""Watches: every way they end."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from healing.cluster.kubernetes import KubernetesCluster
from healing.ports import errors
from tests.cluster.server import Answer, Server, replay


def _line(name: str, version: int, event_type: str = "MODIFIED") -> bytes:
    value = {"type": event_type, "object": {"metadata": {"name": name, "resourceVersion": str(version)}}}
    return json.dumps(value).encode() + b"\n"


def test_events_come_as_they_are_written_even_in_pieces(server: Server, cluster: KubernetesCluster) -> None:
    whole = _line("a", 1) + _line("ü", 2, "BOOKMARK") + b"\n" + _line("c", 3, "DELETED")
    server.answer(Answer(chunks=[whole[at : at + 7] for at in range(0, len(whole), 7)]))
    events = list(cluster.watch("Pod", "n", resource_version="5", label_selector="a=b", timeout_seconds=9))
    assert [(event.type, event.object["metadata"]["name"]) for event in events] == [
        ("MODIFIED", "a"),
        ("BOOKMARK", "ü"),
        ("DELETED", "c"),
    ]
    assert events[0].object["kind"] == "Pod"
    assert server.requests[0].query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "5",
        "labelSelector": "a=b",
        "timeoutSeconds": "9",
    }


def test_a_version_that_is_gone_is_expired_in_band_and_out_of_band(server: Server, cluster: KubernetesCluster) -> None:
    for name in ("410-inside-200-watch-old-resourceversion", "410-continue-expired"):
        server.answer(replay(f"errors/{name}"))
        with pytest.raises(errors.Expired):
            list(cluster.watch("Pod", resource_version="1"))


@pytest.mark.parametrize(
    "chunks",
    [[_line("a", 1), b'{"type":"ADDED","obj'], [b"not json\n"], [b'{"type":"NEWS","object":{}}\n'], [b"[1]\n"]],
)
def test_a_broken_stream_is_a_bad_response(server: Server, cluster: KubernetesCluster, chunks: list[Any]) -> None:
    server.answer(Answer(chunks=chunks))
    with pytest.raises(errors.BadResponse):
        list(cluster.watch("Pod", resource_version="1"))


def test_a_connection_that_breaks_is_unavailable(server: Server, cluster: KubernetesCluster) -> None:
    def fail() -> None:
        raise OSError("gone")

    server.answer(Answer(chunks=[_line("a", 1), fail]))
    stream = cluster.watch("Pod", resource_version="1")
    assert next(stream).object["metadata"]["name"] == "a"
    with pytest.raises(errors.Unavailable):
        next(stream)


def test_a_silent_watch_stops_when_told(server: Server, cluster: KubernetesCluster) -> None:
    server.answer(Answer(chunks=[_line("a", 1), lambda: server.closing.wait(20)]))  # type: ignore[list-item]
    stop = threading.Event()
    stream = cluster.watch("Pod", resource_version="1", stop=stop)
    next(stream)
    threading.Timer(0.2, stop.set).start()
    started = time.monotonic()
    assert list(stream) == []
    assert time.monotonic() - started < 10.0  # not the twenty seconds of the server


def test_a_watch_that_the_server_forgets_is_cut(
    server: Server, cluster: KubernetesCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healing.cluster.watch.GRACE_SECONDS", 0.2)
    server.answer(Answer(chunks=[_line("a", 1), lambda: server.closing.wait(20)]))  # type: ignore[list-item]
    started = time.monotonic()
    assert len(list(cluster.watch("Pod", resource_version="1", timeout_seconds=1.5))) == 1
    assert time.monotonic() - started < 10.0
