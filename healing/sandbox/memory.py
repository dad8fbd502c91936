"""Python's garbage collector, set for a process that is full of long-lived objects."""

from __future__ import annotations

import gc

#: a world makes thousands of short-lived dictionaries a second, nearly none of them in cycles; with Python's own
#: numbers (700, 10, 10) it spends a fifth of its time looking through all the objects that stay
_THRESHOLDS = (50_000, 20, 10)


def collect_seldom() -> tuple[int, int, int]:
    """For the whole process. What was set before, for `gc.set_threshold`."""
    before = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    return before
