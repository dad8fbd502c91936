"""A `Runtime` whose programs do what a test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from healing.sandbox.ports import ContainerStart, Exit, LogLine, ProbeResult, PullResult, Usage

OK = ProbeResult(True)


@dataclass
class Program:
    """How containers of an image behave; a test may change it while they run."""

    #: seconds from start to exit, None for never
    lives_seconds: float | None = None
    exit: Exit = field(default_factory=lambda: Exit(1, "Error"))
    start_error: str = ""
    #: seconds from SIGTERM to exit, None to ignore SIGTERM
    stops_after_seconds: float | None = None
    #: (port, path) -> status; any other path is 404, any other port refused
    pages: dict[tuple[int, str], int] = field(default_factory=lambda: {(80, "/"): 200})
    #: the result of an exec probe, by the process' age in seconds
    exec_result: Callable[[float], ProbeResult] = lambda _age: OK
    usage: Usage = field(default_factory=lambda: Usage(0.01, 10 * 2**20))


class ScriptedProcess:
    def __init__(self, program: Program, start: ContainerStart, now: float) -> None:
        self.program = program
        self.start = start
        self.started_at = self.now = now
        self.exit: Exit | None = None
        self.terminated_at: float | None = None
        self.lines = [LogLine(now, f"started {start.image} as {start.container} #{start.restart_count}")]

    def poll(self, now: float) -> Exit | None:
        program = self.program
        self.now = now
        if program.start_error and self.exit is None:
            self.exit = Exit(128, "StartError", program.start_error)
        if self.exit is None and program.lives_seconds is not None and now >= self.started_at + program.lives_seconds:
            self.exit = program.exit
        patience = program.stops_after_seconds
        told = self.terminated_at is not None and patience is not None
        if self.exit is None and told and now >= (self.terminated_at or 0.0) + (patience or 0.0):
            self.exit = Exit(0, "Completed")
        return self.exit

    def usage(self) -> Usage:
        return self.program.usage if self.exit is None else Usage()

    def http_get(self, port: int, path: str, scheme: str, timeout_seconds: float = 1.0) -> ProbeResult:
        if port not in {known for known, _ in self.program.pages}:
            return self.tcp_connect(port)
        status = self.program.pages.get((port, path), 404)
        return OK if 200 <= status < 400 else ProbeResult(False, f"HTTP probe failed with statuscode: {status}")

    def tcp_connect(self, port: int) -> ProbeResult:
        if port in {known for known, _ in self.program.pages}:
            return OK
        return ProbeResult(False, f"dial tcp {self.start.pod_ip}:{port}: connect: connection refused")

    def exec(self, command: list[str]) -> ProbeResult:
        return self.program.exec_result(self.now - self.started_at)

    def terminate(self, now: float) -> None:
        self.terminated_at = now

    def kill(self, now: float, reason: str = "Error") -> Exit:
        self.exit = Exit(137, reason)
        return self.exit

    def logs(self) -> Sequence[LogLine]:
        return self.lines


class ScriptedRuntime:
    """Programs by image; an image without one cannot be pulled."""

    def __init__(self) -> None:
        self.programs: dict[str, Program] = {
            "registry.local/web:1.0": Program(),
            "registry.local/web:1.1": Program(),
            "registry.local/web:broken": Program(lives_seconds=0.3, pages={}),
            "busybox:1.36": Program(lives_seconds=0.0, exit=Exit(0, "Completed")),
        }
        self.pull_seconds = 0.0
        self.processes: list[ScriptedProcess] = []
        #: image -> whether the last pull came with credentials
        self.authorized: dict[str, bool] = {}

    def pull(self, image: str, *, authorized: bool = False) -> PullResult:
        self.authorized[image] = authorized
        if image in self.programs:
            return PullResult(True, duration_seconds=self.pull_seconds, size_bytes=2141011)
        name, _, tag = image.partition("/")[2].partition(":")
        problem = (
            f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": failed to do request: '
            f'Head "http://127.0.0.1:5999/v2/{name}/manifests/{tag}?ns=registry.local": '
            "dial tcp 127.0.0.1:5999: connect: connection refused"
        )
        return PullResult(False, problem)

    def start(self, start: ContainerStart, now: float) -> ScriptedProcess:
        process = ScriptedProcess(self.programs[start.image], start, now)
        self.processes.append(process)
        return process

    def process(self, pod_name: str) -> ScriptedProcess:
        """The newest process of a pod."""
        return next(p for p in reversed(self.processes) if p.start.pod_name == pod_name)
