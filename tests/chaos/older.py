"""The code of before the newest migration: what still runs while the first processes of an upgrade are new already."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from recist_web.environment import PROJECT_DIR

_MIGRATIONS = ("healing/migrations", "knowledge/migrations")


def unpacked(directory: Path) -> tuple[Path, str]:
    """Where it is, and which commit; raises `LookupError` outside a git checkout with its history."""
    newest = _git("log", "-1", "--format=%H", "--diff-filter=A", "--", *_MIGRATIONS).decode().strip()
    if not newest:
        raise LookupError("git knows no commit that added a migration")
    commit = _git("rev-parse", "--short", f"{newest}^").decode().strip()
    target = directory / "older"
    target.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit))) as archive:
        archive.extractall(target, filter="data")
    return target, commit


def _git(*arguments: str) -> bytes:
    try:
        return subprocess.run(["git", *arguments], cwd=PROJECT_DIR, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise LookupError(f"the code of before the newest migration is in git alone: {error}") from error
