"""Python runs this in each process that has this directory on its PYTHONPATH: its clock can be set by a file.

CLOCK_FILE names it; in it stands by how many seconds the process' clock is wrong. The time of day moves, what measures
durations (time.monotonic) goes on, as on a machine whose clock is set.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path


def _begin(path: Path) -> None:
    # Its clock is taken over while there is one thread alone: from then on a jump is the change of a single number.
    sys.modules["pytest"] = None  # type: ignore[assignment]  # time_machine would import it, in every process
    import time_machine  # only where a clock is to be set

    del sys.modules["pytest"]
    traveller = time_machine.travel(time.time(), tick=True).start()
    time.time()

    def follow() -> None:
        wrong_by = 0.0
        while True:
            try:
                wanted = float(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                wanted = wrong_by
            if wanted != wrong_by:
                traveller.shift(wanted - wrong_by)
                wrong_by = wanted
            time.sleep(0.1)

    threading.Thread(target=follow, name="clock", daemon=True).start()


if "CLOCK_FILE" in os.environ:
    _begin(Path(os.environ["CLOCK_FILE"]))
