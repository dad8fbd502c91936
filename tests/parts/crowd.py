"""How much of the machine this run has, for requirements that are told in seconds of the wall's clock."""

from __future__ import annotations

import os


def crowding() -> float:
    """How many processes want each processor, at least 1: times are wall-clock times, and grow with the crowd."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
