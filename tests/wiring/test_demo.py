"""`manage.py demo`, as a person starts and stops it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from recist_web.environment import PROJECT_DIR
from recist_web.supervisor import lock
from recist_web.supervisor.ports import free_port

STOP_SECONDS = 60.0


def environment(var_directory: Path, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "SECRET_KEY")}
    return {**kept, "VAR_DIR": str(var_directory), "PORT": str(port)}


def refused(variables: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", "demo"],
        cwd=PROJECT_DIR,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_taken_port_is_named_with_a_free_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = refused(environment(tmp_path, port))
    assert f"Port {port} is taken" in message
    suggested = int(message.partition("PORT=")[2].split()[0])
    assert suggested != port


def test_a_second_demo_in_the_same_place_is_refused(tmp_path: Path) -> None:
    with lock.take(tmp_path, "process 7, http://127.0.0.1:8000"):
        assert "process 7, http://127.0.0.1:8000" in refused(environment(tmp_path, free_port()))


def test_a_place_without_permission_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    message = refused(environment(blocked / "var", free_port()))
    assert str(blocked) in message
    assert "VAR_DIR=" in message


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "manage.py", "demo"],
        cwd=PROJECT_DIR,
        env=environment(tmp_path, port),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if words in line:
            return seen
    raise AssertionError(f"{words!r} was not printed:\n{seen}")


def descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == pid:
            found |= {int(entry.name)} | descendants(int(entry.name))
    return found


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


@pytest.mark.tree
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_demo_starts_and_leaves_nothing_behind(demo: subprocess.Popen[str], number: signal.Signals) -> None:
    printed = read_until(demo, "Ctrl-C stops everything")
    url = printed.partition("ReCiSt is ready:")[2].split()[0]
    assert httpx.get(f"{url}readyz", trust_env=False, timeout=60).json()["ready"] is True
    for name in ("admin", "operator", "approver"):
        assert f"sign in as  {name}" in printed
    processes = descendants(demo.pid)
    assert len(processes) >= 7  # sandbox, Valkey, web, two workers, beat, watcher

    demo.send_signal(number)
    demo.communicate(timeout=STOP_SECONDS)
    deadline = time.monotonic() + 20
    while alive(processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(processes) == set()
