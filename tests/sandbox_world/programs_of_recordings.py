"""What the images of the recordings do when they run, per scenario."""

from __future__ import annotations

from healing.sandbox.ports import Exit, ProbeResult
from tests.sandbox_world.programs import Program

_NO_COMMAND = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    'unable to start container process: exec: "/usr/bin/server": stat /usr/bin/server: no such file or directory: '
    "unknown"
)
_GONE = "cat: can't open '/tmp/ok': No such file or directory\n"


def programs_for(scenario: str) -> dict[str, Program]:
    web, busybox = "registry.local/web:1.0", "busybox:1.36"
    if scenario == "oomkilled":
        return {busybox: Program(lives_seconds=3.5, exit=Exit(137, "OOMKilled"))}
    if scenario == "command-not-found":
        return {web: Program(start_error=_NO_COMMAND)}
    if scenario == "init-container-failing":
        return {busybox: Program(lives_seconds=0.02)}
    if scenario == "job-backofflimit":
        return {busybox: Program(lives_seconds=0.5, exit=Exit(3, "Error"))}
    if scenario == "readiness-lost-while-running":
        return {busybox: Program(exec_result=lambda age: ProbeResult(age < 10, _GONE if age >= 10 else ""))}
    return {}
