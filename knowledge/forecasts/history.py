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
#: A bend counts if so little of what one line leaves over is left by two, and the second is so much steeper.
_BEND_EXPLAINS, _STEEPER = 0.25, 1.5
_LEAST_BEFORE_BEND, _BENDS_TRIED = 6, 24


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


def since_onset(
    times: Floats, values: Floats, *, least_samples: int, least_span_seconds: float
) -> tuple[Floats, Floats]:
    """What follows the bend at which it began to rise, or to rise faster; all of it where there is no such bend.

    The bend is where two lines that meet explain far more than one does. At least so much is left behind it."""
    import numpy as np  # noqa: PLC0415

    if len(times) < _LEAST_BEFORE_BEND + least_samples or not float(np.ptp(values)):
        return times, values
    last = min(
        len(times) - least_samples, int(np.searchsorted(times, times[-1] - least_span_seconds, side="right")) - 1
    )
    if last < _LEAST_BEFORE_BEND:
        return times, values
    straight = np.column_stack([np.ones_like(times), times])
    one = _left_over(straight, values)
    best, least, slopes = 0, _BEND_EXPLAINS * one, (0.0, 0.0)
    for at in np.unique(np.linspace(_LEAST_BEFORE_BEND, last, _BENDS_TRIED).astype(int)):
        bent = np.column_stack([straight, np.maximum(0.0, times - times[at])])
        fit = np.linalg.lstsq(bent, values, rcond=None)[0]
        left = float(((values - bent @ fit) ** 2).sum())
        if left < least:
            best, least, slopes = int(at), left, (float(fit[1]), float(fit[1] + fit[2]))
    before, after = slopes
    if not best or after <= 0 or after < _STEEPER * before:
        return times, values
    return times[best:], values[best:]


def _left_over(columns: Floats, values: Floats) -> float:
    import numpy as np  # noqa: PLC0415

    fit = np.linalg.lstsq(columns, values, rcond=None)[0]
    return float(((values - columns @ fit) ** 2).sum())
