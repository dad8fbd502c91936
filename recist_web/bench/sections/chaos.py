"""Every part of the product is broken while events are in flight: what was lost, done twice, left behind.

The disturbances, and who judges them, are those of tests/chaos: real processes, a real PostgreSQL and Valkey, and the
cluster's own count of what was done to it.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from recist_web.bench.section import Bench, CannotMeasureError, Number, Result

TITLE = "What breaks, and what comes of it"
#: in the smoke test: one of each kind would take minutes
_SMOKE = ("all workers killed in the middle of a run",)


def run(bench: Bench) -> Result:
    """A row of `docs/availability.md` for each disturbance. CHAOS_ONLY (words, separated by commas) chooses some."""
    arena, drill, disturbances = (_part(name) for name in ("arena", "drill", "disturbances"))
    workloads = bench.pick(full=6, smoke=2)
    result = Result(parameters={"workloads_broken_each_time": workloads, "workers": 3, "watchers": 2})
    try:
        for row in _rows(bench, arena, drill, disturbances, workloads):
            bench.say(row.as_line())
            result.failures += row.problems
            result.numbers += _numbers(row)
    except (RuntimeError, AssertionError) as error:
        raise CannotMeasureError(str(error)) from error
    return result


def _rows(
    bench: Bench, arena: ModuleType, drill: ModuleType, disturbances: ModuleType, workloads: int
) -> Iterator[Any]:
    chosen = _chosen(bench, disturbances.all_disturbances())
    patience_seconds = bench.pick(full=300.0, smoke=60.0)
    started = time.monotonic()
    with arena.Arena(bench.directory / "arena") as running:
        bench.say(f"everything runs after {time.monotonic() - started:.0f} s")
        for number, disturbance in enumerate(chosen):
            yield drill.drill(
                running, disturbance, workloads=workloads, prefix=f"d{number}", patience_seconds=patience_seconds
            )


def _chosen(bench: Bench, known: list[Any]) -> list[Any]:
    if bench.size == "smoke":
        return [d for d in known if d.name in _SMOKE]
    words = [word.strip() for word in os.environ.get("CHAOS_ONLY", "").split(",") if word.strip()]
    found = [d for d in known if not words or any(word in d.name for word in words)]
    if not found:
        raise CannotMeasureError(f"CHAOS_ONLY names none of: {', '.join(d.name for d in known)}.")
    return found


def _numbers(row: Any) -> list[Number]:
    found = [
        Number(f"{row.fault}: events in flight", float(row.in_flight), f"of {row.events}"),
        Number(f"{row.fault}: lost", float(len(row.lost)), "", 0),
        Number(f"{row.fault}: done twice", float(len(row.doubled)), "", 0),
        Number(f"{row.fault}: containment left behind", float(len(row.left_behind)), "", 0),
        Number(f"{row.fault}: handed to a person", float(len(row.handed_over)), ""),
    ]
    if row.recovery_seconds is not None:
        found.append(Number(f"{row.fault}: all well after", row.recovery_seconds, "s"))
    return found


def _part(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"tests.chaos.{name}")
    except ImportError as error:
        raise CannotMeasureError(
            f"This section needs the tests of a checkout and their packages (make bench installs them): {error}"
        ) from error
