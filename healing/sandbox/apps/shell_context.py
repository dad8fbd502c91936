"""What a script can see of the world, and how it leaves."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

#: seconds to wait; a negative number is work: that many seconds of one core
Steps = Generator[float, None, int]


class ShellExit(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class BecomesServer(Exception):
    def __init__(self, argv: list[str]) -> None:
        super().__init__(argv)
        self.argv = argv


@dataclass(slots=True)
class Context:
    """What a script can see and touch."""

    env: dict[str, str]
    files: dict[str, str]
    write: Callable[[str, str], None]  # (stream, text without newline)
    #: is this host's port reachable: (ok, message)
    connect: Callable[[str, int | None], tuple[bool, str]]
    is_program: Callable[[str], bool]
    hostname: str = "localhost"
    memory_bytes: int = 1 << 20
    memory_per_second: int = 0  # grows until something kills it
    errexit: bool = False
    #: started with & and not yet picked up by the process
    background: list[Steps] = field(default_factory=list)
    #: background jobs still running
    jobs: int = 0
