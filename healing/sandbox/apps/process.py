"""What every running container has in common: identity, output, counters, an end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from healing.sandbox.apps import shell
from healing.sandbox.apps.disk import Disk
from healing.sandbox.apps.effects import Effects
from healing.sandbox.apps.program import Program
from healing.sandbox.apps.shell_commands import COMMANDS
from healing.sandbox.apps.shell_context import BecomesServer, Context
from healing.sandbox.ports import ContainerStart, Exit, LogLine, ProbeResult, Usage

MAX_LINES = 4000
_EXEC_PATIENCE_STEPS = 50
LogSink = Callable[["BaseProcess", LogLine], None]
Connect = Callable[[ContainerStart, str, int | None], tuple[bool, str]]


@dataclass(slots=True)
class Counters:
    """What cAdvisor and the program itself count; all of them only rise while the process lives."""

    cpu_seconds: float = 0.0
    cpu_periods: float = 0.0
    throttled_periods: float = 0.0
    throttled_seconds: float = 0.0
    received_bytes: float = 0.0
    sent_bytes: float = 0.0


class BaseProcess:
    """Implements `healing.sandbox.ports.Process` but for what the program does in `advance`."""

    def __init__(self, start: ContainerStart, program: Program, now: float, *, sink: LogSink, connect: Connect) -> None:
        self.start = start
        self.program = program
        self.started_at = now
        self.advanced_at = now
        self.effects = Effects()
        self.ports: frozenset[int] = frozenset()
        self.counters = Counters()
        self.cpu_cores = 0.0
        self.memory_bytes = min(program.base_memory_bytes, 1 << 20)
        self.files: dict[str, str] = dict(start.files)
        self.exit: Exit | None = None
        self.ended_at = 0.0
        #: the runtime has seen its end
        self.counted = False
        self._lines: deque[LogLine] = deque(maxlen=MAX_LINES)
        self._sink = sink
        self._connect = connect
        self._leaves_at: tuple[float, int] | None = None
        self.disk = Disk()

    @property
    def key(self) -> tuple[str, str]:
        return self.start.pod_uid, self.start.container

    @property
    def running(self) -> bool:
        return self.exit is None

    # ports.Process

    def poll(self, now: float) -> Exit | None:
        if self.exit is None:
            self.advance(now)
        if self.exit is None and self._leaves_at is not None and now >= self._leaves_at[0]:
            code = self._leaves_at[1]
            self.finish(self._leaves_at[0], Exit(code, "Completed" if code == 0 else "Error"))
        return self.exit

    def usage(self) -> Usage:
        if self.exit is not None:
            return Usage(ephemeral_bytes=int(self.disk.ephemeral_bytes))
        return Usage(self.cpu_cores, self.memory_bytes, int(self.disk.ephemeral_bytes))

    def http_get(self, port: int, path: str, scheme: str, timeout_seconds: float = 1.0) -> ProbeResult:
        url = f"{scheme.lower()}://{self.start.pod_ip}:{port}{path}"
        return ProbeResult(False, f'Get "{url}": dial tcp {self.start.pod_ip}:{port}: connect: connection refused')

    def tcp_connect(self, port: int, timeout_seconds: float = 1.0) -> ProbeResult:
        return ProbeResult(False, f"dial tcp {self.start.pod_ip}:{port}: connect: connection refused")

    def exec(self, command: list[str]) -> ProbeResult:
        """Run a command in the container; a failed one answers its output, as kubelet's events show it."""
        if self.effects.hang:
            return ProbeResult(False, f'command timed out: "{" ".join(command)}" timed out after 1s')
        output: list[str] = []
        context = self.context(lambda _stream, text: output.append(text))
        if not self.is_program(command[0]) and command[0].rsplit("/", 1)[-1] not in COMMANDS:
            return ProbeResult(
                False,
                f'rpc error: code = Unknown desc = failed to exec in container: exec: "{command[0]}": '
                "executable file not found in $PATH: unknown",
            )
        steps, code = shell.run_argv(command, context), 0
        try:
            for _ in range(_EXEC_PATIENCE_STEPS):
                next(steps)
            code = 124
        except StopIteration as stop:
            code = int(stop.value)
        except BecomesServer:
            code = 0 if self.listening() else 1
        return ProbeResult(code == 0, "\n".join(output) + "\n" if output else "")

    def terminate(self, now: float) -> None:
        if self.exit is None and self._leaves_at is None and not self.program.ignores_sigterm:
            self._leaves_at = (now + self.program.grace_seconds, self.program.exit_code_on_term)

    def kill(self, now: float, reason: str = "Error") -> Exit:
        if self.exit is None:
            self.finish(now, Exit(137, reason))
        assert self.exit is not None
        return self.exit

    def logs(self) -> Sequence[LogLine]:
        return list(self._lines)

    # for subclasses and the model

    def advance(self, now: float) -> None:
        """Bring the program to ``now``; may end it."""
        self.advanced_at = now

    def listening(self) -> bool:
        return False

    @property
    def disk_full(self) -> bool:
        return self.disk.full

    def write_disk(self, amount: float) -> None:
        """Write so many bytes, as far as there is room."""
        if amount > 0:
            self.disk.write(amount)

    def finish(self, now: float, outcome: Exit) -> None:
        self.exit = outcome
        self.ended_at = now
        self.cpu_cores = 0.0

    def log(self, now: float, stream: Literal["stdout", "stderr"], text: str) -> None:
        for part in text.split("\n"):
            line = LogLine(now, part, stream)
            self._lines.append(line)
            self._sink(self, line)

    def check_memory(self, now: float) -> None:
        """The kernel's rule: above the limit the process is killed."""
        limit = self.start.memory_limit_bytes
        if limit is not None and self.memory_bytes > limit and self.exit is None:
            self.memory_bytes = limit
            self.kill(now, "OOMKilled")

    def is_program(self, name: str) -> bool:
        base = name.rsplit("/", 1)[-1]
        if base == "sh" or base in ("ash", "bash", "dash"):
            return self.program.shell
        return has_binary(self.program, name)

    def context(self, write: Callable[[str, str], None]) -> Context:
        return Context(
            env=dict(self.start.env),
            files=self.files,
            write=write,
            connect=lambda host, port: self._connect(self.start, host, port),
            is_program=self.is_program,
            hostname=self.start.pod_name,
        )

    def charge_cpu(self, demand_cores: float, seconds: float, capacity_cores: float) -> None:
        """Use CPU for a while; counts throttling at the limit."""
        used = min(demand_cores, capacity_cores)
        self.cpu_cores = used
        self.counters.cpu_seconds += used * seconds
        limit = self.start.cpu_limit_cores
        if limit is not None:
            ratio = demand_cores / limit if limit > 0 else 10.0
            # bursts hit the quota within single periods well before the average does
            throttled = 1.0 if ratio >= 1 else 0.4 * max(0.0, (ratio - 0.6) / 0.4) ** 2
            active = min(1.0, 0.2 + ratio)
            self.counters.cpu_periods += 10 * seconds * active
            self.counters.throttled_periods += 10 * seconds * active * throttled
            self.counters.throttled_seconds += max(0.0, demand_cores - limit) * seconds + 0.02 * throttled * seconds


def has_binary(program: Program, name: str) -> bool:
    """Whether the image holds this program."""
    candidates = (*program.entrypoint[:1], *program.binaries)
    for known in candidates:
        if known.endswith("*"):
            if name.startswith(known[:-1]) and name != known[:-1]:
                return True
        elif name in (known, known.rsplit("/", 1)[-1]) or (
            "/" in name and name.rsplit("/", 1)[-1] == known and name.startswith(("/usr/", "/bin/", "/sbin/"))
        ):
            return True
    return False
