"""Whether the process of this container does its work, for HEALTHCHECK (standard library only; exit code 0 or 1).

The web process is asked; the others leave signs in VAR_DIR/alive and VAR_DIR/ready (healing/alive.py).
"""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

URL = "http://127.0.0.1:8000/livez"
TIMEOUT_SECONDS = 3
FRESH_SECONDS = 60


def does_its_work(directory: Path) -> bool:
    if any((directory / "alive").glob("*")):
        signs = [path.stat().st_mtime for path in (directory / "ready").glob("*") if path.is_file()]
        return bool(signs) and time.time() - max(signs) < FRESH_SECONDS
    try:
        with urllib.request.urlopen(URL, timeout=TIMEOUT_SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


if __name__ == "__main__":
    sys.exit(0 if does_its_work(Path(os.environ.get("VAR_DIR", "var"))) else 1)
