"""One tree a VAR_DIR: its database, its embedded Qdrant and its logs have one owner."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TextIO

from recist_web.supervisor.errors import CannotStartError


def prepare(var_directory: Path) -> None:
    """Create it and see that it can be written to."""
    try:
        var_directory.mkdir(parents=True, exist_ok=True)
        probe = var_directory / f".write-test-{os.getpid()}"
        probe.write_text("", encoding="utf-8")
        probe.unlink()
        for path in (var_directory / "db.sqlite3", var_directory / "tree.lock", var_directory / "log"):
            if path.exists() and not os.access(path, os.W_OK):
                raise PermissionError(13, "Permission denied", str(path))
    except OSError as error:
        raise CannotStartError(
            f"ReCiSt keeps its state in {var_directory} and cannot write there: {error.strerror} ({error.filename}).\n"
            f"Make it writable for you (was it created by another user, such as root?), or choose another place: "
            f"VAR_DIR=/some/directory"
        ) from error


def take(var_directory: Path, owner: str) -> TextIO:
    """Hold the lock as long as the returned file stays open (the kernel frees it when we die, however we die).

    `owner` is what others are told. CannotStartError when another tree holds it.
    """
    file = (var_directory / "tree.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        who = file.read().strip() or "another process"
        file.close()
        raise CannotStartError(
            f"ReCiSt already runs with its state in {var_directory}: {who}.\n"
            f"Stop it first (Ctrl-C in its terminal), or give this one a place of its own: VAR_DIR=/some/directory"
        ) from None
    file.seek(0)
    file.truncate()
    file.write(f"{owner}\n")
    file.flush()
    return file
