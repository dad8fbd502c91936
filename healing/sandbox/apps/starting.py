"""How a container's command becomes a process: the image's program, a script, or an error of the runtime."""

from __future__ import annotations

from collections.abc import Callable

from healing.sandbox.apps.process import BaseProcess, Connect, LogSink, has_binary
from healing.sandbox.apps.program import Program
from healing.sandbox.apps.script import ScriptProcess
from healing.sandbox.apps.server import ServerProcess
from healing.sandbox.apps.shell_commands import COMMANDS
from healing.sandbox.ports import ContainerStart, Exit, ProbeResult

_SHELLS = ("sh", "bash", "ash", "dash")
_RUNC = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    "unable to start container process: "
)
MakeServer = Callable[[ContainerStart, Program, float], ServerProcess]


class FailedStart(BaseProcess):
    """A container whose command could not be run."""

    def __init__(self, start: ContainerStart, program: Program, now: float, error: str) -> None:
        super().__init__(start, program, now, sink=lambda _p, _l: None, connect=lambda _s, _h, _p: (False, ""))
        self.finish(now, Exit(128 if "stat " in error or "exec" in error else 1, "StartError", start_error=error))


class ReplacedProcess(ScriptProcess):
    """A script that ends by starting the image's program: one container, first script, then server."""

    server: ServerProcess | None = None
    make_server: Callable[[float], ServerProcess]

    def advance(self, now: float) -> None:
        if self.server is None:
            super().advance(now)
            if self.becomes is not None:
                self.server = self.make_server(now)
                self.server.disk = self.disk
        if self.server is not None:
            self.exit = self.server.poll(now)
            self.memory_bytes, self.cpu_cores = self.server.memory_bytes, self.server.cpu_cores

    def http_get(self, port: int, path: str, scheme: str, timeout_seconds: float = 1.0) -> ProbeResult:
        if self.server is not None:
            return self.server.http_get(port, path, scheme, timeout_seconds)
        return super().http_get(port, path, scheme)

    def tcp_connect(self, port: int, timeout_seconds: float = 1.0) -> ProbeResult:
        if self.server is not None:
            return self.server.tcp_connect(port, timeout_seconds)
        return super().tcp_connect(port)

    def terminate(self, now: float) -> None:
        if self.server is not None:
            self.server.terminate(now)

    def kill(self, now: float, reason: str = "Error") -> Exit:
        if self.server is not None:
            self.server.kill(now, reason)
        return super().kill(now, reason)


def command_of(start: ContainerStart, program: Program) -> list[str]:
    """The command line, or an empty list for the image's own program."""
    if start.command:
        return [*start.command, *start.args]
    if program.kind == "shell":
        return list(start.args) or list(program.entrypoint)
    return []


def launch(
    start: ContainerStart,
    program: Program,
    now: float,
    argv: list[str],
    sink: LogSink,
    connect: Connect,
    make_server: MakeServer,
) -> BaseProcess:
    """Run ``argv`` in the image."""
    name = argv[0]
    base = name.rsplit("/", 1)[-1]
    if program.kind != "shell" and has_binary(program, name):
        return make_server(start, program, now)
    is_tool = base in COMMANDS or base in _SHELLS or base in ("sleep", "yes", "stress", "stress-ng", "exec")
    in_path = "/" not in name or name.startswith(("/bin/", "/usr/bin/", "/usr/local/bin/", "/sbin/"))
    if program.shell and is_tool and in_path:
        process = ReplacedProcess(start, program, now, argv, sink=sink, connect=connect)
        process.make_server = lambda at: make_server(start, program, at)
        return process
    if "/" in name:
        return FailedStart(
            start, program, now, f'{_RUNC}exec: "{name}": stat {name}: no such file or directory: unknown'
        )
    return FailedStart(start, program, now, f'{_RUNC}exec: "{name}": executable file not found in $PATH: unknown')
