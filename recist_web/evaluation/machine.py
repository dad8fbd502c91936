"""How hard the machine worked: an evaluation on a machine that could not keep up says so itself."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PROC = Path("/proc")
#: of a world's event loop at p99; a world that lags more is not what it says it is
SATURATED_LAG_SECONDS = 0.5


class Load:
    """The system's load and what our processes used. Where the system does not tell (no /proc), it stays unknown."""

    def __init__(self) -> None:
        self._most = 0.0
        self._sum = 0.0
        self._samples = 0

    def sample(self) -> None:
        try:
            now = os.getloadavg()[0]
        except OSError:
            return
        self._most = max(self._most, now)
        self._sum += now
        self._samples += 1

    def report(self, pids: Mapping[str, int], wall_seconds: float) -> dict[str, Any]:
        used = {name: seconds for name, pid in pids.items() if (seconds := cpu_seconds(pid)) is not None}
        cores = os.cpu_count() or 1
        return {
            "cores": cores,
            "python": platform.python_version(),
            "wallSeconds": round(wall_seconds, 1),
            "cpuSeconds": used,
            "cpuShare": round(sum(used.values()) / (wall_seconds * cores), 3) if used and wall_seconds else None,
            "loadAverage": {
                "mean": round(self._sum / self._samples, 2) if self._samples else None,
                "max": round(self._most, 2) if self._samples else None,
            },
        }


def cpu_seconds(pid: int) -> float | None:
    """User and system time of a process and its ended children."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks = sum(int(value) for value in fields[11:15])
    except (OSError, ValueError, IndexError):
        return None
    return round(ticks / os.sysconf("SC_CLK_TCK"), 1)


def saturation(machine: Mapping[str, Any]) -> str:
    """Why the measured times are not to be trusted; empty: they are."""
    late = [loop for loop in machine.get("hosts", ()) if loop["lagP99Seconds"] > SATURATED_LAG_SECONDS]
    if late:
        worst = max(loop["lagP99Seconds"] for loop in late)
        return (
            f"The worlds' event loop was late by {worst:g} s at p99 (more than {SATURATED_LAG_SECONDS:g} s): the "
            "machine could not keep up, and the times and scores below say more about it than about the product. Run "
            "fewer scenarios side by side (--parallel)."
        )
    return ""
