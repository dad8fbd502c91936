"""A disk that is full: what the tree writes beside the database may be lost, the processes may not."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recist_web.supervisor.child import Child, Spec

TALKATIVE = """
import sys
for number in range(20000):
    print(f"line {number}", flush=number % 100 == 0)
sys.stdin.read()
for number in range(20000, 20010):
    print(f"line {number}")
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    """Prints far more than a pipe holds, into a log on a disk that is full."""
    (tmp_path / "talkative.log").symlink_to("/dev/full")
    found = Child(Spec("talkative", [sys.executable, "-c", TALKATIVE], dict(os.environ), tmp_path), tmp_path)
    yield found
    found.stop()


def test_a_process_whose_log_cannot_be_written_goes_on_and_is_still_heard(child: Child) -> None:
    deadline = time.monotonic() + 60
    while child.exit_code is None:
        assert time.monotonic() < deadline, f"it stands still after {child.last_lines[-1]}"
        time.sleep(0.02)
    child.wait_or_kill(time.monotonic() + 60)
    assert child.exit_code == 0
    assert child.last_lines[-1] == "line 20009"


def test_when_there_is_space_again_the_log_goes_on_and_says_what_is_missing(tmp_path: Path) -> None:
    from recist_web.supervisor.child import LogFile

    path = tmp_path / "some.log"
    path.symlink_to("/dev/full")
    log = LogFile(path)
    for number in range(3):
        log.write(f"{number}\n".encode())
    path.unlink()
    log.write(b"again\n")
    log.close()
    assert path.read_text() == "... 3 lines could not be written: no space was left\nagain\n"
