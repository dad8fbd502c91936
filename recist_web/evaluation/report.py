"""The report of a run: the records, their scores and the measures, as one JSON document."""

from __future__ import annotations

import gzip
import json
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recist_web.environment import PROJECT_DIR
from recist_web.evaluation.machine import saturation
from recist_web.evaluation.measures import measure
from recist_web.evaluation.scoring import score
from recist_web.evaluation.split import SPLITS

#: Raised when a field changes its meaning.
VERSION = 1


def build(
    records: Sequence[Mapping[str, Any]],
    *,
    settings: Mapping[str, Any],
    machine: Mapping[str, Any],
    now: datetime | None = None,
) -> dict[str, Any]:
    """``{"version", "run", "machine", "measures": {"total", "dev", "sealed"}, "scenarios"}``; docs/evaluation.md."""
    scored = [{**record, "score": score(record)} for record in records]
    parts = {split: [s for s in scored if s["split"] == split] for split in SPLITS}
    return {
        "version": VERSION,
        "run": {
            "date": (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "product": product_version(),
            "commit": commit(),
            **settings,
        },
        "machine": dict(machine),
        "saturated": saturation(machine),
        "measures": {"total": measure(scored), **{split: measure(part) for split, part in parts.items()}},
        "scenarios": scored,
    }


def write_json(report: Mapping[str, Any], path: Path) -> None:
    """One line for each scenario; compressed, without a date of its own, if the name ends in ``.gz``."""
    head = json.dumps({**report, "scenarios": []}, ensure_ascii=False, indent=1)
    lines = [json.dumps(s, ensure_ascii=False, separators=(",", ":")) for s in report["scenarios"]]
    text = head.removesuffix("[]\n}") + "[\n" + ",\n".join(lines) + "\n]\n}\n"
    data = text.encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def product_version() -> str:
    """As pyproject.toml says; empty where it is not there."""
    try:
        project = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text(encoding="utf-8"))
    except OSError:
        return ""
    return str(project["project"]["version"])


def commit() -> str:
    """Of the working tree the product runs from, with ``+`` where it has changes; empty without git."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""
    return head + ("+" if changed else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(PROJECT_DIR), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()
