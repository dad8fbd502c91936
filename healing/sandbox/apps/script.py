"""Containers that run a script or a single command."""

from __future__ import annotations

from typing import Literal

from healing.sandbox.apps import shell
from healing.sandbox.apps.process import BaseProcess, Connect, LogSink
from healing.sandbox.apps.program import Program
from healing.sandbox.apps.shell_context import BecomesServer, Steps
from healing.sandbox.ports import ContainerStart, Exit

_MAX_STEPS = 400  # a poll; a script that does more goes on at the next one


class ScriptProcess(BaseProcess):
    """``sh -c "..."``, ``sleep 3600``, ``false``. A shell as PID 1 ignores SIGTERM, like most of them do."""

    def __init__(
        self,
        start: ContainerStart,
        program: Program,
        now: float,
        argv: list[str],
        *,
        sink: LogSink,
        connect: Connect,
    ) -> None:
        super().__init__(start, program, now, sink=sink, connect=connect)
        self._clock = now
        self._context = self.context(self._write)
        self._threads: list[tuple[Steps, float]] = [(shell.run_argv(argv, self._context), now)]
        self._main = self._threads[0][0]
        self._busy = False
        #: set when the script started the image's program: the runtime puts a server in this one's place
        self.becomes: list[str] | None = None

    def _write(self, stream: str, text: str) -> None:
        kind: Literal["stdout", "stderr"] = "stderr" if stream == "stderr" else "stdout"
        self.log(self._clock, kind, text)

    def terminate(self, now: float) -> None:
        """PID 1 without a handler for SIGTERM never sees it."""

    def advance(self, now: float) -> None:
        previous, self.advanced_at = self.advanced_at, now
        self._busy = False
        for _ in range(_MAX_STEPS):
            due = [(steps, at) for steps, at in self._threads if at <= now]
            if not due or self.exit is not None or self.becomes is not None:
                break
            steps, at = min(due, key=lambda thread: thread[1])
            self._threads = [thread for thread in self._threads if thread[0] is not steps]
            self._clock = at
            self._step(steps, at)
        if self.exit is None:
            self._spend(now, now - previous)

    def _step(self, steps: Steps, at: float) -> None:
        try:
            wait = next(steps)
        except StopIteration as stop:
            if steps is self._main:
                code = int(stop.value)
                self.finish(at, Exit(code, "Completed" if code == 0 else "Error"))
            else:
                self._context.jobs -= 1
            return
        except BecomesServer as becomes:
            if steps is self._main:
                self.becomes = becomes.argv
            return
        if wait < 0:
            self._busy = True
        self._threads.append((steps, at + abs(wait)))
        fresh, self._context.background = self._context.background, []
        self._threads.extend((background, at) for background in fresh)
        self._context.jobs += len(fresh)

    def _spend(self, now: float, seconds: float) -> None:
        limit = self.start.cpu_limit_cores
        demand = 0.0005 + (1.0 if self._busy else 0.0) + self.effects.cpu_cores
        if self._context.memory_per_second:
            demand += 0.8
        if seconds > 0:
            self.charge_cpu(demand, seconds, limit if limit is not None else 2.0)
        self._context.memory_bytes += int(
            (self._context.memory_per_second + self.effects.leak_bytes_per_second) * seconds
        )
        self.memory_bytes = max(self._context.memory_bytes, 300 << 10)
        self.check_memory(now)
