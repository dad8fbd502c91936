"""Worlds side by side in one process: each up, played and down by itself."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from recist_web.environment import PROJECT_DIR
from recist_web.supervisor.tree import python
from tests.evaluation import files
from tests.parts.crowd import crowding


class Host:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.said: dict[str, Any] = json.loads(process.stdout.readline())
        self.http = httpx.Client(base_url=self.said["control"], timeout=60, trust_env=False)

    def act(self, name: str, verb: str) -> dict[str, Any]:
        answer = self.http.post(f"/worlds/{name}/{verb}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def world(self, name: str) -> dict[str, Any]:
        return dict(self.http.get(f"/worlds/{name}").json())

    def wait(self, name: str, state: str, seconds: float = 60.0) -> dict[str, Any]:
        return dict(self.until(lambda: (w := self.world(name))["state"] == state and w, f"{name} is {state}", seconds))

    def until(self, look: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < deadline, what
            time.sleep(0.1)
        return found

    def answers(self, name: str) -> bool:
        where = urlsplit(self.said["worlds"][name]["api"])
        with socket.socket() as caller:
            return caller.connect_ex((str(where.hostname), int(where.port or 0))) == 0


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    files.write(tmp_path, one=files.fault("one"), two=files.healthy("two"))
    plan = {
        "worlds": {
            name: {"scenario": str(tmp_path / f"{name}.yaml"), "kubeconfig": str(tmp_path / name / "kubeconfig")}
            for name in ("one", "two")
        }
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    process = subprocess.Popen(
        python("-m", "healing.sandbox.hosting", str(tmp_path / "plan.json")),
        cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        running = Host(process)
        yield running
        running.http.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def test_a_world_comes_up_plays_when_told_and_goes_down(host: Host, tmp_path: Path) -> None:
    assert not host.answers("one"), "nobody listens where the world is down"
    host.act("one", "start")
    up = host.wait("one", "up")
    assert (up["problems"], up["unwell"], up["startedAt"]) == ([], [], None)
    assert (tmp_path / "one" / "kubeconfig").exists()
    assert host.answers("one")
    assert not host.answers("two")
    time.sleep(1.0)
    assert host.world("one")["startedAt"] is None, "the timeline waits"
    host.act("one", "go")
    played = host.wait("one", "played")
    [step] = played["played"]
    assert (step["id"], step["problem"]) == ("typo", "")
    assert 1.9 < step["at"] - played["startedAt"] < 2.0 + crowding()
    host.until(lambda: host.world("one")["unwell"], "the typo shows")
    changes = [(c["kind"], c["name"], c["well"]) for c in host.world("one")["changes"]]
    assert changes[-1] == ("Service", "site/web", False)
    assert host.act("one", "stop")["state"] == "stopped"
    assert not host.answers("one")
    assert host.world("one")["changes"], "its history stays"


def test_worlds_do_not_mind_each_other(host: Host) -> None:
    for name in ("one", "two"):
        host.act(name, "start")
    host.wait("one", "up")
    host.wait("two", "up")
    host.act("one", "stop")
    api = host.said["worlds"]["two"]["api"]
    found = httpx.get(f"{api}/apis/apps/v1/namespaces/site/deployments/web", trust_env=False).json()
    assert found["status"]["readyReplicas"] == 2
    loop = host.http.get("/worlds").json()["loop"]
    assert loop["samples"] > 10
    assert 0.0 <= loop["lagP50Seconds"] <= loop["lagP95Seconds"] <= loop["lagP99Seconds"] <= loop["lagMaxSeconds"]


def test_what_is_not_there_is_refused(host: Host) -> None:
    assert host.http.post("/worlds/three/start").status_code == 404
    assert host.http.post("/worlds/one/explode").status_code == 404
    assert host.world("one")["state"] == "idle"
