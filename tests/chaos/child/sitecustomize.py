"""Python runs this in each process that has this directory on its PYTHONPATH: its clock can be set by a file.

CLOCK_FILE names it; in it stands by how many seconds the process' clock is wrong. The time of day moves, what measures
durations (time.monotonic) goes on, as on a machine whose clock is set.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path


def _follow(path: Path) -> None:
    import time_machine

    wrong_by = 0.0
    traveller = None
    while True:
        try:
            wanted = float(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            wanted = wrong_by
        if wanted != wrong_by:
            if traveller is None:
                traveller = time_machine.travel(time.time() + wanted, tick=True).start()
            else:
                traveller.shift(wanted - wrong_by)
            wrong_by = wanted
        time.sleep(0.1)


if "CLOCK_FILE" in os.environ:
    threading.Thread(target=_follow, args=(Path(os.environ["CLOCK_FILE"]),), name="clock", daemon=True).start()
