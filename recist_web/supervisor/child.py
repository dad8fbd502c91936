"""One supervised process: started so that it cannot outlive us, its output kept, stopped for certain."""

from __future__ import annotations

import collections
import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

GUARD = Path(__file__).with_name("guard.py")
LOG_LIMIT_BYTES = 10_000_000
LAST_LINES = 20
HEAR_OUT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run. `stage`: the lower, the earlier it is stopped. `environment` is the whole environment."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    working_directory: Path
    stage: int = 0
    #: how long it may take to end after SIGTERM before it is killed
    stop_seconds: float = 5.0
    on_line: Callable[[str], None] | None = field(default=None, compare=False)


class LogFile:
    """Appends lines; a full file becomes `NAME.log.1`. A disk that is full costs lines, never the process: one whose
    output nobody reads would stand still."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: io.FileIO | None = None
        self._lost = 0

    def write(self, line: bytes) -> None:
        try:
            if self._file is None:
                self._file = self._path.open("ab", buffering=0)
            if self._lost:
                self._file.write(f"... {self._lost} lines could not be written: no space was left\n".encode())
                self._lost = 0
            self._file.write(line)
            if self._file.tell() > LOG_LIMIT_BYTES:
                self.close()
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        except OSError:
            self._lost += 1
            self.close()

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


class Child:
    """A running `Spec`. Its output (both streams) goes to `log_directory/NAME.log`, a full file to `NAME.log.1`."""

    def __init__(self, spec: Spec, log_directory: Path, echo: Callable[[str], None] | None = None) -> None:
        self.spec = spec
        self.log_path = log_directory / f"{spec.name}.log"
        self.last_lines: collections.deque[str] = collections.deque(maxlen=LAST_LINES)
        self._echo = echo
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), *spec.command],
            env=dict(spec.environment),
            cwd=spec.working_directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A group of its own: Ctrl-C in the terminal reaches us alone, and we stop the children in order.
            start_new_session=True,
        )
        self._pump = threading.Thread(target=self._read_output, name=f"output of {spec.name}", daemon=True)
        self._pump.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self.process.poll()

    def _read_output(self) -> None:
        assert self.process.stdout is not None
        log = LogFile(self.log_path)
        try:
            # The loop below ends when the last process that holds the other end has closed it.
            for raw in self.process.stdout:
                log.write(raw)
                line = raw.decode("utf-8", "replace").rstrip("\n")
                self.last_lines.append(line)
                if self._echo:
                    self._echo(f"{self.spec.name:>11} | {line}")
                if self.spec.on_line:
                    self.spec.on_line(line)
        finally:
            log.close()
            self.process.stdout.close()

    def hear_out(self) -> None:
        """Wait until what an ended process has said is read, unless a child of its own still talks."""
        self._pump.join(HEAR_OUT_SECONDS)

    def ask_to_stop(self) -> None:
        self._signal(signal.SIGTERM)

    def wait_or_kill(self, deadline: float) -> None:
        """Wait until `deadline` (time.monotonic()), then kill it and whatever it started."""
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        # Also after it ended by itself: a child of its own may have stayed behind in the group.
        self._signal(signal.SIGKILL)
        self.process.wait()
        self._pump.join(2.0)

    def stop(self) -> None:
        self.ask_to_stop()
        self.wait_or_kill(time.monotonic() + self.spec.stop_seconds)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            return


def stop_in_order(children: Sequence[Child]) -> None:
    """Stop stage after stage; the children of one stage end side by side."""
    for stage in sorted({child.spec.stage for child in children}):
        these = [child for child in children if child.spec.stage == stage]
        for child in these:
            child.ask_to_stop()
        now = time.monotonic()
        for child in these:
            child.wait_or_kill(now + child.spec.stop_seconds)
