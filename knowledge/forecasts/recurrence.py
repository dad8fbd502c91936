"""What happens again and again (restarts): when it is due next."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

#: Three times are two pauses: the least that can be called regular.
_LEAST = 3
#: Pauses that differ by more than this part of their mean are chance.
_IRREGULAR = 0.6
#: Two pauses say less of the next than ten.
_WIDER_WITH_FEW = 1.5


@dataclass(frozen=True, slots=True)
class Recurrence:
    """``every_seconds``: the pause to expect; ``earliest_seconds`` .. ``latest_seconds`` from now: about 90 %."""

    every_seconds: float
    seconds: float
    earliest_seconds: float
    latest_seconds: float
    times: int
    #: the pauses become shorter
    accelerates: bool


def next_time(happened_at: Sequence[float], now: float) -> Recurrence | None:
    """None: too seldom or too irregular to say, or it should have happened long ago and has not."""
    ordered = sorted(set(happened_at))
    if len(ordered) < _LEAST:
        return None
    pauses = [b - a for a, b in itertools.pairwise(ordered)]
    newest = pauses[-4:]
    mean = statistics.fmean(newest)
    deviation = statistics.stdev(newest) if len(newest) > 1 else mean
    accelerates = len(pauses) >= 3 and all(b < a for a, b in zip(pauses[-3:], pauses[-2:], strict=False))
    if deviation > _IRREGULAR * mean and not accelerates:
        return None
    every = pauses[-1] if accelerates else mean
    spread = max(0.15 * every, deviation) * (_WIDER_WITH_FEW if len(newest) < 4 else 1.2)
    since = now - ordered[-1]
    latest = every + 1.65 * spread - since
    if latest <= 0:
        return None
    return Recurrence(
        every, max(0.0, every - since), max(0.0, every - 1.65 * spread - since), latest, len(ordered), accelerates
    )
