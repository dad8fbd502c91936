"""Finds the sections, runs them one after another, and keeps what each of them found."""

from __future__ import annotations

import importlib
import pkgutil
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from recist_web.bench import sections
from recist_web.bench.machine import machine
from recist_web.bench.section import Bench, CannotMeasureError, Section, Size
from recist_web.environment import PROJECT_DIR


def names() -> list[str]:
    """Of all sections, in the order of their names."""
    return sorted(module.name for module in pkgutil.iter_modules(sections.__path__) if not module.name.startswith("_"))


def load(name: str) -> Section:
    """The section's module."""
    return cast("Section", importlib.import_module(f"{sections.__name__}.{name}"))


def measure(chosen: Sequence[str], size: Size, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """The entries of these sections, as the JSON file keeps them. One that breaks does not stop the others."""
    found = []
    for name in chosen:
        section = load(name)
        say(f"{section.TITLE} ({name}) ...")
        found.append(_measure_one(name, section, size, say))
    return found


def _measure_one(name: str, section: Section, size: Size, say: Callable[[str], None]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "section": name,
        "title": section.TITLE,
        "size": size,
        "version": _version(),
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "machine": machine(),
        "parameters": {},
        "numbers": [],
        "failures": [],
    }
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="recist-bench-") as directory:
            Path(directory).chmod(0o711)  # a PostgreSQL of another user has its data further down
            result = section.run(Bench(size, Path(directory), say))
    except CannotMeasureError as error:
        entry["failures"] = [str(error)]
    except Exception as error:  # noqa: BLE001 - whatever a section breaks on, the others are still measured
        entry["failures"] = [f"{type(error).__name__}: {error}"]
    else:
        entry["parameters"] = result.parameters
        entry["numbers"] = [number.as_json() for number in result.numbers]
        entry["failures"] = list(result.failures)
    entry["tookSeconds"] = round(time.monotonic() - started, 1)
    return entry


def _version() -> str:
    try:
        project = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text(encoding="utf-8"))
    except OSError:
        return "unknown"
    return str(project["project"]["version"])
