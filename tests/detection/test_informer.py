"""What the informer does when a watch ends: well, badly, expired, or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from healing.cluster.config import ClusterConfig
from healing.cluster.kubernetes import KubernetesCluster
from healing.detection import informer as module
from healing.detection.cache import ObjectCache
from healing.detection.informer import Informer
from tests.cluster.sandbox import eventually
from tests.cluster.server import Answer, running
from tests.detection.api_script import ScriptedApi, Sink, bookmark, gone, line


class Running:
    def __init__(self, api: ScriptedApi, sink: Sink, informer: Informer, stop: threading.Event) -> None:
        self.api, self.sink, self.informer, self.stop = api, sink, informer, stop
        self.thread = threading.Thread(target=informer.run, daemon=True)

    def start(self) -> None:
        self.thread.start()


@pytest.fixture
def running_informer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(module, "_FIRST_BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(module, "ABSENT_SECONDS", 0.05)
    with running() as server:
        api, cache, stop = ScriptedApi(server), ObjectCache(), threading.Event()
        cluster = KubernetesCluster(ClusterConfig(server.kubeconfig(tmp_path)))
        sink = Sink(cache)
        started = Running(api, sink, Informer("Pod", cluster, cache, sink, stop), stop)
        yield started
        stop.set()
        server.closing.set()
        started.thread.join(5)
        assert not started.thread.is_alive()
        cluster.close()


def test_it_resumes_from_the_last_version_after_a_disconnect(running_informer: Running) -> None:
    def break_off() -> None:
        raise OSError

    api = running_informer.api
    api.lists = [(["a"], 10)]
    api.watches = [[line("ADDED", "b", 11), break_off], [bookmark(15)], [line("DELETED", "a", 16)]]
    running_informer.start()
    eventually(lambda: running_informer.sink.names() == ["b"])
    eventually(lambda: len(api.asked) == 5)
    assert api.asked == ["list", "watch 10", "watch 11", "watch 15", "watch 16"]
    assert running_informer.sink.told == [["a"], "b", "a"]


def test_it_lists_again_when_its_version_is_gone(running_informer: Running) -> None:
    api = running_informer.api
    api.lists = [(["a", "b"], 10), (["b", "c"], 50)]
    api.watches = [[gone()], [line("ADDED", "d", 51)]]
    running_informer.start()
    eventually(lambda: running_informer.sink.names() == ["b", "c", "d"])
    assert api.asked[:4] == ["list", "watch 10", "list", "watch 50"]
    assert running_informer.sink.told[1] == ["a", "b", "c"], "what has gone is told too"


def test_it_lists_again_on_410_over_http_and_after_garbage(running_informer: Running) -> None:
    api = running_informer.api
    api.lists = [(["a"], 10)]
    api.watches = [Answer(410, {"kind": "Status", "code": 410}), [b"{garbage\n"], Answer(503), [line("ADDED", "b", 12)]]
    running_informer.start()
    eventually(lambda: running_informer.sink.names() == ["a", "b"])
    assert api.asked[:6] == ["list", "watch 10", "list", "watch 10", "watch 10", "watch 10"]


def test_an_outage_is_outlived(running_informer: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIST_TIMEOUT_SECONDS", 0.05)
    api = running_informer.api
    api.lists = [Answer(503), Answer(500), Answer(200, "<html>"), (["a"], 10)]
    running_informer.start()
    eventually(lambda: running_informer.sink.names() == ["a"])
    assert not running_informer.informer.problem


def test_a_kind_that_is_not_there_holds_nothing_up_and_may_come(running_informer: Running) -> None:
    api = running_informer.api
    api.lists = [Answer(404, "404 page not found", "text/plain"), (["a"], 10)]
    running_informer.start()
    eventually(lambda: running_informer.sink.names() == ["a"])
    assert running_informer.sink.told == [[], ["a"]]


def test_it_stops_at_once_in_a_silent_watch(running_informer: Running) -> None:
    running_informer.api.lists = [(["a"], 10)]
    running_informer.start()
    eventually(lambda: running_informer.api.asked == ["list", "watch 10"])
    started = time.monotonic()
    running_informer.stop.set()
    running_informer.thread.join(60)
    assert time.monotonic() - started < 10.0  # the watch is silent for as long as it lives


@pytest.mark.parametrize("refusal", [Answer(404, "404 page not found", "text/plain"), Answer(403, {"kind": "Status"})])
def test_a_kind_that_can_be_done_without_is_no_problem(tmp_path: Path, refusal: Answer) -> None:
    with running() as server:
        api, cache, stop = ScriptedApi(server), ObjectCache(), threading.Event()
        api.lists = [refusal]
        cluster, sink = KubernetesCluster(ClusterConfig(server.kubeconfig(tmp_path))), Sink(cache)
        informer = Informer("Ingress", cluster, cache, sink, stop, is_optional=True)
        thread = threading.Thread(target=informer.run, daemon=True)
        thread.start()
        eventually(lambda: sink.told == [[]])
        assert not informer.problem
        stop.set()
        thread.join(5)
        assert not thread.is_alive()
        assert api.asked == ["list"], "it is not asked again and again"
        cluster.close()
