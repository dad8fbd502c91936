"""A series as it comes from a metrics server, made ready: in order, finite, evenly spaced, since its last reset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from knowledge.forecasts.model import Point

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: More samples make a trend no surer, only slower: they are thinned by their median.
MOST_SAMPLES = 240
#: A fall between two samples by so much of the whole range is a reset (a restart, a clean-up), not noise.
_RESET = 0.3
#: No byte count, time or share is as large: such a sample is broken.
_ABSURD = 1e30
#: ... and by so much of the value itself.
_RESET_OF_VALUE = 0.1
_RESET_OF_NOISE = 6.0


def prepare(points: Sequence[Point]) -> tuple[Floats, Floats]:
    """Times from 0 (seconds) and values, evenly spaced; gaps stay gaps. Empty arrays where there is nothing."""
    import numpy as np  # noqa: PLC0415

    array = np.asarray(points, dtype=float).reshape(-1, 2)
    array = array[np.isfinite(array).all(axis=1) & (np.abs(array[:, 1]) < _ABSURD)]
    array[:, 0] = array[:, 0].round(3)  # milliseconds, as metrics servers have them
    if not len(array):
        return array[:, 0], array[:, 1]
    array = array[np.argsort(array[:, 0], kind="stable")]
    _, last_of_each = np.unique(array[::-1, 0], return_index=True)
    array = array[::-1][last_of_each]
    times, values = array[:, 0] - array[0, 0], array[:, 1]
    if len(times) <= MOST_SAMPLES:
        return times, values
    bins = np.minimum((times / times[-1] * MOST_SAMPLES).astype(int), MOST_SAMPLES - 1)
    kept = np.unique(bins)
    return (
        np.array([times[bins == b].mean() for b in kept]),
        np.array([float(np.median(values[bins == b])) for b in kept]),
    )


def since_reset(times: Floats, values: Floats) -> tuple[Floats, Floats, int]:
    """What follows the last reset, and how many resets there were."""
    import numpy as np  # noqa: PLC0415

    if len(values) < 3:
        return times, values, 0
    spread = float(np.ptp(values))
    steps = np.diff(values)
    noise = 1.4826 * float(np.median(np.abs(steps - np.median(steps))))
    where = [
        int(i)
        for i in np.flatnonzero(steps < -max(_RESET * spread, _RESET_OF_NOISE * noise))
        # a spike's end is no reset: it stays below where it was
        if np.median(values[max(0, i - 2) : i + 1]) - np.median(values[i + 1 : i + 4])
        > max(_RESET * spread, _RESET_OF_VALUE * abs(values[i]))
    ]
    if not where:
        return times, values, 0
    start = where[-1] + 1
    return times[start:], values[start:], len(where)
