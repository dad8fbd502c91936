"""The process tree's promises, on real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from recist_web.supervisor import lock
from recist_web.supervisor.child import Child, Spec, stop_in_order
from recist_web.supervisor.errors import CannotStartError
from recist_web.supervisor.supervisor import Supervisor, pause_before_restart


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def script(tmp_path: Path, body: str, name: str = "child", stage: int = 0, stop_seconds: float = 1.0) -> Spec:
    path = tmp_path / f"{name}.py"
    path.write_text(textwrap.dedent(body))
    command = [sys.executable, "-u", str(path)]
    return Spec(name, command, dict(os.environ), tmp_path, stage=stage, stop_seconds=stop_seconds)


STUBBORN = """
    import os, signal, subprocess, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(os.getpid(), grandchild.pid, flush=True)
    time.sleep(600)
"""


def test_a_child_that_ignores_sigterm_ends_with_its_own_children(tmp_path: Path) -> None:
    child = Child(script(tmp_path, STUBBORN, stop_seconds=0.3), tmp_path)
    wait_until(lambda: child.last_lines)
    pids = [int(word) for word in child.last_lines[0].split()]
    child.stop()
    wait_until(lambda: not any(runs(pid) for pid in pids))


def test_children_stop_stage_after_stage(tmp_path: Path) -> None:
    order = tmp_path / "order"
    body = f"""
        import signal, sys, time
        def end(*_):
            time.sleep(0.2)
            with open({str(order)!r}, "a") as file: file.write(sys.argv[0][-4] + " ")
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        print("up", flush=True)
        time.sleep(600)
    """
    # Started in the opposite order: it is the stage that counts.
    specs = [script(tmp_path, body, name, stage, stop_seconds=60) for name, stage in (("b", 1), ("a", 0))]
    children = [Child(spec, tmp_path) for spec in specs]
    for child in children:
        wait_until(lambda child=child: child.last_lines)
    stop_in_order(children)
    assert order.read_text().split() == ["a", "b"]


def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    spec = script(tmp_path, "import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import sys, time\nfrom pathlib import Path\nfrom recist_web.supervisor.child import Child, Spec\n"
        f"here = Path({str(tmp_path)!r})\nchild = Child(Spec('child', {list(spec.command)!r}, {{}}, here), here)\n"
        "while not child.last_lines: time.sleep(0.01)\nprint(child.last_lines[0], flush=True)\ntime.sleep(600)\n"
    )
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    command = [sys.executable, str(parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert runs(pid)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    wait_until(lambda: not runs(pid))


def test_a_crashed_child_is_started_again_and_the_crash_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(tmp_path / "log", said.append)
    starts = tmp_path / "starts"
    body = f"""
        import sys, time
        with open({str(starts)!r}, "a") as file: file.write("x")
        if len(open({str(starts)!r}).read()) == 1:
            print("my last words"); sys.exit(3)
        time.sleep(600)
    """
    first = supervisor.start(script(tmp_path, body))
    try:
        wait_until(lambda: supervisor.look_after() or len(starts.read_text() if starts.exists() else "") == 2)
        assert supervisor.child("child").pid != first.pid
        assert any("ended with exit code 3" in line for line in said)
        assert any("my last words" in line for line in said)
        assert "my last words" in (tmp_path / "log" / "child.log").read_text()
    finally:
        supervisor.stop()
    assert not runs(first.pid)


def test_the_pause_before_a_restart_grows_to_a_limit() -> None:
    assert [pause_before_restart(crashes) for crashes in (1, 2, 3, 4, 40)] == [0.5, 1.0, 2.0, 4.0, 30.0]


def test_a_second_tree_in_the_same_place_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    held = lock.take(tmp_path, "process 7, http://127.0.0.1:8000")
    with pytest.raises(CannotStartError, match=r"process 7, http://127\.0\.0\.1:8000"):
        lock.take(tmp_path, "me")
    held.close()
    lock.take(tmp_path, "me").close()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(CannotStartError, match="cannot write there"):
        lock.prepare(blocked / "var")
