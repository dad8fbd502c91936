"""Keeps a set of processes running: restarts what crashes, stops all of them in order."""

from __future__ import annotations

import collections
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from recist_web.supervisor.child import Child, Spec, stop_in_order

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
# A process that has run this long was fine: its next crash is a first one.
STABLE_SECONDS = 60.0
POLL_SECONDS = 0.2


def pause_before_restart(crashes: int) -> float:
    """Seconds to wait before the restart after the `crashes`-th crash in a row (1, 2, ...)."""
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * float(2 ** (crashes - 1)))


class Supervisor:
    """Owns the children. `say` prints a line for the person at the terminal; with `echo` the children's lines too.

    Must live in the main thread: the kernel ends the children with the thread that started them.
    """

    def __init__(self, log_directory: Path, say: Callable[[str], None], *, echo: bool = False) -> None:
        log_directory.mkdir(parents=True, exist_ok=True)
        self._logs = log_directory
        self._say = say
        self._echo = say if echo else None
        self._children: dict[str, Child] = {}
        self._crashes: dict[str, int] = {}
        self._restart_at: dict[str, float] = {}
        self._stopping = threading.Event()
        #: how often each process has been started again
        self.restarts: collections.Counter[str] = collections.Counter()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def start(self, spec: Spec) -> Child:
        """Start a process and look after it until `stop`."""
        self._children[spec.name] = Child(spec, self._logs, self._echo)
        return self._children[spec.name]

    def child(self, name: str) -> Child:
        return self._children[name]

    @property
    def children(self) -> Sequence[Child]:
        return list(self._children.values())

    def look_after(self) -> None:
        """One round: note crashes, start again what has waited long enough."""
        now = time.monotonic()
        for name, child in list(self._children.items()):
            if child.exit_code is None:
                if now - child.started_at > STABLE_SECONDS:
                    self._crashes.pop(name, None)
                continue
            if name not in self._restart_at:
                crashes = self._crashes[name] = self._crashes.get(name, 0) + 1
                pause = pause_before_restart(crashes)
                self._restart_at[name] = now + pause
                self._report_crash(child, pause)
            elif now >= self._restart_at[name]:
                del self._restart_at[name]
                child.wait_or_kill(now)
                self.start(child.spec)

    def run(self, *, with_parent: bool = False) -> None:
        """Look after the children until a signal or `ask_to_stop`; `with_parent`: or until our parent ends."""
        parent = os.getppid()
        while not self._stopping.wait(POLL_SECONDS):
            if with_parent and os.getppid() != parent:
                return
            self.look_after()

    def ask_to_stop(self) -> None:
        self._stopping.set()

    def stop(self) -> None:
        """Stop every child; when it returns none is left."""
        self._stopping.set()
        stop_in_order(self.children)
        self._children.clear()

    def stop_on_signals(self) -> None:
        """SIGINT, SIGTERM and SIGHUP (a closed terminal) end `run`; a second one changes nothing."""

        def handler(_number: int, _frame: FrameType | None) -> None:
            self._stopping.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, handler)

    def _report_crash(self, child: Child, pause: float) -> None:
        code = child.exit_code or 0
        self.restarts[child.spec.name] += 1
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        self._say(f"{child.spec.name} {how}; starting it again in {pause:g} s. Its log: {child.log_path}")
        if self._echo is None:
            child.hear_out()
            for line in list(child.last_lines)[-5:]:
                self._say(f"    {line}")
