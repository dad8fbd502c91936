"""Every part of the product is broken while events are in flight: what was lost, done twice, left behind.

The disturbances, and who judges them, are those of tests/chaos: real processes, a real PostgreSQL and Valkey, and the
cluster's own count of what was done to it.
"""

from __future__ import annotations

import importlib
import os
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from recist_web.bench.section import Bench, CannotMeasureError, Number, Result

TITLE = "What breaks, and what comes of it"
#: in the smoke test: one of each kind would take minutes
_SMOKE = ("all workers killed in the middle of a run",)


def run(bench: Bench) -> Result:
    """A row of `docs/availability.md` for each disturbance. CHAOS_ONLY (words, separated by commas) chooses some."""
    arena, drill, disturbances = (_part(name) for name in ("arena", "drill", "disturbances"))
    older = _part("older")
    workloads = bench.pick(full=6, smoke=2)
    result = Result(parameters={"workloads_broken_each_time": workloads, "workers": 3, "watchers": 2})
    try:
        known = [*disturbances.all_disturbances(), disturbances.ROLLING_UPGRADE]
        chosen = _chosen(bench, known)
        together = [d for d in chosen if d is not disturbances.ROLLING_UPGRADE]
        wishes = {"together": arena.Wishes()} if together else {}
        if disturbances.ROLLING_UPGRADE in chosen and (old_code := _old_code(bench, older, result)):
            wishes["upgrade"] = arena.Wishes(old_code=old_code)
        for name, wish in wishes.items():
            those = [disturbances.ROLLING_UPGRADE] if name == "upgrade" else together
            running = arena.Arena(bench.directory / name, wish)
            _measure(bench, those, running=running, drill=drill, workloads=workloads, result=result)
    except (RuntimeError, AssertionError) as error:
        raise CannotMeasureError(str(error)) from error
    return result


def _old_code(bench: Bench, older: ModuleType, result: Result) -> Path | None:
    """None: there is no older code to be had; the row is missing and says why."""
    try:
        where, commit = older.unpacked(bench.directory)
    except LookupError as error:
        result.parameters["old_code"] = f"not measured: {error}"
        return None
    result.parameters["old_code"] = commit
    return Path(where)


def _measure(
    bench: Bench, chosen: list[Any], *, running: Any, drill: ModuleType, workloads: int, result: Result
) -> None:
    patience_seconds = bench.pick(full=300.0, smoke=150.0)
    started = time.monotonic()
    with running as arena:
        bench.say(f"everything runs after {time.monotonic() - started:.0f} s")
        for number, disturbance in enumerate(chosen):
            row = drill.drill(
                arena, disturbance, workloads=workloads, prefix=f"d{number}", patience_seconds=patience_seconds
            )
            bench.say(row.as_line())
            result.failures += row.problems
            result.numbers += _numbers(row)


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
